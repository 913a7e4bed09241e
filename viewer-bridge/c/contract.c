/* A host that breaks the contract on purpose. Every promise of the header that needs no network is held against the library here;
 * jobs are of the kind "selftest", which reads, sleeps and makes results up. C99, POSIX.
 *
 *     contract [SEED]        prints one line a part; exit 0 when every promise held
 */
#include "contract.h"

#include <inttypes.h>

/* Functions that take no handle, or another first argument, in the shape of the others. */
static int32_t f_last_error(uint64_t h, char *d, uint64_t c, uint64_t *n) { (void)h; return hl_last_error(d, c, n); }
static int32_t f_build(uint64_t h, char *d, uint64_t c, uint64_t *n) { (void)h; return hl_build_info_json(d, c, n); }
static int32_t f_schema(uint64_t h, char *d, uint64_t c, uint64_t *n) { (void)h; return hl_params_schema_json("synth", d, c, n); }
static int32_t f_ops(uint64_t h, char *d, uint64_t c, uint64_t *n) { (void)h; return hl_ops_json(d, c, n); }

/* NULL for every argument of the functions that make handles, one at a time. */
static void part_null(hl_context context, hl_slide slide, hl_job job) {
    outputs o;
    host_state h;
    new_state(&h);
    const hl_host host = host_table(&h);
    hl_config config = config_for(&host);
    const hl_slide_desc d = slide_desc();
    memset(&o, 0xA5, sizeof o);
    CODE(hl_context_create(NULL, &o.handle), HL_E_ARGUMENT);
    CODE(hl_context_create(&config, NULL), HL_E_ARGUMENT);
    config = config_for(NULL);
    CODE(hl_context_create(&config, &o.handle), HL_E_ARGUMENT);
    CODE(hl_slide_open(context, NULL, &o.handle), HL_E_ARGUMENT);
    CODE(hl_slide_open(context, &d, NULL), HL_E_ARGUMENT);
    CODE(hl_slide_open(0, &d, &o.handle), HL_E_HANDLE);
    CODE(hl_job_start(0, slide, "selftest", NULL, 0, &o.handle), HL_E_HANDLE);
    CODE(hl_job_start(context, slide, NULL, NULL, 0, &o.handle), HL_E_ARGUMENT);
    CODE(hl_job_start(context, slide, "selftest", NULL, 0, NULL), HL_E_ARGUMENT);
    CODE(hl_job_start(context, 0, "cluster", NULL, 0, &o.handle), HL_E_ARGUMENT);
    CODE(hl_job_start(context, 0, "synth", NULL, 0, &o.handle), HL_E_PARAMETER);
    CODE(hl_job_start(context, slide, "no such kind", NULL, 0, &o.handle), HL_E_UNSUPPORTED);
    CODE(hl_job_start(context, slide, "cluster", "{\"kk\": 3}", 0, &o.handle), HL_E_PARAMETER);
    CODE(hl_job_poll(job, NULL), HL_E_ARGUMENT);
    CODE(hl_job_result(job, NULL), HL_E_ARGUMENT);
    CODE(hl_params_schema_json(NULL, o.text, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_params_schema_json("what", o.text, 64, &o.needed), HL_E_UNSUPPORTED);
    CODE(hl_op_check_json(NULL, o.text, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_op_check_json("/no/such/op.wasm", o.text, 64, &o.needed), HL_E_FILE);
    CODE(hl_inspect_json(NULL, o.text, 64, &o.needed), HL_E_ARGUMENT);
    CODE(hl_inspect_json("/no/such/file.png", o.text, 64, &o.needed), HL_E_FILE);
    CHECK(all_a5(&o, sizeof o));
    config = config_for(&host);
    config.models_dir = NULL; /* those that came with the library */
    hl_context with_own_models = 0;
    CODE(hl_context_create(&config, &with_own_models), HL_OK);
    CODE(hl_context_release(with_own_models), HL_OK);
    CODE(hl_context_release(0), HL_OK);
    CODE(hl_slide_release(0), HL_OK);
    CODE(hl_job_release(0), HL_OK);
    CODE(hl_result_release(0), HL_OK);
    try_text(f_last_error, 0);
    try_text(f_build, 0);
    try_text(f_schema, 0);
    try_text(f_ops, 0);
    try_text(hl_job_params_json, job);
    try_text(hl_job_error, job);
}

static void part_structs(hl_context context, hl_job job) {
    host_state h;
    new_state(&h);
    struct { hl_host s; uint8_t tail[16]; } host;
    struct { hl_config s; uint8_t tail[16]; } config;
    struct { hl_slide_desc s; uint8_t tail[16]; } desc;
    struct { hl_progress s; uint8_t tail[16]; } p;
    static const uint32_t wrong[] = {0, 1, 4, 16, 31, 4097, 0x7FFFFFFF, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        outputs o;
        memset(&o, 0xA5, sizeof o);
        memset(&p, 0xA5, sizeof p);
        host.s = host_table(&h);
        config.s = config_for(&host.s);
        desc.s = slide_desc();
        config.s.struct_size = wrong[i];
        CODE(hl_context_create(&config.s, &o.handle), HL_E_ABI);
        config.s.struct_size = sizeof config.s;
        host.s.struct_size = wrong[i];
        CODE(hl_context_create(&config.s, &o.handle), HL_E_ABI);
        desc.s.struct_size = wrong[i];
        CODE(hl_slide_open(context, &desc.s, &o.handle), HL_E_ABI);
        p.s.struct_size = wrong[i];
        CODE(hl_job_poll(job, &p.s), HL_E_ABI);
        CHECK(all_a5(&o, sizeof o) && all_a5((uint8_t *)&p + 4, sizeof p - 4));
    }
    /* a newer host: zeros behind are fine, anything else is not understood */
    memset(&desc, 0, sizeof desc);
    desc.s = slide_desc();
    desc.s.struct_size = sizeof desc.s + 16;
    hl_slide slide = 0;
    CODE(hl_slide_open(context, &desc.s, &slide), HL_OK);
    CODE(hl_slide_release(slide), HL_OK);
    desc.tail[9] = 1;
    CODE(hl_slide_open(context, &desc.s, &slide), HL_E_UNSUPPORTED);
    memset(&p, 0xA5, sizeof p);
    p.s.struct_size = sizeof p.s + 16;
    CODE(hl_job_poll(job, &p.s), HL_OK);
    CHECK(p.s.struct_size == sizeof p.s + 16 && all_a5(p.tail, 16) && memchr(p.s.stage, 0, sizeof p.s.stage) != NULL);
    host.s = host_table(&h);
    host.s.abi = HL_ABI_VERSION + 0x10000;
    config.s = config_for(&host.s);
    CODE(hl_context_create(&config.s, &slide), HL_E_ABI);
}

static void part_values(hl_context context, hl_slide slide) {
    static const char bad[] = {'a', (char)0xC3, (char)0x28, 0};
    outputs o;
    host_state h;
    new_state(&h);
    const hl_host host = host_table(&h);
    hl_config config = config_for(&host);
    memset(&o, 0xA5, sizeof o);
    config.models_dir = bad;
    CODE(hl_context_create(&config, &o.handle), HL_E_UTF8);
    config = config_for(&host);
    config.device = bad;
    CODE(hl_context_create(&config, &o.handle), HL_E_UTF8);
    CODE(hl_job_start(context, slide, bad, NULL, 0, &o.handle), HL_E_UTF8);
    CODE(hl_job_start(context, slide, "selftest", bad, 0, &o.handle), HL_E_UTF8);
    CODE(hl_params_schema_json(bad, o.text, 64, &o.needed), HL_E_UTF8);
    char *longest = malloc(2 << 20);
    memset(longest, ' ', 2 << 20);
    longest[(2 << 20) - 1] = '\0';
    CODE(hl_job_start(context, slide, "selftest", longest, 0, &o.handle), HL_E_LIMIT);
    free(longest);
    CODE(hl_job_start(context, slide, "import", "{\"file\": \"a.ckpt\", \"out_dir\": \"b\"}", 0, &o.handle), HL_E_ARGUMENT);
    CODE(hl_job_start(context, 0, "import", "{\"file\": \"a.ckpt\"}", 0, &o.handle), HL_E_PARAMETER);
    CODE(hl_job_start(context, 0, "import", NULL, 0, &o.handle), HL_E_PARAMETER);
    CODE(hl_job_start(context, slide, "edit", "{\"from\": \"map\"}", 0, &o.handle), HL_E_ARGUMENT);
    CODE(hl_job_start(context, 0, "edit", NULL, 0, &o.handle), HL_E_PARAMETER);
    CODE(hl_job_start(context, 0, "edit", "{\"from\": \"map\", \"edits\": [{\"melt\": 1}]}", 0, &o.handle), HL_E_PARAMETER);
    CODE(hl_job_start(context, 0, "edit", "{\"from\": \"map\", \"undo\": -1}", 0, &o.handle), HL_E_PARAMETER);
    hl_slide_desc d = slide_desc();
#define REFUSED(field, value, code)                         \
    do {                                                    \
        d = slide_desc();                                   \
        d.field = (value);                                  \
        CODE(hl_slide_open(context, &d, &o.handle), code);  \
    } while (0)
    const double nan_value = strtod("nan", NULL);
    const double falling[2] = {4.0, 1.0};
    REFUSED(name, bad, HL_E_UTF8);
    REFUSED(id, bad, HL_E_UTF8);
    REFUSED(width_px, 0, HL_E_LIMIT);
    REFUSED(height_px, UINT64_MAX, HL_E_LIMIT);
    REFUSED(mpp_x, -1.0, HL_E_PARAMETER);
    REFUSED(mpp_y, nan_value, HL_E_PARAMETER);
    REFUSED(mpp_x, 2.0, HL_E_SLIDE);
    REFUSED(pixel_format, 99, HL_E_UNSUPPORTED);
    REFUSED(levels, 0xFFFFFFFF, HL_E_LIMIT);
    REFUSED(downsamples, NULL, HL_E_ARGUMENT);
    REFUSED(downsamples, falling, HL_E_ARGUMENT);
    CHECK(all_a5(&o, sizeof o));
}

static uint64_t dice_state;
static uint64_t dice(void) { /* xorshift64 */
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state;
}

static void part_handles(host_state *h, hl_context context, hl_slide slide, hl_job job) {
    const hl_slide stale_slide = new_slide(context);
    CODE(hl_slide_release(stale_slide), HL_OK);
    CODE(hl_slide_release(stale_slide), HL_E_HANDLE);
    const hl_job stale_job = start(context, slide, "{}");
    CODE(hl_job_wait(stale_job, HL_FOREVER), HL_OK);
    CODE(hl_job_release(stale_job), HL_OK);
    CODE(hl_job_release(stale_job), HL_E_HANDLE);
    const hl_context other = new_context(h);
    const hl_slide others = new_slide(other);
    hl_job none = 0;
    CODE(hl_job_start(context, others, "selftest", NULL, 0, &none), HL_E_HANDLE);
    CODE(hl_job_start(context, stale_slide, "selftest", NULL, 0, &none), HL_E_HANDLE);
    CODE(hl_job_start(slide, slide, "selftest", NULL, 0, &none), HL_E_HANDLE);
    CODE(hl_job_start(context, job, "selftest", NULL, 0, &none), HL_E_HANDLE);
    CODE(hl_job_start(context, 0, "synth", NULL, job, &none), HL_E_HANDLE);
    CODE(hl_job_cancel(slide), HL_E_HANDLE);
    CODE(hl_result_release(job), HL_E_HANDLE);
    CODE(hl_context_release(other), HL_OK);
    const uint64_t dead[] = {stale_slide, stale_job, other, others, UINT64_MAX, 1};
    for (size_t i = 0; i < sizeof dead / sizeof *dead; i++) try_dead(dead[i]);
    const uint64_t living[] = {context, slide, job};
    for (int i = 0; i < 100000; i++) {
        uint64_t forged = dice();
        if (i % 4 == 1) forged = living[i % 3] ^ (UINT64_C(1) << (dice() % 64));
        if (i % 4 == 2) forged &= 0xFFFFFF;
        if (forged == 0) continue;
        switch (i % 5) {
            case 0: CODE(hl_job_cancel(forged), HL_E_HANDLE); break;
            case 1: CODE(hl_job_release(forged), HL_E_HANDLE); break;
            case 2: CODE(hl_slide_release(forged), HL_E_HANDLE); break;
            case 3: CODE(hl_result_release(forged), HL_E_HANDLE); break;
            default: CODE(hl_context_release(forged), HL_E_HANDLE);
        }
        if (broken > 20) return;
    }
}

/* The line of /proc/self/status that begins with a name. */
static void status_line(const char *name, char *line, size_t size) {
    FILE *f = fopen("/proc/self/status", "r");
    *line = '\0';
    while (f != NULL && fgets(line, (int)size, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0) break;
    if (f != NULL) fclose(f);
}

static void *nothing(void *arg) { return arg; }

int main(int argc, char **argv) {
    char caught[2][256], ignored[2][256];
    dice_state = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (dice_state == 0) dice_state = UINT64_C(88172645463325252);
    printf("seed %" PRIu64 "\n", dice_state);
    pthread_t first;
    CHECK(pthread_create(&first, NULL, nothing, NULL) == 0); /* with its first thread, glibc takes a signal of its own */
    pthread_join(first, NULL);
    status_line("SigCgt", caught[0], sizeof caught[0]);
    status_line("SigIgn", ignored[0], sizeof ignored[0]);
    CHECK(hl_abi_version() == HL_ABI_VERSION);
    CHECK(hl_sizeof(HL_SIZEOF_HOST) == sizeof(hl_host) && hl_sizeof(HL_SIZEOF_CONFIG) == sizeof(hl_config));
    CHECK(hl_sizeof(HL_SIZEOF_SLIDE_DESC) == sizeof(hl_slide_desc) && hl_sizeof(HL_SIZEOF_REGION) == sizeof(hl_region));
    CHECK(hl_sizeof(HL_SIZEOF_PROGRESS) == sizeof(hl_progress) && hl_sizeof(0) == 0 && hl_sizeof(99) == 0);
    CHECK(strcmp(hl_error_name(HL_E_BUSY), "HL_E_BUSY") == 0 && hl_error_name(12345) != NULL);
    host_state h;
    new_state(&h);
    const hl_context context = new_context(&h);
    const hl_slide slide = new_slide(context);
    const hl_job job = start(context, slide, NULL);
    CODE(hl_job_wait(job, HL_FOREVER), HL_OK);
#define PART(call) (printf("%s\n", #call), fflush(stdout), (call))
    PART(part_null(context, slide, job));
    PART(part_structs(context, job));
    PART(part_values(context, slide));
    PART(part_handles(&h, context, slide, job));
    PART(part_reads());
    PART(part_cancel());
    PART(part_release());
    PART(part_results());
    PART(part_panic());
    PART(part_threads());
    CODE(hl_context_release(context), HL_OK);
    status_line("SigCgt", caught[1], sizeof caught[1]);
    status_line("SigIgn", ignored[1], sizeof ignored[1]);
    CHECK(strcmp(caught[0], caught[1]) == 0 && strcmp(ignored[0], ignored[1]) == 0);
    printf(broken == 0 ? "every promise held\n" : "%d promises were broken\n", broken);
    return broken != 0;
}
