/* Events: what a thread did with the GIL, as a record. Under the guard. */
#ifndef TK_EVENTS_H
#define TK_EVENTS_H

#include "attributes.h"
#include "clock.h"
#include "state.h"
#include "threads.h"
#include "writer.h"

int tk_event_room(const tk_thread *self);

/* Writes an event of the calling thread. `clock`: tk_now() when it happened. */
static inline void tk_event(tk_thread *self, uint32_t code, uint64_t clock, int32_t ticks) {
    if (TK_RARE(self->recording != tk_the_gil.recording))
        tk_thread_begin(self);
    if (TK_RARE(TK_LOAD(tk_the_gil.late)))
        tk_tell_late();
    if (TK_RARE(tk_out.next == tk_out.ready) && !tk_event_room(self))
        return;
    if (code == TK_ENTRY) {    /* told late, when the guard was had: it may lie before others' events */
        if (TK_RARE(clock < tk_out.zero))
            clock = tk_out.zero;
    } else if (clock < tk_out.last) {  /* counters are read out of order, by a hair */
        clock = tk_out.last;
    } else {
        tk_out.last = clock;
    }
    self->last = clock;
    if (code & TK_CHECK)
        tk_out.checks++;
    tk_record *record = tk_out.next++;
    record->stamp = (clock - tk_out.zero) << 8 | code;
    record->thread = self->number;
    record->ticks = ticks;
    __atomic_store_n(&tk_out.chunk->count, tk_out.chunk->count + 1, __ATOMIC_RELEASE);
}

#endif
