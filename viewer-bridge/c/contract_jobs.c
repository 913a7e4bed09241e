/* The contract test's jobs: reads that go wrong, cancelling, releasing, results, panics, threads. */
#include "contract.h"

static int32_t f_tile(uint64_t h, char *d, uint64_t c, uint64_t *n) { return hl_result_tile_json(h, 0, d, c, n); }
static int32_t f_rgb(uint64_t h, uint8_t *d, uint64_t c, uint64_t *n, uint32_t *x, uint32_t *y) {
    return hl_result_tile_rgb(h, 0, d, c, n, x, y);
}
static int32_t f_tile_labels(uint64_t h, uint8_t *d, uint64_t c, uint64_t *n, uint32_t *x, uint32_t *y) {
    return hl_result_tile_labels(h, 0, d, c, n, x, y);
}

void part_reads(void) {
    static const enum fault faults[] = {SHORT, ZERO, NEGATIVE, HUGE_COUNT, ONE_MORE, OVERRUN};
    host_state h;
    new_state(&h);
    const hl_context context = new_context(&h);
    const hl_slide slide = new_slide(context);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        uint64_t needed = 0;
        hl_result result = 0;
        h.fault = faults[i];
        const hl_job job = start(context, slide, "{\"reads\": 3}");
        CODE(hl_job_wait(job, HL_FOREVER), HL_OK);
        const hl_progress p = poll_of(job);
        CHECK(p.state == HL_JOB_FAILED && p.error == HL_E_HOST);
        CODE(hl_job_result(job, &result), HL_E_HOST);
        CODE(hl_job_error(job, NULL, 0, &needed), HL_OK);
        CHECK(needed > 20);
        h.fault = GOOD;
        const hl_job next = start(context, slide, "{\"reads\": 3}");
        CODE(hl_job_wait(next, HL_FOREVER), HL_OK);
        CHECK(poll_of(next).state == HL_JOB_DONE);
    }
    /* the same colour in every pixel format; regions that stick out of the slide are asked for inside it only */
    const uint8_t pixels[4][4] = {{200, 10, 20, 128}, {20, 10, 200, 128}, {100, 5, 10, 128}, {10, 5, 100, 128}};
    for (uint32_t format = 1; format <= 4; format++) {
        hl_slide_desc d = slide_desc();
        hl_slide other = 0;
        d.pixel_format = format;
        memcpy(h.pixel, pixels[format - 1], 4);
        CODE(hl_slide_open(context, &d, &other), HL_OK);
        const hl_job job = start(context, other, "{\"reads\": 1}");
        CODE(hl_job_wait(job, HL_FOREVER), HL_OK);
        char *json = json_of(job);
        CHECK(strstr(json, "\"mean_rgb\":[227.0,132.0,137.0]") != NULL);
        free(json);
    }
    const hl_job edge = start(context, slide, "{\"reads\": 40, \"side_px\": 300}");
    CODE(hl_job_wait(edge, HL_FOREVER), HL_OK);
    CHECK(poll_of(edge).state == HL_JOB_DONE && h.wrong == 0 && h.most_reading <= 2);
    CODE(hl_context_release(context), HL_OK);
}

