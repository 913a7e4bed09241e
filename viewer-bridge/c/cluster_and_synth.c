/* A whole host in one file: opens a slide with OpenSlide, lends it to libhistoloom through read_region, makes a map, and
 * synthesises tiles from it, one more with other amounts of its classes, and one of the map with two classes merged, which it then
 * parts again. Files go into OUT/map, OUT/tiles, OUT/edited, OUT/merged, OUT/tile_of_merged and OUT/parted.
 *
 *     cluster_and_synth MODELS_DIR SLIDE OUT_DIR [CLUSTER_MEMBERS [SYNTH_MEMBERS]]
 *
 * The last two are JSON members that are added to the parameters, for instance '"k": 6, "seed": 7'. C99, Linux.
 */
#define _POSIX_C_SOURCE 200809L
#include <histoloom.h>
#include <inttypes.h>
#include <math.h>
#include <openslide.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS 32

/* The newest error of this thread, or a job's; the caller frees it. */
static char *text_of(int32_t (*get)(uint64_t, char *, uint64_t, uint64_t *), uint64_t handle) {
    uint64_t needed = 0;
    if (get(handle, NULL, 0, &needed) != HL_OK) return NULL;
    char *text = malloc(needed);
    if (text != NULL && get(handle, text, needed, &needed) != HL_OK) {
        free(text);
        text = NULL;
    }
    return text;
}

static int failed(const char *what, int32_t code) {
    char said[2048] = "";
    uint64_t needed = 0;
    if (hl_last_error(said, sizeof said, &needed) != HL_OK) snprintf(said, sizeof said, "(no text)");
    fprintf(stderr, "%s: %s: %s\n", what, hl_error_name(code), said);
    return 1;
}

/* Averages a picture of sw x sh pixels down to dw x dh, channel by channel. */
static void shrink(const uint8_t *src, int64_t sw, int64_t sh, uint8_t *dst, uint32_t dw, uint32_t dh, uint32_t stride) {
    for (uint32_t y = 0; y < dh; y++) {
        const int64_t y0 = y * sh / dh, y1 = (y + 1) * sh / dh > y0 ? (y + 1) * sh / dh : y0 + 1;
        for (uint32_t x = 0; x < dw; x++) {
            const int64_t x0 = x * sw / dw, x1 = (x + 1) * sw / dw > x0 ? (x + 1) * sw / dw : x0 + 1;
            uint32_t sum[4] = {0, 0, 0, 0};
            for (int64_t v = y0; v < y1; v++)
                for (int64_t u = x0; u < x1; u++)
                    for (int c = 0; c < 4; c++) sum[c] += src[(v * sw + u) * 4 + c];
            const uint32_t n = (uint32_t)((y1 - y0) * (x1 - x0));
            for (int c = 0; c < 4; c++) dst[(size_t)y * stride + x * 4 + c] = (uint8_t)((sum[c] + n / 2) / n);
        }
    }
}

/* [library threads] OpenSlide is thread-safe, so two may read at once. */
static int64_t read_region(void *user, const hl_region *r, uint8_t *dst, uint64_t cap) {
    openslide_t *slide = user;
    const uint64_t want = (uint64_t)r->stride_bytes * r->height_px;
    const int32_t level = openslide_get_best_level_for_downsample(slide, r->downsample);
    const double scale = r->downsample / openslide_get_level_downsample(slide, level);
    const int64_t sw = (int64_t)ceil(r->width_px * scale - 1e-6), sh = (int64_t)ceil(r->height_px * scale - 1e-6);
    if (cap < want || sw < 1 || sh < 1) return -1;
    uint32_t *argb = malloc((size_t)sw * (size_t)sh * 4);
    if (argb == NULL) return -1;
    openslide_read_region(slide, argb, r->x_px, r->y_px, level, sw, sh);
    const int bad = openslide_get_error(slide) != NULL;
    if (!bad) shrink((const uint8_t *)argb, sw, sh, dst, r->width_px, r->height_px, r->stride_bytes);
    free(argb);
    return bad ? -1 : (int64_t)want;
}

/* [one library thread] */
static void log_line(void *user, int32_t level, const char *text) {
    (void)user;
    if (level <= HL_LOG_INFO) fprintf(stderr, "  log: %s\n", text);
}

static double number(openslide_t *slide, const char *name) {
    const char *value = openslide_get_property_value(slide, name);
    return value == NULL ? 0.0 : strtod(value, NULL);
}

