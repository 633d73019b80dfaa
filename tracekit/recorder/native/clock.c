/* Which clock the records have: the processor's counter where the kernel itself trusts it, for it takes half the time. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum { CALIBRATION_NS = 1000000 };

int tk_has_counter;
uint64_t tk_first_clock;
int64_t tk_first_ns;
static double rate;
static int chosen;

uint64_t tk_nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Once, before any event: the clock of a process stays the same. */
void tk_clock_choose(void) {
#if defined(__x86_64__)
    static const char trusted[] = "tsc\n";
#else
    static const char trusted[] = "arch_sys_counter\n";
#endif
    char name[sizeof trusted] = "";
    if (chosen)
        return;
    chosen = 1;
    int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t got = read(file, name, sizeof trusted - 1);
        close(file);
        tk_has_counter = got == (ssize_t)sizeof trusted - 1 && !memcmp(name, trusted, sizeof trusted - 1);
    }
    tk_first_ns = (int64_t)tk_nanoseconds(CLOCK_MONOTONIC);
    tk_first_clock = tk_now();
    while ((int64_t)tk_nanoseconds(CLOCK_MONOTONIC) < tk_first_ns + CALIBRATION_NS) {
    }
    rate = tk_clock_rate_so_far();
}

/* ns in one step of the records' clock, as it was found at first. */
double tk_clock_rate(void) {
    return rate;
}

/* The same, the more exact the later. */
double tk_clock_rate_so_far(void) {
    int64_t ns = (int64_t)tk_nanoseconds(CLOCK_MONOTONIC) - tk_first_ns;
    return (double)ns / (double)(tk_now() - tk_first_clock);
}
