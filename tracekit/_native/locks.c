#include "locks.h"

#include <stdlib.h>
#include <string.h>

enum { UNLOCKED_ROOM = LOCK_LIMIT * 2, NOBODY = -1 };

static uint64_t mixed(uint64_t x) {
    x *= 0x9e3779b97f4a7c15u;
    return x ^ x >> 29;
}

static lock_unlocked *unlocked_at(const locks *all, int64_t lock) {
    uint64_t at = mixed((uint64_t)lock) % UNLOCKED_ROOM;
    while (all->unlocked[at].lock && all->unlocked[at].lock != lock) at = (at + 1) % UNLOCKED_ROOM;
    return &all->unlocked[at];
}

static bool unlock(locks *all, int64_t lock, const unlocking *by) {
    if (!all->unlocked && !(all->unlocked = calloc(UNLOCKED_ROOM, sizeof *all->unlocked))) return false;
    lock_unlocked *found = unlocked_at(all, lock);
    if (!found->lock && all->unlocked_count == LOCK_LIMIT) {
        memset(all->unlocked, 0, UNLOCKED_ROOM * sizeof *all->unlocked); /* the memory is bounded: who waits long may find nobody */
        all->unlocked_count = 0;
        found = unlocked_at(all, lock);
    }
    all->unlocked_count += !found->lock;
    *found = (lock_unlocked){lock, *by};
    return true;
}

static uint32_t place_of(const locks *all, int64_t lock, int32_t waiter, int32_t releaser) {
    uint64_t key = (uint64_t)lock ^ mixed((uint64_t)(uint32_t)waiter << 32 | (uint32_t)releaser);
    uint32_t at = (uint32_t)mixed(key) & (all->places_room - 1);
    for (; all->places[at]; at = (at + 1) & (all->places_room - 1)) {
        const tk_lock_wait *row = &all->rows.items[all->places[at] - 1];
        if (row->lock == lock && row->waiter == waiter && row->releaser == releaser) break;
    }
    return at;
}

static bool more_places(locks *all) {
    const uint32_t room = all->places_room ? all->places_room * 2 : 64;
    uint32_t *larger = calloc(room, sizeof *larger);
    if (!larger) return false;
    free(all->places);
    all->places = larger;
    all->places_room = room;
    for (size_t i = 0; i < all->rows.count; i++) {
        const tk_lock_wait *row = &all->rows.items[i];
        all->places[place_of(all, row->lock, row->waiter, row->releaser)] = (uint32_t)i + 1;
    }
    return true;
}

static bool add(locks *all, const lock_pending *wait, int32_t waiter, int64_t back, const unlocking *by) {
    if (all->rows.count * 2 >= all->places_room && !more_places(all)) return false;
    const int32_t releaser = by ? by->thread : NOBODY;
    uint32_t at = place_of(all, wait->lock, waiter, releaser);
    if (!all->places[at] && all->rows.count >= LOCK_LIMIT) at = place_of(all, 0, waiter, releaser); /* one of many */
    if (!all->places[at]) {
        if (all->rows.count == all->rows.room) {
            const size_t room = all->rows.room ? all->rows.room * 2 : 64;
            tk_lock_wait *larger = realloc(all->rows.items, room * sizeof *larger);
            if (!larger) return false;
            all->rows.items = larger;
            all->rows.room = room;
        }
        const int64_t lock = all->rows.count >= LOCK_LIMIT ? 0 : wait->lock;
        all->rows.items[all->rows.count++] = (tk_lock_wait){.lock = lock, .waiter = waiter, .releaser = releaser};
        all->places[at] = (uint32_t)all->rows.count;
    }
    tk_lock_wait *row = &all->rows.items[all->places[at] - 1];
    row->duration += back - wait->since;
    row->waits++;
    if (by) {
        const int64_t from = by->wait_start > wait->since ? by->wait_start : wait->since;
        const int64_t to = by->wait_end < back ? by->wait_end : back;
        if (to > from) row->releaser_waited += to - from;
    }
    return true;
}

/* It is back: the last that unlocked it since it gave up the GIL is who let it. */
static bool end_wait(locks *all, const lock_pending *wait, int32_t waiter, int64_t back) {
    const lock_unlocked *found = all->unlocked ? unlocked_at(all, wait->lock) : NULL;
    return add(all, wait, waiter, back, found && found->lock && found->by.seq > wait->seq ? &found->by : NULL);
}

static bool end_returned(locks *all) {
    for (size_t i = 0; i < all->returned.count; i++) {
        const lock_returned *r = &all->returned.items[i];
        if (!end_wait(all, &r->wait, r->thread, r->back)) return false;
    }
    all->returned.count = 0;
    return true;
}

bool locks_release(locks *all, int64_t lock, const int64_t *unlocks, int32_t count, const unlocking *by, int64_t clock) {
    const int32_t thread = by->thread;
    for (int32_t i = 0; i < count; i++)
        if (!unlock(all, unlocks[i], by)) return false;
    if (thread >= all->pending_room && lock) {
        int32_t room = all->pending_room ? all->pending_room : 16;
        while (room <= thread) room *= 2;
        lock_pending *larger = realloc(all->pending, (size_t)room * sizeof *larger);
        if (!larger) return false;
        memset(larger + all->pending_room, 0, (size_t)(room - all->pending_room) * sizeof *larger);
        all->pending = larger;
        all->pending_room = room;
    }
    if (thread < all->pending_room) all->pending[thread] = (lock_pending){lock, clock, by->seq};
    return end_returned(all);
}

bool locks_entry(locks *all, int32_t thread, int64_t clock, bool held) {
    const lock_pending wait = all->pending[thread];
    all->pending[thread].lock = 0;
    if (!held) return end_wait(all, &wait, thread, clock);
    if (all->returned.count == all->returned.room) {
        const size_t room = all->returned.room ? all->returned.room * 2 : 16;
        lock_returned *larger = realloc(all->returned.items, room * sizeof *larger);
        if (!larger) return false;
        all->returned.items = larger;
        all->returned.room = room;
    }
    all->returned.items[all->returned.count++] = (lock_returned){wait, clock, thread};
    return true;
}

/* Who still waits has waited until now. */
bool locks_finish(locks *all, int64_t clock) {
    for (int32_t thread = 0; thread < all->pending_room; thread++) {
        const lock_pending wait = all->pending[thread];
        all->pending[thread].lock = 0;
        if (wait.lock && !add(all, &wait, thread, clock, NULL)) return false;
    }
    return end_returned(all);
}

void locks_free(locks *all) {
    free(all->unlocked);
    free(all->pending);
    free(all->returned.items);
    free(all->rows.items);
    free(all->places);
}