static int32_t open_slide(hl_context context, openslide_t *slide, hl_slide *out) {
    double downsamples[LEVELS];
    int64_t width = 0, height = 0;
    hl_slide_desc d;
    memset(&d, 0, sizeof d);
    openslide_get_level0_dimensions(slide, &width, &height);
    d.struct_size = sizeof d;
    d.pixel_format = HL_PIXEL_BGRA8_PRE;
    d.width_px = (uint64_t)width;
    d.height_px = (uint64_t)height;
    d.levels = (uint32_t)openslide_get_level_count(slide);
    if (d.levels > LEVELS) d.levels = LEVELS;
    for (uint32_t i = 0; i < d.levels; i++) downsamples[i] = openslide_get_level_downsample(slide, (int32_t)i);
    d.downsamples = downsamples;
    d.background_rgb = 0xFFFFFF;
    d.mpp_x = number(slide, OPENSLIDE_PROPERTY_NAME_MPP_X);
    d.mpp_y = number(slide, OPENSLIDE_PROPERTY_NAME_MPP_Y);
    d.name = "sample";
    d.id = openslide_get_property_value(slide, OPENSLIDE_PROPERTY_NAME_QUICKHASH1);
    return hl_slide_open(context, &d, out);
}

/* A string as JSON; the caller frees it. */
static char *quoted(const char *text) {
    char *out = malloc(2 * strlen(text) + 3), *to = out;
    if (out == NULL) return NULL;
    *to++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') *to++ = '\\';
        *to++ = *text;
    }
    *to++ = '"';
    *to = '\0';
    return out;
}

static char *parameters(const char *out_dir, const char *below, const char *members) {
    char path[4096], *dir, *params = NULL;
    snprintf(path, sizeof path, "%s/%s", out_dir, below);
    dir = quoted(path);
    if (dir != NULL) {
        const size_t size = strlen(dir) + strlen(members) + 32;
        params = malloc(size);
        if (params != NULL) snprintf(params, size, "{\"out_dir\": %s%s%s}", dir, *members != '\0' ? ", " : "", members);
    }
    free(dir);
    return params;
}

/* Starts a job, shows its progress, and fetches its result. */
static int run(hl_context context, hl_slide slide, const char *kind, const char *params, hl_result input, hl_result *result) {
    hl_job job = 0;
    hl_progress p;
    int32_t code = hl_job_start(context, slide, kind, params, input, &job);
    if (code != HL_OK) return failed(kind, code);
    do {
        memset(&p, 0, sizeof p);
        p.struct_size = sizeof p;
        code = hl_job_wait(job, 500);
        if (hl_job_poll(job, &p) != HL_OK) break;
        fprintf(stderr, "  %s: %-12s %6" PRIu64 " of %-6" PRIu64, kind, p.stage, p.done, p.total);
        if (p.eta_s >= 0) fprintf(stderr, " %.1f items/s, ETA %.0f s", p.items_per_s, p.eta_s);
        fputc('\n', stderr);
    } while (code == HL_E_TIMEOUT);
    code = hl_job_result(job, result);
    if (code != HL_OK) {
        char *why = text_of(hl_job_error, job);
        fprintf(stderr, "%s failed: %s: %s\n", kind, hl_error_name(code), why != NULL ? why : "");
        free(why);
    } else {
        char *json = text_of(hl_result_json, *result);
        if (json != NULL) puts(json);
        free(json);
    }
    hl_job_release(job);
    return code != HL_OK;
}

/* Fetches the overlay as any viewer would, and checks that every class drawn is a class of the map. */
static int fetch_overlay(hl_result map) {
    uint64_t needed = 0, same = 0;
    uint32_t columns = 0, rows = 0;
    int32_t code = hl_result_overlay(map, NULL, 0, &needed, &columns, &rows);
    if (code != HL_OK) return failed("overlay", code);
    uint8_t *rgba = malloc(needed), *labels = malloc(needed / 4);
    uint64_t opaque = 0, labelled = 0;
    code = rgba != NULL && labels != NULL ? hl_result_overlay(map, rgba, needed, &needed, &columns, &rows) : HL_E_MEMORY;
    if (code == HL_OK) code = hl_result_labels(map, labels, needed / 4, &same, &columns, &rows);
    for (uint64_t i = 0; code == HL_OK && i < same; i++) {
        opaque += rgba[4 * i + 3] != 0;
        labelled += labels[i] != 0;
    }
    free(rgba);
    free(labels);
    if (code != HL_OK) return failed("overlay", code);
    fprintf(stderr, "overlay: %" PRIu32 " x %" PRIu32 " cells, %" PRIu64 " of tissue\n", columns, rows, labelled);
    return opaque != labelled || labelled == 0;
}

