/* Counters: what each thread held and waited, without a record of each event. Under the guard. */
#ifndef TK_COUNTERS_H
#define TK_COUNTERS_H

#include "state.h"

enum { TK_POWERS = 48, TK_ENDED_KEPT = 1000 };
/* The causes of waiting that are known as soon as a wait ends. */
enum { TK_SCHEDULING, TK_PREEMPTION, TK_LONG_HOLD, TK_SATURATION, TK_QUEUEING, TK_CAUSES };

/* The class of a hold, for those that waited for it. */
enum { TK_ORDINARY, TK_LONG, TK_PREEMPTED, TK_HOLD_KINDS };

/* All durations by the records' clock. `live.counting` reads this struct. */
typedef struct tk_count {
    struct tk_count *next;
    tk_thread *of;             /* NULL: not known, or it has ended */
    uint64_t held, waited, waits, contended, forced, blocking;
    uint64_t off_cpu;          /* of the holds whose CPU time is known: when the thread was not running */
    uint64_t causes[TK_CAUSES];
    uint64_t powers[TK_POWERS];  /* waits by the number of binary digits of their ns */
    uint64_t wanted, acquired; /* since when; 0: it does not */
    uint64_t began[TK_HOLD_KINDS];  /* what all had held when its wait began */
    uint64_t hold, hold_part;  /* the hold that its wait began in, and how much of it lay before */
    uint64_t looked;           /* the hold that it last found */
    uint32_t timeouts;         /* in that hold */
    uint32_t tid;              /* 0: of several threads that ended */
    uint8_t busy, last_was_check, named, length, ended, padding[3];
    char name[TK_NAME_BYTES];
} tk_count;

void tk_count_wanted(tk_thread *self, uint64_t clock);
void tk_count_looked(tk_thread *self, uint64_t clock, int again);
void tk_count_acquired(tk_thread *self, uint64_t clock);
void tk_count_released(tk_thread *self, uint64_t clock, int check, const uint64_t *cpu_ns);
void tk_count_name(tk_thread *self, uint32_t tid, const char *name, size_t length);
void tk_count_ended(tk_thread *self, const char *name, size_t length);
void tk_counts_begin(void);
const tk_count *tk_counts_first(void);
int64_t tk_counts_read(tk_count *into, int64_t most);
void tk_count_fold(tk_count *count);
void tk_count_add(tk_count *sum, const tk_count *part);
void tk_counts_forked(void);

/* An event of this thread, at this clock; a RELEASE is counted when its CPU time is known. */
static inline void tk_count_event(tk_thread *self, uint32_t code, uint64_t clock) {
    if (code == TK_ENTRY)
        tk_count_wanted(self, clock);
    else if (code == TK_ACQUIRE)
        tk_count_acquired(self, clock);
    else if (code == TK_BUSY || code == TK_RETRY)
        tk_count_looked(self, clock, code == TK_RETRY);
}

#endif
