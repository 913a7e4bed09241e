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

static void mix(uint8_t *p, int32_t strength_256) {
    int32_t target = 77 * p[0] + 150 * p[1] + 29 * p[2] >= 100 * 256 ? 0 : 255;
    for (int c = 0; c < 3; c++) p[c] = (uint8_t)(p[c] + (target - p[c]) * strength_256 / 256);
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
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            uint32_t column = x / scale, row = y / scale, dot = column % 6;
            if (dot == 5 || !(FONT[column / 6][row] >> (4 - dot) & 1)) continue;
            mix(in->rgb + 3 * ((top + y) * in->width + left + x), strength_256);
            written++;
        }
    }
    hl_op_metric(HL_TEXT("watermark_px"), written);
    return strength_256 ? HL_OP_PIXELS : HL_OP_UNCHANGED;
}
