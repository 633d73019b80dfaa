/* The CPU time that a thread used in a hold: an attribute of the hold's RELEASE.

   A thread's CPU clock is a system call, so it is not read at every event but
   - when a thread has got the GIL, if its last reading is older than `tk_cpu_gap`,
   - when a hold that lasted longer than that ends.
   So a hold's beginning was read, or lies close behind a reading; the difference must be small beside the hold. */
#ifndef TK_CPU_H
#define TK_CPU_H

#include "events.h"
#include "regions.h"

/* While events are only counted the readings are fewer, all threads' together. */
enum { TK_CPU_GAP_NS = 100000, TK_CPU_COUNTING_GAP_NS = 500000 };

extern uint64_t tk_cpu_gap;    /* by the records' clock */
void tk_cpu_prepare(void);
void tk_cpu_read(tk_thread *self);
int tk_cpu_counting_reads(uint64_t now);
int tk_cpu_used(tk_thread *self, uint64_t released, uint64_t *ns);

/* The calling thread got the GIL. Under the guard; tk_cpu_begin right after it. */
static inline void tk_acquire_event(tk_thread *self, int32_t ticks) {
    uint64_t now = tk_now();
    tk_event(self, TK_ACQUIRE, now, ticks);
    self->acquired = now;
    tk_region_hold_begins(self, now);
}

static inline void tk_cpu_begin(tk_thread *self) {
    if (self->acquired - self->cpu_clock > tk_cpu_gap &&
        (TK_LOAD(tk_the_gil.on) & TK_WRITING || tk_cpu_counting_reads(self->acquired)))
        tk_cpu_read(self);
}

/* It gives it up. check: TK_CHECK or 0. Under the guard. */
static inline void tk_release_event(tk_thread *self, uint32_t check, int32_t ticks) {
    uint64_t now = tk_now();
    tk_event(self, TK_RELEASE | check, now, ticks);
    uint64_t cpu_ns;
    int known = TK_RARE(self->acquired && now - self->acquired > tk_cpu_gap) && tk_cpu_used(self, now, &cpu_ns);
    if (known)
        tk_attribute(self, TK_CPU, cpu_ns, 0);
    if (TK_RARE(self->region | self->long_region))
        tk_tell_region(self, now);
    if (TK_RARE(self->last_unlocked != NULL))
        tk_tell_unlocks(self);
    if (tk_the_gil.on & TK_COUNTING)
        tk_count_released(self, self->last, check != 0, known ? &cpu_ns : NULL);
    self->acquired = 0;
}

#endif
