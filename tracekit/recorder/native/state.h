/* What the recorder knows of the GIL and of each thread. */
#ifndef TK_STATE_H
#define TK_STATE_H

#include <pthread.h>
#include <stdint.h>

#include "raw.h"

#define TK_PUBLIC __attribute__((visibility("default")))
#define TK_RARE(condition) __builtin_expect(!!(condition), 0)
#define TK_LOAD(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define TK_STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)

enum { TK_IDLE, TK_TAKING, TK_WAITING, TK_DROPPED };
enum { TK_NO_TICKS = INT32_MIN, TK_MOST_UNLOCKS = 8 };
/* What is done with events: written, counted. */
enum { TK_WRITING = 1, TK_COUNTING = 2 };
enum { TK_LEARN_NOTHING, TK_LEARN_RELEASE, TK_LEARN_TAKE, TK_LEARN_TAKING, TK_LEARNED };

/* A thread, in its own storage. */
typedef struct tk_thread {
    uint64_t last;             /* clock of its last event */
    uint64_t acquired;         /* clock of the ACQUIRE of its hold, 0: not known */
    uint64_t cpu, cpu_clock;   /* its CPU time when it was last read; 0: never */
    uint32_t recording;        /* the rest, too, belongs to this recording */
    uint32_t file, number;     /* its number in this file */
    uint32_t tid;
    uint8_t state, named, learning;
    uint8_t name_length;
    uint8_t asked;             /* it is not in a task that was running before tasks were followed */
    uint8_t wants_stack;       /* of its hold: no waiter could sample it */
    uint32_t sample;           /* the last stack that a waiter saw in this hold */
    uint64_t sampled;          /* and when; 0: none did */
    void *python_state;        /* what the interpreter knows of it, in this hold */
    struct tk_trail *trail;    /* the stack that it was last seen in */
    struct tk_count *count;
    uintptr_t coroutine;       /* that an event loop runs in it */
    struct tk_task *task, *own_task;  /* of that coroutine; of the thread */
    uint32_t region, long_region;  /* told in the file: the one it works on; the one it did longest, in its hold */
    uint64_t stretch, long_stretch;  /* since when, and how long */
    uint32_t unlocks[TK_MOST_UNLOCKS];  /* in its hold */
    const void *last_unlocked;  /* in its hold; its number is known to be there, or of no use */
    uint8_t unlock_count;
    uint8_t waited_for;        /* a bit each: a thread once waited for that lock */
    uint32_t late, late_code;  /* an attribute of its last RELEASE that is not written yet; 0: none */
    struct tk_thread *next_late;
    char name[TK_NAME_BYTES];
} tk_thread;

extern __thread tk_thread tk_self __attribute__((tls_model("initial-exec")));

/* The GIL that is recorded. All but the addresses is written under `guard` only. */
typedef struct {
    pthread_mutex_t *guard;    /* the mutex under which events are written; of the new GIL its own */
    pthread_cond_t *cond;      /* the new GIL's condition */
    tk_thread *holder;
    tk_thread *last_holder;
    tk_thread *changer;        /* who changes `on` with its next release */
    int next;                  /* and to what */
    tk_thread *late;           /* threads with an attribute that is not written yet: a list without the guard */
    uint64_t switches;
    uint64_t last;             /* clock of the last event */
    uint32_t waiting;          /* threads that have found it in use */
    int drop_request;
    const volatile int *ticker;  /* the old GIL's countdown; the new one has none */
    int on;                    /* TK_WRITING | TK_COUNTING; 0: the GIL is not followed */
    uint32_t recording;        /* counts how often it began to be followed, here or in a forked child */
    uint32_t file;             /* counts the files */
    uint32_t pid;
} tk_gil;

extern tk_gil tk_the_gil;

static inline int tk_is_writing(void) {
    return TK_LOAD(tk_the_gil.on) & TK_WRITING;
}

#endif
