/* What a timeline draws of a trace of any length, in bounded memory: exact shares of each state in bins over
   everything, and exact rows (all of them while they are few, else those around the costliest findings).
   tracekit/picture.py says the same in Python. */
#ifndef TRACEKIT_PICTURE_H
#define TRACEKIT_PICTURE_H

#include "core.h"

typedef TK_VECTOR(tk_cell) cells;

/* The newest `mask + 1` rows, in the order in which they ended. */
#define RING_OF(type) struct { type *items; size_t mask, count; }

/* The rows of a finding's span as they stood when it ended. */
typedef struct {
    int64_t cost, start_seq;
    tk_window window;
    tk_picture_hold *holds;
    tk_picture_wait *waits;
    tk_retry *retries;
    size_t hold_count, wait_count, retry_count;
} snapshot;

typedef struct picture {
    tk_picture_limits limits;
    int shift;          /* a bin is 1 << shift clock units wide */
    bool whole;         /* known at the end */
    size_t cell_count;
    cells *threads;
    size_t threads_room;
    int32_t thread_count;
    RING_OF(tk_picture_hold) holds;
    RING_OF(tk_picture_wait) waits;
    RING_OF(tk_retry) retries;
    snapshot edges[2]; /* the trace's first and last rows */
    bool begun;
    struct { snapshot *items; size_t count, cheapest; } snapshots[TK_KINDS];
    TK_VECTOR(tk_knot) knots;

    TK_VECTOR(tk_cell) all_cells;
    TK_VECTOR(tk_picture_hold) all_holds;
    TK_VECTOR(tk_picture_wait) all_waits;
    TK_VECTOR(tk_retry) all_retries;
    TK_VECTOR(tk_window) windows;
} picture;

/* All that may run out of memory return false then. */
picture *picture_new(const tk_picture_limits *limits);
void picture_free(picture *p);
bool picture_add_threads(picture *p, int32_t count);
bool picture_hold(picture *p, const tk_picture_hold *hold);
/* Of any wait; only a contended one is kept as a row. */
bool picture_wait(picture *p, const tk_picture_wait *wait);
bool picture_retry(picture *p, const tk_retry *retry);
bool picture_knot(picture *p, int64_t clock, int64_t tick_clock);
/* Whether the trace has more rows than a picture of all of it may have. */
static inline bool picture_is_partial(const picture *p) {
    const size_t rows = (size_t)p->limits.rows;
    return p->holds.count > rows || p->waits.count > rows || p->retries.count > rows;
}

/* Whether a finding of this cost would be kept with its rows. */
bool picture_wants(const picture *p, int kind, int64_t cost, int64_t start_seq);
/* `open_hold` and `open_waits`: what is still open, with its end at the finding's. */
bool picture_finding(picture *p, int kind, const tk_finding *found, const tk_picture_hold *open_hold,
                     const tk_picture_wait *open_waits, size_t open_count);
/* Whether there are as many rows as the window at the trace's beginning shall have. */
bool picture_begins(const picture *p);
bool picture_beginning(picture *p, int64_t clock, const tk_picture_hold *open_hold, const tk_picture_wait *open_waits,
                       size_t open_count);
bool picture_finish(picture *p, int64_t clock);

#endif
