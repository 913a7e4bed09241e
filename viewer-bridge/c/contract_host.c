/* The host of the contract test: it keeps its promises unless it is told not to. */
#include "contract.h"

#include <time.h>

int broken;

void sleep_ms(long ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int64_t read_region(void *user, const hl_region *r, uint8_t *dst, uint64_t cap) {
    host_state *h = user;
    const int64_t want = (int64_t)r->stride_bytes * r->height_px;
    pthread_mutex_lock(&h->lock);
    h->reads++;
    h->reading++;
    if (h->reading > h->most_reading) h->most_reading = h->reading;
    if (r->struct_size < sizeof *r || (uint64_t)want > cap || r->token != 77 || r->x_px < 0 || r->y_px < 0) h->wrong++;
    pthread_mutex_unlock(&h->lock);
    for (int64_t i = 0; i < want; i++) dst[i] = h->pixel[i % 4];
    if (h->fault == OVERRUN) dst[cap] = 1;
    if (h->fault == SLOW) sleep_ms(300);
    if (h->fault == CANCELS && hl_job_cancel(h->job) != HL_OK) h->wrong++;
    pthread_mutex_lock(&h->lock);
    h->reading--;
    pthread_mutex_unlock(&h->lock);
    switch (h->fault) {
        case SHORT: return want - 1;
        case ZERO: return 0;
        case NEGATIVE: return -1;
        case HUGE_COUNT: return INT64_MAX;
        case ONE_MORE: return want + 1;
        default: return want;
    }
}

static void log_line(void *user, int32_t level, const char *text) {
    host_state *h = user;
    pthread_mutex_lock(&h->lock);
    h->lines++;
    if (level < HL_LOG_ERROR || level > HL_LOG_DEBUG || text == NULL) h->wrong++;
    const hl_context release = h->release_in_log;
    h->release_in_log = 0;
    pthread_mutex_unlock(&h->lock);
    if (release != 0 && hl_context_release(release) != HL_OK) h->wrong++;
}

static int32_t progress(void *user, hl_job job, const hl_progress *p) {
    host_state *h = user;
    pthread_mutex_lock(&h->lock);
    h->progresses++;
    if (job == 0 || p->struct_size < sizeof *p) h->wrong++;
    pthread_mutex_unlock(&h->lock);
    return h->progress_says;
}

void new_state(host_state *h) {
    static const uint8_t grey[4] = {120, 120, 120, 255};
    memset(h, 0, sizeof *h);
    memcpy(h->pixel, grey, 4);
    pthread_mutex_init(&h->lock, NULL);
}

hl_host host_table(host_state *h) {
    hl_host t;
    memset(&t, 0, sizeof t);
    t.struct_size = sizeof t;
    t.abi = HL_ABI_VERSION;
    t.user = h;
    t.max_concurrent_reads = 2;
    t.read_region = read_region;
    t.log = log_line;
    t.progress = progress;
    return t;
}

hl_config config_for(const hl_host *host) {
    hl_config c;
    memset(&c, 0, sizeof c);
    c.struct_size = sizeof c;
    c.models_dir = "no such folder";
    c.device = "cpu";
    c.threads = 1;
    c.host = host;
    return c;
}

hl_context new_context(host_state *h) {
    const hl_host host = host_table(h);
    const hl_config config = config_for(&host);
    hl_context context = 0;
    CODE(hl_context_create(&config, &context), HL_OK);
    CHECK(context != 0);
    return context;
}

hl_slide_desc slide_desc(void) {
    static const double downsamples[2] = {1.0, 4.0};
    hl_slide_desc d;
    memset(&d, 0, sizeof d);
    d.struct_size = sizeof d;
    d.pixel_format = HL_PIXEL_RGBA8;
    d.width_px = 1000;
    d.height_px = 800;
    d.downsamples = downsamples;
    d.levels = 2;
    d.mpp_x = d.mpp_y = 0.5;
    d.name = "made up";
    d.id = "1";
    d.token = 77;
    return d;
}

hl_slide new_slide(hl_context context) {
    const hl_slide_desc d = slide_desc();
    hl_slide slide = 0;
    CODE(hl_slide_open(context, &d, &slide), HL_OK);
    return slide;
}

hl_job start(hl_context context, hl_slide slide, const char *params) {
    hl_job job = 0;
    CODE(hl_job_start(context, slide, "selftest", params, 0, &job), HL_OK);
    return job;
}

hl_progress poll_of(hl_job job) {
    hl_progress p;
    memset(&p, 0, sizeof p);
    p.struct_size = sizeof p;
    CODE(hl_job_poll(job, &p), HL_OK);
    return p;
}

int all_a5(const void *bytes, size_t n) {
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++)
        if (b[i] != 0xA5) return 0;
    return 1;
}

char *json_of(hl_job job) {
    hl_result result = 0;
    uint64_t needed = 0;
    CODE(hl_job_result(job, &result), HL_OK);
    if (hl_result_json(result, NULL, 0, &needed) != HL_OK) return calloc(1, 1);
    char *json = malloc(needed);
    CODE(hl_result_json(result, json, needed, &needed), HL_OK);
    CODE(hl_result_release(result), HL_OK);
    return json;
}

