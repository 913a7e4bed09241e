#include "histoloom_op.h"

HL_OP_MANIFEST(
    "{\"name\": \"bright\", \"version\": 1, \"summary\": \"Flags tiles that are nearly white\", \"params\": [{\"name\": \"limit\","
    " \"min\": 0, \"max\": 255, \"default\": 230, \"doc\": \"Mean grey value above which a tile is flagged\"}]}")

HL_OP_EXPORT(hl_op_run) int32_t hl_op_run(hl_op_input *in) {
    uint64_t sum = 0;
    uint32_t n = 3 * in->width * in->height;
    for (uint32_t i = 0; i < n; i++) sum += in->rgb[i];
    double mean = (double)sum / (double)n;
    hl_op_metric(HL_TEXT("mean_grey"), mean);
    if (mean > in->params[0])
        hl_op_flag(HL_TEXT("TOO_BRIGHT"), HL_TEXT("This tile is nearly white: it may show glass instead of tissue"), -1, -1);
    return HL_OP_UNCHANGED;
}
