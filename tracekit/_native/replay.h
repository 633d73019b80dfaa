/* A replay of threads' scripts under CPython's GIL. tracekit/whatif/programs.py says what the arrays hold. */
#ifndef TRACEKIT_REPLAY_H
#define TRACEKIT_REPLAY_H

#include "core.h"

/* Times in ns. Where an array is one of samples for each thread, `_from` says where each thread's begin, and the end. */
typedef struct {
    int64_t threads, pieces, delay, wake_count;
    uint64_t seed;
    const int64_t *start, *first, *started_by, *work, *outside, *needs, *arrives;
    const uint8_t *atomic, *free;
    const int64_t *wakes; /* rows of two: how long the releaser was outside, and the sample */
    const int64_t *answers, *answers_from, *stalls, *stalls_from;
    const int64_t *returns, *returns_from; /* rows of two, too */
    /* What it gives. */
    int64_t *begins, *ends, *waited; /* of each thread, the caller's arrays */
    int64_t *waits;                  /* contended ones, in their order, until tk_replay_free */
    int32_t *waiters;
    int64_t wait_count, stops; /* how often threads were made to stop */
} tk_replay;

/* 0; -1: no memory. */
TK_EXPORT int32_t tk_replay_run(tk_replay *in);
TK_EXPORT void tk_replay_free(tk_replay *in);

#endif
