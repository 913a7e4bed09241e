/* What the parts of the contract test share: checks, and a host that can misbehave. */
#ifndef CONTRACT_H
#define CONTRACT_H

#define _POSIX_C_SOURCE 200809L
#include <histoloom.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Number of promises that did not hold. */
extern int broken;
#define CHECK(holds)                                                         \
    do {                                                                     \
        if (!(holds)) {                                                      \
            printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #holds); \
            broken++;                                                        \
        }                                                                    \
    } while (0)
#define CODE(call, code)                                                                                          \
    do {                                                                                                          \
        const int32_t got_ = (call);                                                                              \
        if (got_ != (code)) {                                                                                     \
            printf("%s:%d: %s is %s, not %s\n", __FILE__, __LINE__, #call, hl_error_name(got_), hl_error_name(code)); \
            broken++;                                                                                             \
        }                                                                                                         \
    } while (0)

int32_t hl_selftest_panic(hl_context context); /* exported for this test, not in the header */

/* What read_region does wrong. */
enum fault { GOOD, SHORT, ZERO, NEGATIVE, HUGE_COUNT, ONE_MORE, OVERRUN, SLOW, CANCELS };

typedef struct {
    enum fault fault;
    uint8_t pixel[4];
    hl_job job;            /* for CANCELS */
    int32_t progress_says; /* what the progress callback returns */
    pthread_mutex_t lock;
    int reads, reading, most_reading, lines, progresses, wrong;
    hl_context release_in_log;
} host_state;

/* Outputs of every function, filled with 0xA5 before a call that must fail. */
typedef struct {
    uint64_t handle, needed;
    uint32_t width, height;
    char text[64];
    hl_progress progress;
} outputs;

/* Time. */
void sleep_ms(long ms);
double now_ms(void);

/* A host, and what it takes to use the library from it. */
void new_state(host_state *h);
hl_host host_table(host_state *h);
hl_config config_for(const hl_host *host);
hl_context new_context(host_state *h);
hl_slide_desc slide_desc(void);
hl_slide new_slide(hl_context context);
hl_job start(hl_context context, hl_slide slide, const char *params);
hl_progress poll_of(hl_job job);
char *json_of(hl_job job);
int all_a5(const void *bytes, size_t n);

/* Every text and picture function in one shape. */
typedef int32_t (*text_fn)(uint64_t, char *, uint64_t, uint64_t *);
typedef int32_t (*picture_fn)(uint64_t, uint8_t *, uint64_t, uint64_t *, uint32_t *, uint32_t *);
void try_text(text_fn f, uint64_t handle);
void try_picture(picture_fn f, uint64_t handle, uint32_t width, uint32_t height, uint32_t channels);
/* Every function that takes a handle refuses a dead one and writes nothing. */
void try_dead(uint64_t handle);

/* The parts that need jobs. */
void part_reads(void);
void part_cancel(void);
void part_release(void);
void part_results(void);
void part_panic(void);
void part_threads(void);

#endif
