#include "cpu.h"

enum { SMALL_BESIDE = 10 };    /* a tenth of the hold */

uint64_t tk_cpu_gap = UINT64_MAX;

void tk_cpu_prepare(void) {
    tk_cpu_gap = (uint64_t)(TK_CPU_GAP_NS / tk_raw_rate());
}

void tk_cpu_read(tk_thread *self) {
    self->cpu_clock = tk_now();
    self->cpu = tk_nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

/* The RELEASE of this moment is written. What was used between the last reading and the hold is known within its length:
   half of that is taken off. */
void tk_cpu_tell(tk_thread *self, uint64_t released) {
    uint64_t held = released - self->acquired, before = self->cpu, had_reading = self->cpu_clock;
    uint64_t apart = had_reading < self->acquired ? self->acquired - had_reading : 0;
    tk_cpu_read(self);
    if (!had_reading || apart > held / SMALL_BESIDE)
        return;
    uint64_t used = self->cpu - before, unsure = (uint64_t)((double)apart * tk_raw_rate() / 2);
    tk_attribute(self, TK_CPU, used > unsure ? used - unsure : 0, 0);
}
