/* What regions (requests, tasks) held and waited, and whom they waited for: timeline/regions.py says the same in Python. */
#ifndef TRACEKIT_REGIONS_H
#define TRACEKIT_REGIONS_H

#include "core.h"

enum { REGION_LIMIT = 1 << 16, REGION_BLAME_LIMIT = 1 << 18, BLAME_OF_ONE = 256 };

/* `next`: of the same bucket. Beside it the list of all, those without a row for the longest time first. */
typedef struct {
    tk_region row;
    int32_t next, newer, older, blame, blame_count;
} region_entry;

typedef struct { int64_t duration; int32_t holder, stack, next; } region_lost;

typedef struct {
    TK_VECTOR(region_entry) entries;
    TK_VECTOR(region_lost) lost;
    int32_t *buckets; /* NULL: the trace has told no region */
    int32_t newest, oldest, free_lost, lost_count;
    int64_t dropped;
    TK_VECTOR(tk_region) rows;
    TK_VECTOR(tk_region_blame) blame;
} regions;

/* False: no memory. A row of the thread has it; from start to end it did what the row tells. */
bool regions_see(regions *all, int64_t region, int32_t thread, int64_t start, int64_t end);
bool regions_held(regions *all, int64_t region, int32_t thread, int64_t start, int64_t end);
bool regions_waited(regions *all, int64_t region, int32_t thread, int64_t start, int64_t end);
/* Of what it waited, in a hold of this thread that was at this stack; -1: while nobody held. */
bool regions_charge(regions *all, int64_t region, int32_t holder, int32_t stack, int64_t duration);
void regions_free(regions *all);

#endif