/* A text function keeps its promises: NULLs, asking the size, too small a buffer, the exact buffer. */
void try_text(text_fn f, uint64_t handle) {
    outputs o;
    uint64_t needed = 0, again = 0;
    memset(&o, 0xA5, sizeof o);
    CODE(f(handle, NULL, 0, NULL), HL_E_ARGUMENT);
    CODE(f(handle, o.text, sizeof o.text, NULL), HL_E_ARGUMENT);
    CODE(f(handle, NULL, 64, &o.needed), HL_E_ARGUMENT);
    CHECK(all_a5(&o, sizeof o));
    CODE(f(handle, NULL, 0, &needed), HL_OK);
    CHECK(needed >= 1);
    if (needed > 1) CODE(f(handle, o.text, 1, &o.needed), HL_E_BUFFER);
    if (needed > 1) CHECK(all_a5(&o, sizeof o));
    CODE(f(handle, NULL, 0, &needed), HL_OK); /* of hl_last_error it has changed */
    char *text = malloc(needed + 8);
    memset(text, 0xA5, needed + 8);
    CODE(f(handle, text, needed, &again), HL_OK);
    CHECK(again == needed && strlen(text) + 1 == needed && all_a5(text + needed, 8));
    free(text);
}

void try_picture(picture_fn f, uint64_t handle, uint32_t width, uint32_t height, uint32_t channels) {
    outputs o;
    uint64_t needed = 0;
    uint32_t w = 0, h = 0;
    memset(&o, 0xA5, sizeof o);
    uint8_t *dst = (uint8_t *)o.text;
    CODE(f(handle, NULL, 64, &o.needed, &o.width, &o.height), HL_E_ARGUMENT);
    CODE(f(handle, dst, 64, NULL, &o.width, &o.height), HL_E_ARGUMENT);
    CODE(f(handle, dst, 64, &o.needed, NULL, &o.height), HL_E_ARGUMENT);
    CODE(f(handle, dst, 64, &o.needed, &o.width, NULL), HL_E_ARGUMENT);
    CODE(f(handle, dst, 1, &o.needed, &o.width, &o.height), HL_E_BUFFER);
    CHECK(all_a5(&o, sizeof o));
    CODE(f(handle, NULL, 0, &needed, &w, &h), HL_OK);
    CHECK(w == width && h == height && needed == (uint64_t)width * height * channels);
    uint8_t *picture = malloc(needed + 8);
    memset(picture, 0xA5, needed + 8);
    CODE(f(handle, picture, needed, &needed, &w, &h), HL_OK);
    CHECK(all_a5(picture + needed, 8));
    free(picture);
}

void try_dead(uint64_t handle) {
    outputs o;
    memset(&o, 0xA5, sizeof o);
    uint8_t *dst = (uint8_t *)o.text;
    o.progress.struct_size = sizeof o.progress;
    CODE(hl_job_poll(handle, &o.progress), HL_E_HANDLE);
    o.progress.struct_size = 0xA5A5A5A5;
    CODE(hl_job_wait(handle, 0), HL_E_HANDLE);
    CODE(hl_job_cancel(handle), HL_E_HANDLE);
    CODE(hl_job_result(handle, &o.handle), HL_E_HANDLE);
    CODE(hl_job_release(handle), HL_E_HANDLE);
    CODE(hl_job_partial(handle, dst, 64, &o.needed, &o.width, &o.height), HL_E_HANDLE);
    CODE(hl_job_error(handle, o.text, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_job_params_json(handle, o.text, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_slide_release(handle), HL_E_HANDLE);
    CODE(hl_result_release(handle), HL_E_HANDLE);
    CODE(hl_result_json(handle, o.text, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_result_geojson(handle, o.text, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_result_labels(handle, dst, 64, &o.needed, &o.width, &o.height), HL_E_HANDLE);
    CODE(hl_result_overlay(handle, dst, 64, &o.needed, &o.width, &o.height), HL_E_HANDLE);
    const hl_region region = {sizeof region, HL_PIXEL_RGBA8, 0, 0, 1.0, 4, 4, 0, 0, 0, 0, 0};
    CODE(hl_result_labels_region(handle, &region, dst, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_result_overlay_region(handle, &region, dst, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_result_csv(handle, "classes", o.text, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_result_provenance_json(handle, o.text, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_result_tile_rgb(handle, 0, dst, 64, &o.needed, &o.width, &o.height), HL_E_HANDLE);
    CODE(hl_result_tile_labels(handle, 0, dst, 64, &o.needed, &o.width, &o.height), HL_E_HANDLE);
    CODE(hl_result_tile_json(handle, 0, o.text, 64, &o.needed), HL_E_HANDLE);
    CODE(hl_context_release(handle), HL_E_HANDLE);
    CODE(hl_doctor_json(handle, o.text, 64, &o.needed), HL_E_HANDLE);
    CHECK(all_a5(&o, sizeof o));
}

