/* Regions: what a thread, or a task of an event loop, works on from here to there, and what that held and waited.

   A region belongs to the task that opened it, and is counted while that task runs; outside of tasks to its thread. All is
   done with the GIL held, but what the guard is named for. */
#ifndef TK_REGIONS_H
#define TK_REGIONS_H

#include "attributes.h"
#include "counters.h"

enum { TK_REGION_NAME_BYTES = 256 };

typedef struct {
    uint64_t regions, unknown, wall, held, waited, longest;  /* `live.regions` reads these */
    uint64_t length;
    char name[TK_REGION_NAME_BYTES];
} tk_region_sum;

int tk_region_over(uint64_t ns, char *reason, size_t room);
int32_t tk_region_sums(tk_region_sum *into, int32_t most);
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
