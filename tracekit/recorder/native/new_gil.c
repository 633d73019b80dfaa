/* The GIL of Python 3.2 and later: a boolean under a mutex, and a condition on which who wants it waits.

   take_gil and drop_gil (Python/ceval_gil.c) are seen through four calls:
   - lock by a thread that does not hold the GIL: it wants it, ENTRY;
   - first timed wait on the condition: BUSY, each further one: RETRY;
   - unlock at the end of taking: ACQUIRE, unless somebody else holds the GIL: then the thread gave up, to end;
   - signal of the condition: RELEASE. */
#include <errno.h>

#include "cpu.h"
#include "ending.h"
#include "new_gil.h"
#include "others.h"
#include "stacks.h"

static struct {
    pthread_mutex_t *mutex;
    pthread_cond_t *cond;
} learned;

/* A thread's way through the GIL while it lets go of it and takes it back to learn where it is. */
static void learn_lock(tk_thread *self, pthread_mutex_t *mutex) {
    if (self->learning == TK_LEARN_RELEASE)
        learned.mutex = mutex;
    else if (self->learning == TK_LEARN_TAKE && mutex == learned.mutex)
        self->learning = TK_LEARN_TAKING;
}

static void learn_unlock(tk_thread *self, pthread_mutex_t *mutex) {
    if (self->learning == TK_LEARN_TAKING && mutex == learned.mutex)
        self->learning = TK_LEARNED;
}

static void learn_signal(tk_thread *self, pthread_cond_t *cond) {
    if (self->learning == TK_LEARN_RELEASE && learned.mutex) {
        learned.cond = cond;
        self->learning = TK_LEARN_TAKE;
    }
}

static int hook_lock(pthread_mutex_t *mutex) {
    tk_thread *self = &tk_self;
    if (mutex != TK_LOAD(tk_the_gil.guard)) {
        int other;
        if (TK_RARE(TK_LOAD(tk_others_known)) && tk_others_lock(mutex, &other))
            return other;
        if (TK_RARE(self->learning))
            learn_lock(self, mutex);
        return pthread_mutex_lock(mutex);
    }
    if (TK_LOAD(tk_the_gil.holder) == self)  /* to drop it */
        return pthread_mutex_lock(mutex);
    uint64_t clock = tk_now();
    int error = pthread_mutex_lock(mutex);
    if (tk_the_gil.on) {
        /* What the thread did last, as it was told, comes before what it does now. */
        if (self->recording == tk_the_gil.recording && clock < self->last)
            clock = self->last;
        tk_event(self, TK_ENTRY, clock, TK_NO_TICKS);
        self->state = TK_TAKING;
    }
    return error;
}

static int hook_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until) {
    tk_thread *self = &tk_self;
    if (cond != TK_LOAD(tk_the_gil.cond)) {
        int other;
        return tk_others_wait(cond, mutex, until, &other) ? other : pthread_cond_timedwait(cond, mutex, until);
    }
    if (tk_the_gil.on) {
        int again = self->recording == tk_the_gil.recording && self->state == TK_WAITING;
        tk_event(self, again ? TK_RETRY : TK_BUSY, tk_now(), TK_NO_TICKS);
        self->state = TK_WAITING;
        tk_stacks_at_wait(self, again);
    }
    uint64_t switches = tk_the_gil.switches;
    int error = pthread_cond_timedwait(cond, mutex, until);
    if (error == ETIMEDOUT && tk_the_gil.on && tk_the_gil.holder && switches == tk_the_gil.switches)
        tk_the_gil.drop_request = 1;
    return error;
}

static int hook_unlock(pthread_mutex_t *mutex) {
    tk_thread *self = &tk_self;
    if (mutex != TK_LOAD(tk_the_gil.guard)) {
        int other;
        if (TK_RARE(TK_LOAD(tk_others_known)) && tk_others_unlock(mutex, &other))
            return other;
        if (TK_RARE(self->learning))
            learn_unlock(self, mutex);
        return pthread_mutex_unlock(mutex);
    }
    if (tk_the_gil.on) {
        if (tk_the_gil.changer == self)  /* the release with which it began to be followed */
            tk_the_gil.changer = NULL;
        else if (self->state == TK_DROPPED && self->recording == tk_the_gil.recording)
            self->state = TK_IDLE;
        else if (!tk_the_gil.holder) {
            tk_acquire_event(self, TK_NO_TICKS);
            tk_stacks_at_acquire(self);
            self->state = TK_IDLE;
            TK_STORE(tk_the_gil.holder, self);
            if (tk_the_gil.last_holder != self) {
                tk_the_gil.last_holder = self;
                tk_the_gil.switches++;
            }
            tk_the_gil.drop_request = 0;
            int error = pthread_mutex_unlock(mutex);
            tk_cpu_begin(self);
            return error;
        }
    }
    return pthread_mutex_unlock(mutex);
}

static int hook_signal(pthread_cond_t *cond) {
    tk_thread *self = &tk_self;
    int wanted = 0;
    if (cond != TK_LOAD(tk_the_gil.cond)) {
        int other;
        if (TK_RARE(TK_LOAD(tk_others_known)) && tk_others_signal(cond, &other))
            return other;
        if (TK_RARE(self->learning))
            learn_signal(self, cond);
        return pthread_cond_signal(cond);
    }
    if (tk_the_gil.on && tk_the_gil.holder == self) {
        tk_release_event(self, tk_the_gil.drop_request ? TK_CHECK : 0, TK_NO_TICKS);
        self->state = TK_DROPPED;
        wanted = self->wants_stack;
        TK_STORE(tk_the_gil.holder, NULL);
        tk_the_gil.drop_request = 0;
        if (TK_RARE(tk_the_gil.changer == self)) {
            TK_STORE(tk_the_gil.on, tk_the_gil.next);
            tk_the_gil.changer = NULL;
        }
    } else if (TK_RARE(tk_the_gil.changer == self)) {
        TK_STORE(tk_the_gil.on, tk_the_gil.next);
    }
    int error = pthread_cond_signal(cond);
    if (TK_RARE(wanted))       /* who waits is on its way already */
        tk_stacks_at_release(self);
    return error;
}

const tk_hook tk_new_gil_hooks[] = {
    {"pthread_mutex_lock", hook_lock, 1},
    {"pthread_mutex_unlock", hook_unlock, 1},
    {"pthread_cond_timedwait", hook_wait, 1},
    {"pthread_cond_signal", hook_signal, 1},
    {"_exit", tk_hook_exit, 0},
};
const size_t tk_new_gil_hook_count = sizeof tk_new_gil_hooks / sizeof *tk_new_gil_hooks;

/* Lets go of the GIL and takes it back, and notes which mutex and condition that takes. */
const char *tk_new_gil_learn(void *(*save)(void), void (*restore)(void *)) {
    learned.mutex = NULL;
    tk_self.learning = TK_LEARN_RELEASE;
    restore(save());
    int end = tk_self.learning;
    tk_self.learning = TK_LEARN_NOTHING;
    if (end != TK_LEARNED)
        return "the interpreter's GIL is not a mutex and a condition as in CPython 3.2 to 3.15";
    tk_others_learn(learned.mutex, learned.cond);
    TK_STORE(tk_the_gil.cond, learned.cond);
    TK_STORE(tk_the_gil.guard, learned.mutex);
    return NULL;
}
