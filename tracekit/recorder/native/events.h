/* Events: what a thread did with the GIL, as a record. Under the guard. */
#ifndef TK_EVENTS_H
#define TK_EVENTS_H

#include "attributes.h"
#include "clock.h"
#include "counters.h"
#include "state.h"
#include "threads.h"
#include "writer.h"

int tk_event_room(const tk_thread *self);

/* An event of the calling thread is written. */
static inline void tk_write_event(tk_thread *self, uint32_t code, uint64_t clock, int32_t ticks) {
    if (TK_RARE(self->file != tk_the_gil.file))
        tk_thread_number(self);
    if (TK_RARE(TK_LOAD(tk_the_gil.late)))
        tk_tell_late();
    if (TK_RARE(tk_out.next == tk_out.ready) && !tk_event_room(self))
        return;
    if (TK_RARE(clock < tk_out.zero))
        clock = tk_out.zero;
    if (code & TK_CHECK)
        tk_out.checks++;
    tk_record *record = tk_out.next++;
    record->stamp = (clock - tk_out.zero) << 8 | code;
    record->thread = self->number;
    record->ticks = code == TK_ENTRY && TK_RARE(self->region) ? (int32_t)self->region : ticks;
    __atomic_store_n(&tk_out.chunk->count, tk_out.chunk->count + 1, __ATOMIC_RELEASE);
}

/* What the calling thread did. `clock`: tk_now() when it happened. */
static inline void tk_event(tk_thread *self, uint32_t code, uint64_t clock, int32_t ticks) {
    if (TK_RARE(self->recording != tk_the_gil.recording))
        tk_thread_begin(self);
    if (code != TK_ENTRY) {    /* it is written once the guard is locked, so others' events may already lie behind it */
        if (clock < tk_the_gil.last)  /* counters are read out of order, by a hair */
            clock = tk_the_gil.last;
        else
            tk_the_gil.last = clock;
    }
    self->last = clock;
    if (tk_the_gil.on & TK_COUNTING)
        tk_count_event(self, code, clock);
    if (tk_the_gil.on & TK_WRITING)
        tk_write_event(self, code, clock, ticks);
}

#endif
