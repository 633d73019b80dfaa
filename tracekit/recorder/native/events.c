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
