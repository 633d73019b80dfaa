/* Python stacks, taken by the threads that wait: their own, and that of the thread that holds the GIL. Under the guard, so
   a holder cannot let go of the GIL meanwhile, nor free code; but it runs, and whatever is read of it may be wrong. */
#ifndef TK_STACKS_H
#define TK_STACKS_H

#include "events.h"

typedef struct {
    int on;
    uint64_t gap;              /* a hold is looked at no more often, by the records' clock */
    void *(*thread_state)(void);
} tk_stacks_state;

extern tk_stacks_state tk_stacks;

void tk_stacks_begin(void);
void tk_stacks_end(void);
void tk_stacks_forked(void);
void tk_stacks_at_wait(tk_thread *self, int again);
void tk_stacks_at_release(tk_thread *self);
uint32_t tk_stacks_look(tk_thread *thread);

/* The calling thread got the GIL. */
static inline void tk_stacks_at_acquire(tk_thread *self) {
    if (TK_LOAD(tk_stacks.on)) {
        self->python_state = tk_stacks.thread_state();
        self->sampled = 0;
        self->sample = 0;
        self->wants_stack = 0;
    }
}

#endif
