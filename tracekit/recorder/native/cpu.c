#include "cpu.h"

enum { SMALL_BESIDE = 10 };    /* a tenth of the hold */

uint64_t tk_cpu_gap = UINT64_MAX;
static uint64_t counting_gap, last_counting;

void tk_cpu_prepare(void) {
    tk_cpu_gap = (uint64_t)(TK_CPU_GAP_NS / tk_clock_rate());
    counting_gap = (uint64_t)(TK_CPU_COUNTING_GAP_NS / tk_clock_rate());
}

/* Whether it is time that some thread reads its CPU time. By whoever holds the GIL. */
int tk_cpu_counting_reads(uint64_t now) {
    if (now - last_counting < counting_gap)
        return 0;
    last_counting = now;
    return 1;
}

void tk_cpu_read(tk_thread *self) {
    self->cpu_clock = tk_now();
    self->cpu = tk_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

/* What the hold used that ends now; 0: unknown. What was used between the last reading and the hold is known within its length:
   half of that is taken off. */
int tk_cpu_used(tk_thread *self, uint64_t released, uint64_t *ns) {
    uint64_t held = released - self->acquired, before = self->cpu, had_reading = self->cpu_clock;
    uint64_t apart = had_reading < self->acquired ? self->acquired - had_reading : 0;
    tk_cpu_read(self);
    if (!had_reading || apart > held / SMALL_BESIDE)
        return 0;
    uint64_t used = self->cpu - before, unsure = (uint64_t)((double)apart * tk_clock_rate() / 2);
    *ns = used > unsure ? used - unsure : 0;
    return 1;
}
