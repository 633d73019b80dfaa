/* What happened in a trace, as a replay wants to know it. tracekit/whatif/observing.py says what the tables hold. */
#ifndef TRACEKIT_OBSERVE_H
#define TRACEKIT_OBSERVE_H

#include "core.h"

enum {
    SEEN_PIECES, SEEN_AWAY, SEEN_WAKES, SEEN_ANSWERS, SEEN_STALLS, SEEN_GAPS, SEEN_RETURNS, SEEN_TIMEOUTS, SEEN_WAITS,
    SEEN_LOCKS, SEEN_TABLES
};

typedef struct { int64_t *items, count, room; } tk_seen; /* rows of a fixed number of integers */

typedef struct {
    int64_t rows, threads, attribute_count;
    const int32_t *thread;
    const uint8_t *event;
    const int64_t *time, *checks;
    const tk_attribute *attributes; /* sorted by row */
    int64_t *about;                 /* of each thread: the caller's array */
    tk_seen seen[SEEN_TABLES];      /* until tk_observe_free */
} tk_observation;

/* 0; -1: no memory. */
TK_EXPORT int32_t tk_observe(tk_observation *of);
TK_EXPORT void tk_observe_free(tk_observation *of);

#endif
