/* Who waited for which lock until whom: timeline/locks.py says the same in Python. */
#ifndef TRACEKIT_LOCKS_H
#define TRACEKIT_LOCKS_H

#include "core.h"

enum { LOCK_LIMIT = 1 << 16, MOST_UNLOCKS = 8 };

/* A hold in which a lock was unlocked: its end, and the wait that led to it. */
typedef struct { int64_t seq, wait_start, wait_end; int32_t thread; } unlocking;

typedef struct { int64_t lock; unlocking by; } lock_unlocked; /* lock 0: free */
typedef struct { int64_t lock, since, seq; } lock_pending;    /* lock 0: it waits for none */
typedef struct { lock_pending wait; int64_t back; int32_t thread; } lock_returned;

typedef struct {
    lock_unlocked *unlocked; /* hashed */
    int64_t unlocked_count;
    lock_pending *pending; /* by thread */
    int32_t pending_room;
    TK_VECTOR(lock_returned) returned; /* while the hold of now lasts, that may tell of an unlock at its end */
    TK_VECTOR(tk_lock_wait) rows;
    uint32_t *places; /* of the rows, hashed; 0: free, else one more than the index */
    uint32_t places_room;
} locks;

/* False: no memory. At a RELEASE, `by` is the hold that it ends; unlocks: so many. */
bool locks_release(locks *all, int64_t lock, const int64_t *unlocks, int32_t count, const unlocking *by, int64_t clock);
/* held: another thread holds the GIL. */
bool locks_entry(locks *all, int32_t thread, int64_t clock, bool held);
bool locks_finish(locks *all, int64_t clock);
void locks_free(locks *all);

/* Whether the thread's next ENTRY ends a wait for a lock. */
static inline bool locks_wait(const locks *all, int32_t thread) {
    return thread < all->pending_room && all->pending[thread].lock;
}

#endif
