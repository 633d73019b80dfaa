/* The new GIL's hooks, for a test to call as an interpreter's take_gil and drop_gil do, with a clock and a wait that do
   what the test says. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>

#include "clock.h"
#include "state.h"
#include "threads.h"
#include "writer.h"

static uint64_t clock_now;
static void (*meanwhile)(void);

static int wait_in_vain(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
    (void)cond, (void)until;
    pthread_mutex_unlock(mutex);
    meanwhile();
    pthread_mutex_lock(mutex);
    return ETIMEDOUT;
}

#define tk_now() clock_now
#define pthread_cond_timedwait wait_in_vain
#include "new_gil.c"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

TK_PUBLIC const char *begin(const char *base) {
    tk_clock_choose();
    tk_threads_prepare();
    const char *wrong = tk_raw_open(base, "", 0, 0, 0);
    tk_threads_anew();
    tk_cpu_gap = UINT64_MAX;
    tk_the_gil.guard = &mutex;
    tk_the_gil.cond = &cond;
    tk_the_gil.recording = 1;
    tk_the_gil.on = TK_WRITING;
    return wrong;
}

/* What the clock says from now on. */
TK_PUBLIC void at(uint64_t clock) {
    clock_now = tk_out.zero + clock;
}

/* Ends up with the GIL. intervals: that pass before, each without a signal; `others` is what goes on in each. */
TK_PUBLIC void take(int intervals, void (*others)(void)) {
    if (others)
        meanwhile = others;
    hook_lock(&mutex);
    while (intervals--)
        hook_wait(&cond, &mutex, &(struct timespec){0});
    hook_unlock(&mutex);
}

TK_PUBLIC void drop(void) {
    hook_lock(&mutex);
    hook_signal(&cond);
    hook_unlock(&mutex);
}

TK_PUBLIC void end(void) {
    tk_the_gil.on = 0;
    tk_raw_close(1);
}