void part_cancel(void) {
    host_state h;
    new_state(&h);
    const hl_context context = new_context(&h);
    const hl_slide slide = new_slide(context);
    hl_job jobs[64], last = 0;
    /* a bounded queue: the first sleeps, the others wait behind it, the last is refused */
    for (int i = 0; i < 64; i++) jobs[i] = start(context, slide, "{\"steps\": 1000, \"step_ms\": 20}");
    CODE(hl_job_start(context, slide, "selftest", NULL, 0, &last), HL_E_BUSY);
    CODE(hl_job_wait(jobs[63], 10), HL_E_TIMEOUT);
    hl_result result = 0;
    CODE(hl_job_result(jobs[63], &result), HL_E_STATE);
    CHECK(poll_of(jobs[63]).state == HL_JOB_QUEUED);
    const double before = now_ms();
    CODE(hl_job_cancel(jobs[63]), HL_OK);
    CODE(hl_job_wait(jobs[63], HL_FOREVER), HL_OK);
    printf("  a waiting job was cancelled in %.0f ms\n", now_ms() - before);
    for (int i = 0; i < 63; i++) CODE(hl_job_cancel(jobs[i]), HL_OK);
    for (int i = 0; i < 64; i++) {
        CODE(hl_job_cancel(jobs[i]), HL_OK); /* any number of times */
        CODE(hl_job_wait(jobs[i], HL_FOREVER), HL_OK);
        CHECK(poll_of(jobs[i]).state == HL_JOB_CANCELLED);
        CODE(hl_job_result(jobs[i], &result), HL_E_CANCELLED);
        CODE(hl_job_release(jobs[i]), HL_OK);
    }
    for (int i = 0; i < 300; i++) { /* cancelled at once, and released while they run */
        const hl_job job = start(context, slide, "{\"reads\": 5, \"steps\": 50, \"step_ms\": 1}");
        if (i % 2 == 0) CODE(hl_job_cancel(job), HL_OK);
        if (i % 3 == 0) CODE(hl_job_wait(job, HL_FOREVER), HL_OK);
        CODE(hl_job_release(job), HL_OK);
        if (i % 50 == 49) {
            const hl_job end = start(context, 0, "{\"steps\": 0}");
            CODE(hl_job_wait(end, HL_FOREVER), HL_OK);
            CODE(hl_job_release(end), HL_OK);
        }
    }
    /* from inside callbacks */
    h.fault = CANCELS;
    h.job = start(context, slide, "{\"steps\": 1}"); /* reads nothing, so that h.job is set before the next one reads */
    CODE(hl_job_wait(h.job, HL_FOREVER), HL_OK);
    const hl_job reader = start(context, slide, "{\"steps\": 5, \"step_ms\": 20, \"reads\": 2}");
    CODE(hl_job_wait(reader, HL_FOREVER), HL_OK);
    h.fault = GOOD;
    h.progress_says = 1;
    const hl_job told = start(context, 0, "{\"steps\": 500, \"step_ms\": 20}");
    CODE(hl_job_wait(told, 5000), HL_OK);
    CHECK(poll_of(told).state == HL_JOB_CANCELLED && h.progresses > 0);
    h.progress_says = 0;
    /* a slow reader delays the slide's release, not for ever; afterwards nothing is read */
    h.fault = SLOW;
    const hl_job slow = start(context, slide, "{\"reads\": 100}");
    sleep_ms(100);
    CODE(hl_slide_release(slide), HL_OK);
    const int reads = h.reads;
    CODE(hl_job_wait(slow, HL_FOREVER), HL_OK);
    CHECK(poll_of(slow).state == HL_JOB_CANCELLED && h.reads == reads && h.reading == 0);
    CODE(hl_context_release(context), HL_OK);
    CHECK(h.wrong == 0);
}

void part_release(void) {
    host_state h, quiet;
    new_state(&h);
    new_state(&quiet);
    /* in mid-job: joins, and calls nothing back afterwards */
    hl_context context = new_context(&h);
    hl_slide slide = new_slide(context);
    h.fault = SLOW;
    const hl_job job = start(context, slide, "{\"reads\": 100}");
    sleep_ms(100);
    CODE(hl_context_release(context), HL_OK);
    const int reads = h.reads, lines = h.lines, progresses = h.progresses;
    sleep_ms(300);
    CHECK(h.reads == reads && h.lines == lines && h.progresses == progresses && h.reading == 0);
    try_dead(job);
    try_dead(context);
    /* from inside a callback: deferred, and no deadlock */
    context = new_context(&quiet);
    slide = new_slide(context);
    CHECK(start(context, slide, "{\"reads\": 1, \"steps\": 20, \"step_ms\": 10}") != 0);
    pthread_mutex_lock(&quiet.lock);
    quiet.release_in_log = context; /* by the line at the end of the job, if not before */
    pthread_mutex_unlock(&quiet.lock);
    for (int i = 0; i < 200 && hl_job_start(context, 0, "selftest", NULL, 0, &(hl_job){0}) != HL_E_HANDLE; i++) sleep_ms(20);
    sleep_ms(400);
    CODE(hl_slide_release(slide), HL_E_HANDLE);
    CHECK(quiet.wrong == 0);
}