static int work(hl_context context, openslide_t *slide, const char *out, const char *more_cluster, const char *more_synth) {
    hl_slide handle = 0;
    hl_result map = 0, tiles = 0, edited = 0, merged = 0, of_merged = 0, parted = 0;
    char *cluster = parameters(out, "map", more_cluster), *synth = parameters(out, "tiles", more_synth);
    /* half of the tile is to be class 1, half class 2 with fewer nuclei and some of class 1 mixed in */
    char *edit = parameters(out, "edited",
                            "\"n\": 1, \"size_px\": 128, \"steps\": 3, \"shares\": {\"1\": 0.5, \"2\": 0.5}, "
                            "\"measures\": {\"2\": {\"nuclei\": 0.1}}, \"mix\": {\"2\": {\"with\": 1, \"share\": 0.3}}");
    char *merge = parameters(out, "merged", "\"edits\": [{\"merge\": [1, 2]}, {\"rename\": {\"label\": 1, \"name\": \"Both\"}}]");
    char *one = parameters(out, "tile_of_merged", "\"n\": 1, \"size_px\": 128, \"steps\": 3");
    char *part = parameters(out, "parted", "\"undo\": 2");
    int32_t code = open_slide(context, slide, &handle);
    int bad = cluster == NULL || synth == NULL || edit == NULL || merge == NULL || one == NULL || part == NULL;
    if (code != HL_OK) bad = failed("hl_slide_open", code);
    bad = bad || run(context, handle, "cluster", cluster, 0, &map) || fetch_overlay(map);
    bad = bad || run(context, 0, "synth", synth, map, &tiles);
    bad = bad || run(context, 0, "synth", edit, map, &edited);
    bad = bad || run(context, 0, "edit", merge, map, &merged) || fetch_overlay(merged);
    bad = bad || run(context, 0, "synth", one, merged, &of_merged);
    bad = bad || run(context, 0, "edit", part, merged, &parted) || fetch_overlay(parted);
    hl_result_release(parted);
    hl_result_release(of_merged);
    hl_result_release(merged);
    hl_result_release(edited);
    hl_result_release(tiles);
    hl_result_release(map);
    hl_slide_release(handle);
    free(cluster);
    free(synth);
    free(edit);
    free(merge);
    free(one);
    free(part);
    return bad;
}

/* How this process treats signals, as the system tells it; "" where it does not. */
static void signals(char *out, size_t size) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    size_t used = 0;
    out[0] = '\0';
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "SigIgn", 6) == 0 || strncmp(line, "SigCgt", 6) == 0) used += (size_t)snprintf(out + used, size - used, "%s", line);
    if (f != NULL) fclose(f);
}

/* Opens a GPU if there is one, which runs a small network on it, and says what came of it. */
static int try_gpu(hl_config config) {
    hl_context context = 0;
    uint64_t needed = 0;
    config.device = "gpu";
    int32_t code = hl_context_create(&config, &context);
    if (code == HL_OK) code = hl_doctor_json(context, NULL, 0, &needed);
    char *text = malloc(needed + 1);
    if (code == HL_OK && text != NULL && (code = hl_doctor_json(context, text, needed, &needed)) == HL_OK) fprintf(stderr, "doctor: %s\n", text);
    free(text);
    hl_context_release(context);
    return code != HL_OK;
}

static void *nothing(void *arg) { return arg; }

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s MODELS_DIR SLIDE OUT_DIR [CLUSTER_MEMBERS [SYNTH_MEMBERS]]\n", argv[0]);
        return 2;
    }
    if (hl_abi_version() >> 16 != HL_ABI_VERSION >> 16 || hl_sizeof(HL_SIZEOF_SLIDE_DESC) < sizeof(hl_slide_desc)) {
        fprintf(stderr, "this libhistoloom speaks another ABI\n");
        return 2;
    }
    pthread_t first;
    char before[512], after[512];
    if (pthread_create(&first, NULL, nothing, NULL) == 0) pthread_join(first, NULL); /* with its first thread, glibc takes a signal of its own */
    signals(before, sizeof before);
    openslide_t *slide = openslide_open(argv[2]);
    if (slide == NULL || openslide_get_error(slide) != NULL) {
        fprintf(stderr, "cannot open %s: %s\n", argv[2], slide != NULL ? openslide_get_error(slide) : "not a slide OpenSlide reads");
        if (slide != NULL) openslide_close(slide);
        return 1;
    }
    hl_host host;
    memset(&host, 0, sizeof host);
    host.struct_size = sizeof host;
    host.abi = HL_ABI_VERSION;
    host.user = slide;
    host.max_concurrent_reads = 2;
    host.read_region = read_region;
    host.log = log_line;
    hl_config config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.models_dir = argv[1];
    config.device = "cpu";
    config.host = &host;
    hl_context context = 0;
    int32_t code = hl_context_create(&config, &context);
    int bad = code != HL_OK ? failed("hl_context_create", code) : work(context, slide, argv[3], argc > 4 ? argv[4] : "", argc > 5 ? argv[5] : "");
    hl_context_release(context);
    if (!bad) bad = try_gpu(config);
    openslide_close(slide);
    signals(after, sizeof after);
    if (strcmp(before, after) != 0) {
        fprintf(stderr, "signals were\n%sand are\n%s", before, after);
        bad = 1;
    }
    return bad;
}
