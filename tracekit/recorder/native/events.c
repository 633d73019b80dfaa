#include "events.h"

/* Makes room for more events; 0: there is none, and one is lost. */
int tk_event_room(const tk_thread *self) {
    int opened = !tk_out.header;  /* a forked child's file, at its first event */
    int room = tk_raw_advance();
    if (opened && tk_out.header)
        tk_thread_tell(self);
    if (!room && tk_out.header)
        tk_out.header->lost++;
    return room;
}

/* Of the event that this thread wrote just now. If that was lost so is this: room never comes back. */
void tk_attribute(const tk_thread *self, uint32_t code, uint64_t value, uint32_t other) {
    if (!(tk_the_gil.on & TK_WRITING) || (tk_out.next == tk_out.ready && !tk_raw_advance()))
        return;
    *tk_out.next++ = (tk_record){.stamp = value << 8 | code, .thread = self->number, .ticks = (int32_t)other};
    tk_out.chunk->attributes++;
    __atomic_store_n(&tk_out.chunk->count, tk_out.chunk->count + 1, __ATOMIC_RELEASE);
}
