/* The GIL of Python 2: a lock like any other, that a thread gives up every check interval and around blocking calls.

   While it is recorded the lock that the interpreter calls its GIL is this one: a boolean under a mutex, and a condition,
   as Python/thread_pthread.h has it where there are no semaphores. All other locks stay as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "cpu.h"
#include "ending.h"
#include "old_gil.h"
#include "stacks.h"

static int (*real_acquire)(void *, int);
static void (*real_release)(void *);
static uintptr_t eval_start, eval_end, after_fork_start, after_fork_end;

static struct {
    void *lock;
    void *learned;
    pthread_mutex_t mutex;
    pthread_cond_t released;
    int locked;
    int forked;                /* the interpreter is about to make itself another lock */
} gil = {.mutex = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER};

static int acquire(int wait) {
    tk_thread *self = &tk_self;
    uint64_t clock = tk_now();
    int error = errno;
    pthread_mutex_lock(&gil.mutex);
    if (wait || !gil.locked) {
        if (tk_the_gil.on)
            tk_event(self, TK_ENTRY, clock < self->last ? self->last : clock, *tk_the_gil.ticker);
        uint32_t busy = 0;
        for (uint32_t code = TK_BUSY; gil.locked; code = TK_RETRY) {
            if (tk_the_gil.on) {
                tk_the_gil.waiting += !busy;
                busy = 1;
                tk_event(self, code, tk_now(), *tk_the_gil.ticker);
                tk_stacks_at_wait(self, code == TK_RETRY);
            }
            pthread_cond_wait(&gil.released, &gil.mutex);
        }
        gil.locked = 1;
        wait = 1;
        if (tk_the_gil.on) {
            tk_the_gil.waiting -= busy;
            tk_acquire_event(self, *tk_the_gil.ticker);
            tk_stacks_at_acquire(self);
        }
        TK_STORE(tk_the_gil.holder, self);
    }
    pthread_mutex_unlock(&gil.mutex);
    if (self->acquired)
        tk_cpu_begin(self);
    errno = error;
    return wait;
}

static int hook_acquire(void *lock, int wait) {
    if (lock == TK_LOAD(gil.lock))
        return acquire(wait);
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    if (TK_RARE(gil.forked) && caller >= after_fork_start && caller < after_fork_end) {
        gil.lock = lock;
        gil.forked = 0;
        return acquire(wait);
    }
    if (TK_RARE(tk_self.learning == TK_LEARN_TAKE) && lock == gil.learned)
        tk_self.learning = TK_LEARNED;
    return real_acquire(lock, wait);
}

static void hook_release(void *lock) {
    tk_thread *self = &tk_self;
    if (lock != TK_LOAD(gil.lock)) {
        if (TK_RARE(self->learning == TK_LEARN_RELEASE)) {
            gil.learned = lock;
            self->learning = TK_LEARN_TAKE;
        }
        real_release(lock);
        return;
    }
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    int check = caller >= eval_start && caller < eval_end;
    int error = errno;
    pthread_mutex_lock(&gil.mutex);
    if (tk_the_gil.on) {
        tk_release_event(self, check ? TK_CHECK : 0, *tk_the_gil.ticker);
        /* Between two checks runs what runs at the second; who waits is often too late to see it. */
        if (TK_RARE(self->wants_stack || (check && tk_the_gil.waiting && !self->sampled)))
            tk_stacks_at_release(self);
    }
    if (TK_RARE(tk_the_gil.changer == self)) {
        tk_the_gil.changer = NULL;
        TK_STORE(tk_the_gil.on, tk_the_gil.next);
    }
    TK_STORE(tk_the_gil.holder, NULL);
    gil.locked = 0;
    pthread_mutex_unlock(&gil.mutex);
    pthread_cond_signal(&gil.released);
    errno = error;
}

const tk_hook tk_old_gil_hooks[] = {
    {"PyThread_acquire_lock", hook_acquire, 1},
    {"PyThread_release_lock", hook_release, 1},
    {"_exit", tk_hook_exit, 0},
};
const size_t tk_old_gil_hook_count = sizeof tk_old_gil_hooks / sizeof *tk_old_gil_hooks;

static int extent(const char *name, uintptr_t *start, uintptr_t *end) {
    Dl_info info;
    const ElfW(Sym) *symbol = NULL;
    void *function = dlsym(RTLD_DEFAULT, name);
    if (!function || !dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol)
        return 0;
    *start = (uintptr_t)function;
    *end = *start + symbol->st_size;
    return 1;
}

/* What must be known before a hook is called. */
const char *tk_old_gil_prepare(void) {
    real_acquire = (int (*)(void *, int))dlsym(RTLD_DEFAULT, "PyThread_acquire_lock");
    real_release = (void (*)(void *))dlsym(RTLD_DEFAULT, "PyThread_release_lock");
    tk_the_gil.ticker = dlsym(RTLD_DEFAULT, "_Py_Ticker");
    if (!real_acquire || !real_release || !tk_the_gil.ticker || !extent("PyEval_EvalFrameEx", &eval_start, &eval_end) ||
        !extent("PyEval_ReInitThreads", &after_fork_start, &after_fork_end))
        return "the interpreter's GIL is not that of CPython 2.7";
    return NULL;
}

const char *tk_old_gil_learn(void (*release)(void), void (*acquire_again)(void)) {
    tk_self.learning = TK_LEARN_RELEASE;
    release();
    acquire_again();
    int end = tk_self.learning;
    tk_self.learning = TK_LEARN_NOTHING;
    if (end != TK_LEARNED)
        return "the interpreter's GIL is not that of CPython 2.7";
    tk_the_gil.guard = &gil.mutex;
    return NULL;
}

/* From here on the GIL is ours, held by the calling thread. No other thread may be waiting for it. */
void tk_old_gil_take_over(void) {
    gil.locked = 1;
    tk_the_gil.holder = &tk_self;
    TK_STORE(gil.lock, gil.learned);
}

void tk_old_gil_forked(void) {
    if (!gil.lock)
        return;
    memset(&gil, 0, sizeof gil);
    pthread_mutex_init(&gil.mutex, NULL);
    pthread_cond_init(&gil.released, NULL);
    gil.forked = 1;
}
