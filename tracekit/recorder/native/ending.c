#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "cpu.h"
#include "ending.h"
#include "others.h"
#include "regions.h"

/* The process ends, or this part of it. */
void tk_finish(void) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    int tries = 1000, busy = EBUSY;
    if (!guard || !TK_LOAD(tk_the_gil.on))
        return;
    /* Whoever has the guard has it for an instant, if it still runs. */
    while (tries-- && (busy = pthread_mutex_trylock(guard)) == EBUSY)
        sched_yield();
    if (busy)
        return;
    /* A child of vfork that ends shares all of this with its parent, which goes on. */
    if (tk_the_gil.on && tk_the_gil.pid == (uint32_t)getpid()) {
        if (tk_the_gil.holder == &tk_self)
            tk_release_event(&tk_self, 0, tk_the_gil.ticker ? *tk_the_gil.ticker : TK_NO_TICKS);
        tk_regions_define();
        tk_threads_end();
        TK_STORE(tk_the_gil.on, 0);
        tk_others_end();
        if (tk_raw_is_idle())
            tk_raw_discard();
        else
            tk_raw_close(1);
    }
    pthread_mutex_unlock(guard);
}

_Noreturn void tk_hook_exit(int status) {
    tk_finish();
    _exit(status);
}
