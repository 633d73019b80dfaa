/* Regions: what a thread, or a task of an event loop, works on from here to there, and what that held and waited.

   A region belongs to the task that opened it, and is counted while that task runs; outside of tasks to its thread. All is
   done with the GIL held, but what the guard is named for. */
#ifndef TK_REGIONS_H
#define TK_REGIONS_H

#include "attributes.h"
#include "counters.h"

void tk_regions_define(void);
void tk_regions_forked(void);
void tk_regions_thread_ends(tk_thread *self);
void tk_tell_region(tk_thread *self, uint64_t now);

/* Under the guard, when the thread gets the GIL. */
static inline void tk_region_hold_begins(tk_thread *self, uint64_t now) {
    self->stretch = now;
    self->long_region = 0;
    self->long_stretch = 0;
}

#endif