static int32_t f_classes(uint64_t h, char *d, uint64_t c, uint64_t *n) { return hl_result_csv(h, "classes", d, c, n); }

/* The made-up map, 8 x 8 cells of 16 px, drawn piece by piece. */
static void part_regions(hl_result result) {
    const hl_region whole = {sizeof whole, HL_PIXEL_BGRA8, 0, 0, 16.0, 8, 8, 0, 0, 0, 0, 0};
    outputs o;
    memset(&o, 0xA5, sizeof o);
    uint8_t *dst = (uint8_t *)o.text;
    CODE(hl_result_labels_region(result, NULL, dst, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_result_labels_region(result, &whole, NULL, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_result_labels_region(result, &whole, dst, 64, NULL), HL_E_ARGUMENT);
    CODE(hl_result_labels_region(result, &whole, dst, 63, &o.needed), HL_E_BUFFER);
    CODE(hl_result_overlay_region(result, NULL, dst, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_result_overlay_region(result, &whole, dst, 64, &o.needed), HL_E_BUFFER);
    CODE(hl_result_csv(result, NULL, o.text, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_result_csv(result, "cells", o.text, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_result_csv(result, "k", o.text, 64, &o.needed), HL_E_ARGUMENT); /* it has no hierarchy */
    hl_region r;
#define NO_REGION(field, value, code)                                            \
    do {                                                                         \
        r = whole;                                                               \
        r.field = (value);                                                       \
        CODE(hl_result_labels_region(result, &r, dst, 64, &o.needed), code);     \
        CODE(hl_result_overlay_region(result, &r, dst, 64, &o.needed), code);    \
    } while (0)
    NO_REGION(struct_size, 0, HL_E_ABI);
    NO_REGION(struct_size, 0xFFFFFFFF, HL_E_ABI);
    NO_REGION(downsample, 0.0, HL_E_ARGUMENT);
    NO_REGION(downsample, strtod("nan", NULL), HL_E_ARGUMENT);
    NO_REGION(width_px, 0, HL_E_ARGUMENT);
    NO_REGION(height_px, 0xFFFFFFFF, HL_E_LIMIT);
    NO_REGION(width_px, 0x8001, HL_E_LIMIT);
    NO_REGION(stride_bytes, 7, HL_E_ARGUMENT);
    NO_REGION(stride_bytes, 0xFFFFFFFF, HL_E_LIMIT);
    NO_REGION(z, 1, HL_E_UNSUPPORTED);
    r = whole;
    r.pixel_format = 9;
    CODE(hl_result_overlay_region(result, &r, dst, 64, &o.needed), HL_E_UNSUPPORTED);
    CHECK(all_a5(&o, sizeof o));
    /* all of it, one pixel a cell, is what the other functions give, in rows of 40 bytes */
    uint8_t labels[64], rgba[256], rows[320];
    uint64_t needed = 0;
    uint32_t w = 0, h = 0;
    CODE(hl_result_labels(result, labels, sizeof labels, &needed, &w, &h), HL_OK);
    CODE(hl_result_overlay(result, rgba, sizeof rgba, &needed, &w, &h), HL_OK);
    CODE(hl_result_labels_region(result, &whole, dst, 64, &needed), HL_OK);
    CHECK(needed == 64 && memcmp(dst, labels, 64) == 0);
    r = whole;
    r.stride_bytes = 40;
    CODE(hl_result_overlay_region(result, &r, NULL, 0, &needed), HL_OK);
    CHECK(needed == sizeof rows);
    CODE(hl_result_overlay_region(result, &r, rows, sizeof rows, &needed), HL_OK);
    for (int i = 0; i < 64; i++) {
        const uint8_t *bgra = rows + 40 * (i / 8) + 4 * (i % 8), *rgb = rgba + 4 * i;
        CHECK(bgra[0] == rgb[2] && bgra[1] == rgb[1] && bgra[2] == rgb[0] && bgra[3] == rgb[3]);
        CHECK(i % 8 != 7 || (rows[40 * (i / 8) + 32] == 0 && rows[40 * (i / 8) + 39] == 0));
    }
    /* outside there is nothing, far away everything is one pixel: seven of eight rows of cells are tissue */
    r = whole;
    r.x_px = INT64_MIN;
    CODE(hl_result_overlay_region(result, &r, rgba, sizeof rgba, &needed), HL_OK);
    for (int i = 0; i < 256; i++) CHECK(rgba[i] == 0);
    r = whole;
    r.downsample = 128.0;
    r.width_px = r.height_px = 1;
    r.pixel_format = HL_PIXEL_RGBA8_PRE;
    CODE(hl_result_overlay_region(result, &r, rgba, sizeof rgba, &needed), HL_OK);
    CHECK(needed == 4 && rgba[3] == 255 * 7 / 8 && rgba[0] <= rgba[3] && rgba[0] > 0);
}

void part_results(void) {
    host_state h;
    new_state(&h);
    const hl_context context = new_context(&h);
    const hl_job job = start(context, 0, "{\"tiles\": 2, \"steps\": 3}");
    hl_result first = 0, second = 0;
    uint64_t needed = 0;
    uint32_t w = 0, height = 0;
    CODE(hl_job_wait(job, HL_FOREVER), HL_OK);
    CODE(hl_job_result(job, &first), HL_OK);
    CODE(hl_job_result(job, &second), HL_OK);
    CHECK(first != second);
    try_picture(hl_job_partial, job, 4, 3, 4);
    CODE(hl_job_release(job), HL_OK);
    CODE(hl_result_release(second), HL_OK);
    try_text(hl_result_json, first);
    try_text(hl_result_geojson, first);
    try_text(hl_result_provenance_json, first);
    try_text(f_classes, first);
    part_regions(first);
    try_text(f_tile, first);
    try_picture(hl_result_labels, first, 8, 8, 1);
    try_picture(hl_result_overlay, first, 8, 8, 4);
    try_picture(f_rgb, first, 64, 64, 3);
    try_picture(f_tile_labels, first, 64, 64, 1);
    CODE(hl_result_tile_rgb(first, 2, NULL, 0, &needed, &w, &height), HL_E_ARGUMENT);
    CODE(hl_result_tile_rgb(first, 0xFFFFFFFF, NULL, 0, &needed, &w, &height), HL_E_ARGUMENT);
    CODE(hl_context_release(context), HL_OK);
    try_dead(first);
}

void part_panic(void) {
    host_state h, other;
    new_state(&h);
    new_state(&other);
    const hl_context context = new_context(&h), healthy = new_context(&other);
    const hl_job before = start(context, 0, "{}");
    CODE(hl_job_wait(before, HL_FOREVER), HL_OK);
    CODE(hl_selftest_panic(context), HL_E_PANIC);
    hl_job job = 0;
    CODE(hl_job_start(context, 0, "selftest", NULL, 0, &job), HL_E_POISONED);
    CHECK(poll_of(before).state == HL_JOB_DONE); /* what was made can still be fetched */
    const hl_job panics = start(healthy, 0, "{\"panic\": true}");
    CODE(hl_job_wait(panics, HL_FOREVER), HL_OK);
    CHECK(poll_of(panics).state == HL_JOB_FAILED && poll_of(panics).error == HL_E_PANIC);
    CODE(hl_job_start(healthy, 0, "selftest", NULL, 0, &job), HL_E_POISONED);
    CODE(hl_context_release(context), HL_OK);
    CODE(hl_context_release(healthy), HL_OK);
    CHECK(h.lines > 0 && other.lines > 0);
}

static void *one_of_eight(void *arg) {
    (void)arg;
    host_state h;
    new_state(&h);
    const hl_context context = new_context(&h);
    for (int i = 0; i < 20; i++) {
        const hl_slide slide = new_slide(context);
        const hl_job job = start(context, slide, "{\"reads\": 4, \"steps\": 2, \"tiles\": 1}");
        if (i % 4 == 3) CODE(hl_job_cancel(job), HL_OK);
        CODE(hl_job_wait(job, HL_FOREVER), HL_OK);
        if (i % 4 != 3) CHECK(poll_of(job).state == HL_JOB_DONE);
        CODE(hl_slide_release(slide), HL_OK);
        CODE(hl_job_release(job), HL_OK);
    }
    CODE(hl_context_release(context), HL_OK);
    CHECK(h.wrong == 0);
    return NULL;
}

void part_threads(void) {
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, one_of_eight, NULL) == 0);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
}

