/* watermark: writes SYNTHETIC into the lower right corner, so that a tile that lost its file name and its metadata (a screenshot, a
 * slide of a talk) still says what it is. The letters are mixed with the picture: dark on bright pixels, bright on dark ones. */
#include "histoloom_op.h"

HL_OP_MANIFEST(
    "{\"name\": \"watermark\", \"version\": 1,"
    " \"summary\": \"Writes SYNTHETIC into the lower right corner\","
    " \"params\": [{\"name\": \"strength\", \"min\": 0, \"max\": 1, \"default\": 0.4,"
    " \"doc\": \"0 leaves the picture as it is, 1 writes in black or white\"},"
    " {\"name\": \"scale\", \"integer\": true, \"min\": 1, \"max\": 8, \"default\": 1,"
    " \"doc\": \"Pixels a dot of the 5 x 7 letters\"}]}")

/* 5 x 7 letters, a row a byte, the left dot is bit 4: S Y N T H E T I C */
#define LETTERS 9
static const uint8_t FONT[LETTERS][7] = {
    {0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e}, {0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04}, {0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11},
    {0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04}, {0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}, {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f},
    {0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04}, {0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e}, {0x0f, 0x10, 0x10, 0x10, 0x10, 0x10, 0x0f},
};
enum { COLUMNS = 6 * LETTERS - 1, ROWS = 7, MARGIN_PX = 3 };

/* Loads and stores four bytes at once, the fourth as it is: the margin lies behind every pixel. */
static void mix(uint8_t *p, int32_t strength_256) {
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    int32_t r = v & 255, g = v >> 8 & 255, b = v >> 16 & 255, target = 77 * r + 150 * g + 29 * b >= 100 * 256 ? 0 : 255;
    r += (target - r) * strength_256 / 256;
    g += (target - g) * strength_256 / 256;
    b += (target - b) * strength_256 / 256;
    v = (v & 0xff000000) | (uint32_t)r | (uint32_t)g << 8 | (uint32_t)b << 16;
    __builtin_memcpy(p, &v, 4);
}

HL_OP_EXPORT(hl_op_run) int32_t hl_op_run(hl_op_input *in) {
    int32_t strength_256 = (int32_t)(in->params[0] * 256.0), written = 0;
    uint32_t scale = (uint32_t)in->params[1];
    uint32_t width = COLUMNS * scale, height = ROWS * scale;
    if (width + 2 * MARGIN_PX > in->width || height + 2 * MARGIN_PX > in->height) {
        hl_op_flag(HL_TEXT("WATERMARK_NO_ROOM"), HL_TEXT("The tile is too small for the word SYNTHETIC; use a smaller scale"), -1, -1);
        return HL_OP_UNCHANGED;
    }
    uint32_t left = in->width - width - MARGIN_PX, top = in->height - height - MARGIN_PX;
    for (uint32_t letter = 0; letter < LETTERS; letter++) {
        for (uint32_t row = 0; row < ROWS; row++) {
            uint8_t *dot = in->rgb + 3 * ((top + row * scale) * in->width + left + 6 * letter * scale);
            for (uint32_t bits = FONT[letter][row]; bits & 31; bits <<= 1, dot += 3 * scale) {
                if (!(bits & 16)) continue;
                uint8_t *line = dot;
                for (uint32_t y = 0; y < scale; y++, line += 3 * in->width)
                    for (uint32_t x = 0; x < scale; x++) mix(line + 3 * x, strength_256);
                written += (int32_t)(scale * scale);
            }
        }
    }
    hl_op_metric(HL_TEXT("watermark_px"), written);
    return strength_256 ? HL_OP_PIXELS : HL_OP_UNCHANGED;
}
