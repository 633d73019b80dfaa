/* The clock of the records. */
#ifndef TK_CLOCK_H
#define TK_CLOCK_H

#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

extern int tk_has_counter;
extern uint64_t tk_first_clock;  /* a moment, by the records' clock and in ns */
extern int64_t tk_first_ns;
void tk_clock_choose(void);
double tk_clock_rate(void);
double tk_clock_rate_so_far(void);
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

#endif
