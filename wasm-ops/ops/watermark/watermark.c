/* watermark: writes SYNTHETIC into the lower right corner, so that a tile that lost its file name and its metadata (a screenshot, a
 * slide of a talk) still says what it is. The letters are mixed with the picture: dark on bright pixels, bright on dark ones. */
#include <wasm_simd128.h>

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

/* Loads and stores four bytes at once, the fourth as it is: the margin lies behind every pixel. The strength is 0 in the fourth lane. */
static void mix(uint8_t *p, v128_t strength_256) {
    const v128_t zero = wasm_i32x4_const_splat(0);
    v128_t v = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(p)));
    v128_t grey = wasm_i32x4_mul(v, wasm_i32x4_const(77, 150, 29, 0));
    int32_t bright = wasm_i32x4_extract_lane(grey, 0) + wasm_i32x4_extract_lane(grey, 1) + wasm_i32x4_extract_lane(grey, 2) >= 100 * 256;
    v128_t way = wasm_i32x4_mul(wasm_i32x4_sub(wasm_i32x4_splat(bright ? 0 : 255), v), strength_256);
    /* a quotient by 256 that rounds towards 0 */
    way = wasm_i32x4_shr(wasm_i32x4_add(way, wasm_u32x4_shr(wasm_i32x4_shr(way, 31), 24)), 8);
    v = wasm_i16x8_narrow_i32x4(wasm_i32x4_add(v, way), zero);
    wasm_v128_store32_lane(p, wasm_u8x16_narrow_i16x8(v, zero), 0);
}

HL_OP_EXPORT(hl_op_run) int32_t hl_op_run(hl_op_input *in) {
    int32_t strength_256 = (int32_t)(in->params[0] * 256.0), written = 0;
    v128_t strength = wasm_i32x4_make(strength_256, strength_256, strength_256, 0);
    uint32_t scale = (uint32_t)in->params[1];
    uint32_t width = COLUMNS * scale, height = ROWS * scale;
    if (width + 2 * MARGIN_PX > in->width || height + 2 * MARGIN_PX > in->height) {
        hl_op_flag(HL_TEXT("WATERMARK_NO_ROOM"), HL_TEXT("The tile is too small for the word SYNTHETIC; use a smaller scale"), -1, -1);
        return HL_OP_UNCHANGED;
    }
    uint32_t left = in->width - width - MARGIN_PX, top = in->height - height - MARGIN_PX;
    for (uint32_t y = 0; y < height; y++) {
        uint8_t *line = in->rgb + 3 * ((top + y) * in->width + left);
        for (uint32_t letter = 0; letter < LETTERS; letter++, line += 18 * scale) {
            for (uint32_t dots = FONT[letter][y / scale]; dots; dots &= dots - 1) {
                uint8_t *dot = line + 3 * scale * (4 - (uint32_t)__builtin_ctz(dots)), *end = dot + 3 * scale;
                do mix(dot, strength);
                while ((dot += 3) < end);
                written += (int32_t)scale;
            }
        }
    }
    hl_op_metric(HL_TEXT("watermark_px"), written);
    return strength_256 ? HL_OP_PIXELS : HL_OP_UNCHANGED;
}
