/* Records what every thread does with CPython's GIL, from within its process. No Python API: control.c says how. */
#ifndef TK_RECORDER_H
#define TK_RECORDER_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "raw.h"

#define TK_PUBLIC __attribute__((visibility("default")))
#define TK_RARE(condition) __builtin_expect(!!(condition), 0)
#define TK_LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define TK_STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)

enum { TK_IDLE, TK_TAKING, TK_WAITING, TK_DROPPED };
enum { TK_NO_TICKS = INT32_MIN };
enum { TK_LEARN_NOTHING, TK_LEARN_RELEASE, TK_LEARN_TAKE, TK_LEARN_TAKING, TK_LEARNED };

/* What the recorder knows of a thread, in the thread's own storage. */
typedef struct {
    uint64_t last;             /* clock of its last event */
    uint32_t recording;        /* the rest belongs to this recording */
    uint32_t number, tid;
    uint8_t state, named, learning;
    uint8_t name_length;
    char name[TK_NAME_BYTES];
} tk_thread;

extern __thread tk_thread tk_self __attribute__((tls_model("initial-exec")));

/* The GIL that is recorded. All but the addresses is written under `guard` only. */
typedef struct {
    pthread_mutex_t *guard;    /* the mutex under which events are written; of the new GIL its own */
    pthread_cond_t *cond;      /* the new GIL's condition */
    tk_thread *holder;
    tk_thread *last_holder;
    tk_thread *starter, *stopper;
    uint64_t switches;
    int drop_request;
    const volatile int *ticker;  /* the old GIL's countdown */
    int on;                    /* events are written */
    uint32_t recording;        /* number of this recording, or of this process' part of it */
} tk_gil;

extern tk_gil tk_the_gil;

/* clock.c */
extern int tk_has_counter;
void tk_clock_choose(void);
uint64_t tk_nanoseconds(clockid_t clock);

static inline uint64_t tk_now(void) {
#if defined(__x86_64__)
    if (tk_has_counter)
        return __rdtsc();
#elif defined(__aarch64__)
    if (tk_has_counter) {
        uint64_t now;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(now));
        return now;
    }
#endif
    return tk_nanoseconds(CLOCK_MONOTONIC);
}

/* raw.c: where events go. All but tk_raw_open under the guard. */
typedef struct {
    tk_record *next, *ready;   /* up to `ready` there is memory */
    tk_chunk *chunk;
    tk_header *header;
    uint64_t zero, last, checks;
} tk_raw;

extern tk_raw tk_out;
const char *tk_raw_open(const char *base, const char *metadata, size_t metadata_bytes, uint64_t max_bytes, int old_gil);
int tk_raw_advance(void);
void tk_raw_thread(uint32_t kind, uint32_t number, uint32_t tid, const char *text, size_t length);
void tk_raw_forked(void);
void tk_raw_close(int stopped);
void tk_raw_discard(void);

/* threads.c */
void tk_thread_begin(tk_thread *self);
void tk_threads_prepare(void);
void tk_threads_anew(void);

/* Writes an event of the calling thread, under the guard. `clock`: tk_now() when it happened. */
static inline void tk_event(tk_thread *self, uint32_t code, uint64_t clock, int32_t ticks) {
    if (TK_RARE(self->recording != tk_the_gil.recording))
        tk_thread_begin(self);
    if (TK_RARE(tk_out.next == tk_out.ready) && !tk_raw_advance()) {
        if (tk_out.header)
            tk_out.header->lost++;
        return;
    }
    if (code == TK_ENTRY) {    /* told late, when the guard was had: it may lie before others' events */
        if (TK_RARE(clock < tk_out.zero))
            clock = tk_out.zero;
    } else if (clock < tk_out.last) {  /* counters are read out of order, by a hair */
        clock = tk_out.last;
    } else {
        tk_out.last = clock;
    }
    self->last = clock;
    if (code & TK_CHECK)
        tk_out.checks++;
    tk_record *record = tk_out.next++;
    record->stamp = (clock - tk_out.zero) << 8 | code;
    record->thread = self->number;
    record->ticks = ticks;
    __atomic_store_n(&tk_out.chunk->count, tk_out.chunk->count + 1, __ATOMIC_RELEASE);
}

/* slots.c: the interpreter's calls into other functions, redirected. */
typedef struct {
    const char *name;
    void *hook;
    int required;
} tk_hook;

const char *tk_slots_replace(const void *code, const tk_hook *hooks, size_t count);
void tk_slots_restore(void);

/* new_gil.c, old_gil.c */
extern const tk_hook tk_new_gil_hooks[], tk_old_gil_hooks[];
extern const size_t tk_new_gil_hook_count, tk_old_gil_hook_count;
const char *tk_new_gil_learn(void *(*save)(void), void (*restore)(void *));
const char *tk_old_gil_learn(void (*release)(void), void (*acquire)(void));
void tk_old_gil_take_over(void);
void tk_old_gil_forked(void);
_Noreturn void tk_hook_exit(int status);
void tk_finish(void);

#endif
