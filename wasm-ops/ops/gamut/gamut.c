/* gamut: flags cells whose colours haematoxylin and eosin do not give (green, pure blue, yellow, grey, black).
 *
 * In optical density OD = -log10((I + 1) / 256) a pixel of H&E is a mixture of two absorbers, so the shares r, g, b of the three
 * channels in the sum s lie in a small region of the plane (Ruifrok & Johnston 2001). The region here was measured at 0.5 um/px on
 * five H&E sources of several laboratories and scanners (BCSS, BreCaHAD, NCT-CRC, TCGA, the sample slide CMU-1) and at 1 um/px on
 * a sixth (osteosarcoma), 77 000 cells of 32 px: r <= 0.52, g <= 0.88, 0.08 <= b <= 0.48, b + 0.7 r <= 0.56, s <= 4.6. Glass
 * (s < 0.45) is inside, and so are the ideal stain vectors of that paper (eosin: b = 0.09).
 * With share = 0.3 this flags 7 of the 6348 cells of CMU-1 and none of the others.
 *
 * Whole numbers throughout (OD in thousandths), so the result is the same everywhere. */
#include "histoloom_op.h"

HL_OP_MANIFEST(
    "{\"name\": \"gamut\", \"version\": 1,"
    " \"summary\": \"Flags cells whose colours haematoxylin and eosin do not give\","
    " \"params\": [{\"name\": \"share\", \"min\": 0, \"max\": 1, \"default\": 0.3,"
    " \"doc\": \"Share of such pixels in a cell above which it is flagged\"}]}")

static const uint16_t OD[256] = {
    2408, 2107, 1931, 1806, 1709, 1630, 1563, 1505, 1454, 1408, 1367, 1329, 1294, 1262, 1232, 1204,
    1178, 1153, 1129, 1107, 1086, 1066, 1047, 1028, 1010, 993, 977, 961, 946, 931, 917, 903,
    890, 877, 864, 852, 840, 828, 817, 806, 795, 785, 775, 765, 755, 745, 736, 727,
    718, 709, 701, 692, 684, 676, 668, 660, 652, 645, 637, 630, 623, 616, 609, 602,
    595, 589, 582, 576, 569, 563, 557, 551, 545, 539, 533, 527, 522, 516, 511, 505,
    500, 494, 489, 484, 479, 474, 469, 464, 459, 454, 449, 444, 440, 435, 431, 426,
    421, 417, 413, 408, 404, 400, 395, 391, 387, 383, 379, 375, 371, 367, 363, 359,
    355, 351, 348, 344, 340, 336, 333, 329, 325, 322, 318, 315, 311, 308, 304, 301,
    298, 294, 291, 288, 284, 281, 278, 275, 272, 268, 265, 262, 259, 256, 253, 250,
    247, 244, 241, 238, 235, 232, 229, 226, 224, 221, 218, 215, 212, 210, 207, 204,
    201, 199, 196, 193, 191, 188, 186, 183, 180, 178, 175, 173, 170, 168, 165, 163,
    160, 158, 155, 153, 151, 148, 146, 143, 141, 139, 136, 134, 132, 129, 127, 125,
    123, 120, 118, 116, 114, 112, 109, 107, 105, 103, 101, 99, 96, 94, 92, 90,
    88, 86, 84, 82, 80, 78, 76, 74, 72, 70, 68, 66, 64, 62, 60, 58,
    56, 54, 52, 50, 48, 47, 45, 43, 41, 39, 37, 35, 33, 32, 30, 28,
    26, 24, 23, 21, 19, 17, 16, 14, 12, 10, 9, 7, 5, 3, 2, 0,
};

static int outside(const uint8_t *p) {
    int32_t r = OD[p[0]], g = OD[p[1]], b = OD[p[2]], s = r + g + b;
    /* without branches, each of which costs the sandbox a count of instructions */
    return (s >= 450) & ((s > 4600) | (1000 * r > 520 * s) | (1000 * g > 880 * s) | (1000 * b < 80 * s) | (1000 * b > 480 * s)
        | (1000 * b + 700 * r > 560 * s));
}

/* Four pixels at a time: one wide load instead of twelve, for each access of memory is checked in the sandbox. Reads 4 bytes beyond
 * them, which the labels behind the picture are. */
typedef int32_t four __attribute__((vector_size(16)));
typedef uint8_t bytes __attribute__((vector_size(16), aligned(1)));

static four outside_of_four(const uint8_t *at) {
    bytes p = *(const bytes *)at;
    four r = {OD[p[0]], OD[p[3]], OD[p[6]], OD[p[9]]}, g = {OD[p[1]], OD[p[4]], OD[p[7]], OD[p[10]]},
         b = {OD[p[2]], OD[p[5]], OD[p[8]], OD[p[11]]}, s = r + g + b;
    return (s >= 450) & ((s > 4600) | (1000 * r > 520 * s) | (1000 * g > 880 * s) | (1000 * b < 80 * s) | (1000 * b > 480 * s)
        | (1000 * b + 700 * r > 560 * s));
}

static uint32_t outside_of_row(const uint8_t *p, uint32_t pixels) {
    four counts = {0, 0, 0, 0};
    uint32_t x = 0;
    for (; x + 4 <= pixels; x += 4, p += 12) counts -= outside_of_four(p);
    uint32_t n = (uint32_t)(counts[0] + counts[1] + counts[2] + counts[3]);
    for (; x < pixels; x++, p += 3) n += (uint32_t)outside(p);
    return n;
}

HL_OP_EXPORT(hl_op_run) int32_t hl_op_run(hl_op_input *in) {
    double share = in->params[0];
    uint32_t side = in->cell_px, all = 0, flagged = 0;
    for (uint32_t y0 = 0; y0 < in->height; y0 += side) {
        for (uint32_t x0 = 0; x0 < in->width; x0 += side) {
            uint32_t y1 = y0 + side < in->height ? y0 + side : in->height;
            uint32_t x1 = x0 + side < in->width ? x0 + side : in->width;
            uint32_t n = 0, area = (y1 - y0) * (x1 - x0);
            for (uint32_t y = y0; y < y1; y++) n += outside_of_row(in->rgb + 3 * (y * in->width + x0), x1 - x0);
            all += n;
            if ((double)n <= share * (double)area) continue;
            flagged++;
            hl_text t;
            t.len = 0;
            hl_text_add_number(&t, (100 * n + area / 2) / area);
            hl_text_add(&t, HL_TEXT(" % of this cell has colours that haematoxylin and eosin do not give"));
            hl_op_flag(HL_TEXT("OUTSIDE_GAMUT"), t.s, t.len, (int32_t)(y0 / side), (int32_t)(x0 / side));
        }
    }
    hl_op_metric(HL_TEXT("outside_share"), (double)all / (double)(in->width * in->height));
    hl_op_metric(HL_TEXT("outside_cells"), (double)flagged);
    return HL_OP_UNCHANGED;
}
