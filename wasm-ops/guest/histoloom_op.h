/* Writing a Histoloom op in C, without a C library. The contract is told in ../OPS.md.
 *
 *   #include "histoloom_op.h"
 *   HL_OP_MANIFEST("{\"name\": \"mine\", \"version\": 1, \"summary\": \"...\", \"params\": []}")
 *   HL_OP_EXPORT(hl_op_run) int32_t hl_op_run(hl_op_input *in) { ... return HL_OP_UNCHANGED; }
 *
 * Build: ../ops/build.sh shows the command. */
#ifndef HISTOLOOM_OP_H
#define HISTOLOOM_OP_H

#include <stddef.h>
#include <stdint.h>

#define HL_OP_ABI 1

/* What hl_op_run returns: a sum of what the host is to take; below 0 is the op's own failure code. */
#define HL_OP_UNCHANGED 0
#define HL_OP_PIXELS 1
#define HL_OP_LABELS 2

/* What the real crops of a class measure that the tile was made from. */
typedef struct hl_op_class {
    uint32_t label;
    uint32_t crops;           /* number of crops */
    float haematoxylin, eosin; /* mean amounts, about 0 to 1 */
    float nuclei;             /* share of the area */
    uint32_t counted;         /* nuclei counted */
    float area_mm2;           /* on this area */
    uint32_t reserved;
} hl_op_class;

/* 96 bytes, little-endian; pointers are 32-bit offsets into the op's memory, each a multiple of 16. */
typedef struct hl_op_input {
    uint32_t size;            /* 96; later versions only append */
    uint32_t width, height;   /* of the tile in pixels */
    uint8_t *rgb;             /* [height][width][3], may be rewritten */
    uint8_t *labels;          /* [height][width], one class a pixel, 0 = background; may be rewritten with classes it holds, or 0 */
    const float *scores;      /* [score_planes][score_rows][score_columns], higher is worse, NaN = not judged */
    uint32_t score_planes, score_rows, score_columns;
    const double *params;     /* in the order of the manifest, defaults filled in, ranges checked */
    uint32_t param_count;
    uint32_t cell_px;         /* side of a cell of the flag raster: 32 */
    float mpp;                /* micrometres a pixel, 0 = not known */
    const float *spread;      /* [spread_rows][spread_columns]: spread of the predicted latents near the end of sampling */
    uint32_t spread_rows, spread_columns;
    const hl_op_class *classes; /* of the tile's classes those of which crops were shown, by label */
    uint32_t class_count, class_bytes;
    const uint32_t *seams;    /* where windows of the networks meet: pixels from the left, and the same from the top */
    uint32_t seam_count;
    uint32_t reserved[3];     /* 0 */
} hl_op_input;

_Static_assert(sizeof(hl_op_class) == 32 && sizeof(hl_op_input) == 96 && offsetof(hl_op_input, seams) == 76, "wasm32 only");

/* Flags one cell of the raster, or the whole tile with row = column = -1. code: A-Z, 0-9, _; reason: one sentence in UTF-8. */
__attribute__((import_module("histoloom"), import_name("flag"))) void hl_op_flag(const char *code, uint32_t code_len,
    const char *reason, uint32_t reason_len, int32_t row, int32_t column);

/* Reports a finite number. name: a-z, 0-9, _. */
__attribute__((import_module("histoloom"), import_name("metric"))) void hl_op_metric(const char *name, uint32_t name_len, double value);

#define HL_OP_EXPORT(name) __attribute__((export_name(#name)))
/* The manifest goes into the custom section `histoloom.op`; clang gives C no other way than assembly. */
#define HL_OP_MANIFEST(json) \
    __asm__(".section .custom_section.histoloom.op,\"\",@\n.ascii " HL_QUOTE_(json) "\n.text\n");
#define HL_QUOTE_(x) #x
#define HL_TEXT(literal) literal, sizeof(literal) - 1

HL_OP_EXPORT(hl_op_abi) int32_t hl_op_abi(void) { return HL_OP_ABI; }

extern unsigned char __heap_base; /* set by the linker: the first free byte */
static uintptr_t hl_heap_end;

/* Grows only: an instance lives for one tile. 0 when there is no room. */
HL_OP_EXPORT(hl_op_alloc) void *hl_op_alloc(uint32_t bytes) {
    uintptr_t at = ((hl_heap_end ? hl_heap_end : (uintptr_t)&__heap_base) + 15) & ~(uintptr_t)15;
    uintptr_t end = at + bytes, have = __builtin_wasm_memory_size(0) << 16;
    if (end < at) return 0;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) == (size_t)-1) return 0;
    hl_heap_end = end;
    return (void *)at;
}

/* A sentence put together in a fixed buffer; what does not fit is cut. */
typedef struct hl_text {
    char s[240];
    uint32_t len;
} hl_text;

static inline void hl_text_add(hl_text *t, const char *s, uint32_t len) {
    for (uint32_t i = 0; i < len && t->len < sizeof t->s; i++) t->s[t->len++] = s[i];
}

static inline void hl_text_add_number(hl_text *t, uint32_t n) {
    char digits[10];
    uint32_t k = 0;
    do digits[k++] = (char)('0' + n % 10);
    while (n /= 10);
    while (k && t->len < sizeof t->s) t->s[t->len++] = digits[--k];
}

#endif
