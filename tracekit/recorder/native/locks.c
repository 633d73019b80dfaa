/* Locks of the interpreter other than the GIL: who gives the GIL up to wait for one, and who unlocks it.

   PyThread_acquire_lock and PyThread_release_lock (Python/thread_pthread.h) are a semaphore each; from 3.13 on a thread
   that waits for a PyMutex or an event has one of its own (Python/parking_lot.c). So they are seen through these calls:
   - a failed try, or a semaphore that is created locked: a thread will wait for it;
   - wait by a thread that gave up the GIL: `lock` of that RELEASE;
   - post by the thread that holds the GIL: `unlocks` of the RELEASE that ends its hold.

   Which lock a semaphore is, is kept in a table of small buckets. One that cannot be locked at once, e.g. because a
   signal's handler interrupted its owner, is left alone: that call is not recorded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <string.h>

#include "events.h"
#include "locks.h"

enum { BUCKETS = 1 << 13, WAYS = 3, TRIES = 64 };
enum { NOBODY, SHARED = -2, WANTED = -1 };

typedef struct {
    uintptr_t lock;            /* 0: no entry */
    uint32_t id;               /* 0: none yet */
    int32_t poster;            /* the only thread that unlocked it; or SHARED: several did; WANTED: somebody waited for it */
} entry;

typedef struct {
    int32_t busy;
    uint32_t next;             /* the entry that goes when there is no room */
    uint64_t padding;
    entry ways[WAYS];
} bucket;

static bucket buckets[BUCKETS] __attribute__((aligned(64)));
static uint32_t ids;

void tk_locks_anew(void) {
    memset(buckets, 0, sizeof buckets);
    tk_the_gil.late = NULL;
    ids = 0;
}

static bucket *bucket_of(const sem_t *lock) {
    uint64_t mixed = (uintptr_t)lock * 0x9e3779b97f4a7c15u;
    bucket *here = &buckets[mixed >> 51];
    for (int tries = TRIES; __atomic_exchange_n(&here->busy, 1, __ATOMIC_ACQUIRE);)
        if (!--tries)
            return NULL;
    return here;
}

static void done(bucket *here) {
    __atomic_store_n(&here->busy, 0, __ATOMIC_RELEASE);
}

static entry *find(bucket *here, const sem_t *lock) {
    for (int i = 0; i < WAYS; i++)
        if (here->ways[i].lock == (uintptr_t)lock)
            return &here->ways[i];
    return NULL;
}

static entry *find_or_add(bucket *here, const sem_t *lock) {
    entry *found = find(here, lock);
    if (!found && !(found = find(here, NULL)))
        found = &here->ways[here->next++ % WAYS];
    if (found->lock != (uintptr_t)lock)
        *found = (entry){.lock = (uintptr_t)lock};
    return found;
}

static uint32_t id_of(entry *found) {
    if (!found->id)
        found->id = __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
    return found->id;
}

/* Its number. 0: there is no room for one. */
static uint32_t wanted(const sem_t *lock) {
    bucket *here = bucket_of(lock);
    if (!here)
        return 0;
    entry *found = find_or_add(here, lock);
    found->poster = WANTED;
    uint32_t id = id_of(found);
    done(here);
    return id;
}

static void forget(const sem_t *lock) {
    if (tk_self.last_unlocked == lock)
        tk_self.last_unlocked = &ids;  /* not NULL: its hold has something to tell */
    bucket *here = bucket_of(lock);
    if (!here)
        return;
    entry *found = find(here, lock);
    if (found)
        *found = (entry){0};
    done(here);
}

static int hook_init(sem_t *lock, int shared, unsigned value) {
    if (tk_is_writing()) {
        forget(lock);
        if (!value)
            wanted(lock);
    }
    return sem_init(lock, shared, value);
}

static int hook_destroy(sem_t *lock) {
    if (tk_is_writing())
        forget(lock);
    return sem_destroy(lock);
}

static int hook_trywait(sem_t *lock) {
    int error = sem_trywait(lock);
    if (error && tk_is_writing())
        wanted(lock);
    return error;
}

/* Notes that this lock is unlocked. Returns its number, or 0 where that is of no use: one thread has it for itself. */
static uint32_t unlocked(const tk_thread *self, const sem_t *lock, int *waited_for) {
    int32_t me = (int32_t)self->number + 1;
    bucket *here = bucket_of(lock);
    if (!here)
        return 0;
    entry *found = find_or_add(here, lock);
    if (found->poster == NOBODY)
        found->poster = me;
    else if (found->poster > 0 && found->poster != me)
        found->poster = SHARED;
    *waited_for = found->poster == WANTED;
    uint32_t id = *waited_for || found->poster == SHARED ? id_of(found) : 0;
    done(here);
    return id;
}

/* Remembers that this thread unlocked it, for the RELEASE that ends its hold. */
static void add_unlock(tk_thread *self, uint32_t id, int waited_for) {
    uint32_t place = 0;
    while (place < self->unlock_count && self->unlocks[place] != id)
        place++;
    if (place == TK_MOST_UNLOCKS && waited_for)
        for (place = 0; place < TK_MOST_UNLOCKS && self->waited_for >> place & 1;)
            place++;           /* instead of one for which nobody ever waited */
    if (place == TK_MOST_UNLOCKS)
        return;
    if (place == self->unlock_count)
        self->unlock_count++;
    self->unlocks[place] = id;
    self->waited_for = (uint8_t)((self->waited_for & ~(1 << place)) | waited_for << place);
}

/* All before it is unlocked: whoever waits may free it then. A thread that ends unlocks after its last RELEASE. */
static int hook_post(sem_t *lock) {
    tk_thread *self = &tk_self;
    int waited_for = 0;
    if (lock == self->last_unlocked || !tk_is_writing() || self->file != tk_the_gil.file)
        return sem_post(lock);
    uint32_t id = unlocked(self, lock, &waited_for);
    if (TK_LOAD(tk_the_gil.holder) == self) {
        self->last_unlocked = lock;
        if (id)
            add_unlock(self, id, waited_for);
    } else if (waited_for) {
        tk_late(self, TK_UNLOCKS_LATE, id);
    }
    return sem_post(lock);
}

/* 1: it is had already. 0: the thread will wait for it. */
static int had(sem_t *lock) {
    tk_thread *self = &tk_self;
    if (!tk_is_writing())
        return 0;
    int before = errno;
    if (!sem_trywait(lock))
        return 1;
    uint32_t id;
    if (self->file == tk_the_gil.file && TK_LOAD(tk_the_gil.holder) != self && (id = wanted(lock)))
        tk_late(self, TK_LOCK, id);
    errno = before;
    return 0;
}

static int hook_wait(sem_t *lock) {
    return had(lock) ? 0 : sem_wait(lock);
}

static int hook_timedwait(sem_t *lock, const struct timespec *until) {
    return had(lock) ? 0 : sem_timedwait(lock, until);
}

/* glibc has it from 2.30 on; so has an interpreter that calls it. */
static int hook_clockwait(sem_t *lock, clockid_t clock, const struct timespec *until) {
    static int (*real)(sem_t *, clockid_t, const struct timespec *);
    if (had(lock))
        return 0;
    if (!TK_LOAD(real))
        TK_STORE(real, (int (*)(sem_t *, clockid_t, const struct timespec *))dlsym(RTLD_DEFAULT, "sem_clockwait"));
    return TK_LOAD(real)(lock, clock, until);
}

const tk_hook tk_lock_hooks[] = {
    {"sem_init", hook_init, 0},
    {"sem_destroy", hook_destroy, 0},
    {"sem_trywait", hook_trywait, 0},
    {"sem_post", hook_post, 0},
    {"sem_wait", hook_wait, 0},
    {"sem_timedwait", hook_timedwait, 0},
    {"sem_clockwait", hook_clockwait, 0},
};
const size_t tk_lock_hook_count = sizeof tk_lock_hooks / sizeof *tk_lock_hooks;
