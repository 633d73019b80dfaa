/* A trace's rows followed: tracekit/whatif/observing.py says the same in Python, step by step, and must give the same. */
#include "observe.h"

#include "lists.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = -1, CONTINUES = -1, ABOUT = 6 };

static const int COLUMNS[SEEN_TABLES] = {4, 3, 3, 3, 2, 2, 4, 1, 2, 5};

/* The end of a hold. thread NONE: none. */
typedef struct { int64_t piece, time; int32_t thread; } hold_end;

typedef struct {
    int64_t first, last, pieces, released, row; /* row: of its last piece */
    int64_t stops, waited, entry, mark, switches_at_mark, acquired, checks_at_acquire, lock, taken;
    int64_t started_pieces;
    hold_end signalled, taker_released;
    int32_t started_by, taker;
    bool here, wants, contended, made_to_stop, was_taken;
} thread;

typedef struct { int64_t lock; hold_end by; } unlocked;
typedef struct { int64_t piece, lock, released, entry; int32_t thread; } returned;

/* What a row tells beside its columns. */
typedef struct { int64_t cpu, lock, unlocks[8]; int32_t unlock_count; } told;

typedef struct {
    tk_observation *of;
    thread *threads;
    list sleepers, woken, stopped;
    int32_t holder, last_holder;
    int64_t switches, request;
    bool requested, no_memory;
    unlocked *unlocked; /* hashed; lock 0: free */
    uint64_t unlocked_mask;
    TK_VECTOR(returned) returned; /* in this hold */
} observer;

static int64_t *add(observer *o, int table) {
    tk_seen *seen = &o->of->seen[table];
    const size_t columns = (size_t)COLUMNS[table];
    if (seen->count == seen->room) {
        const int64_t room = seen->room ? seen->room * 2 : 256;
        int64_t *larger = realloc(seen->items, (size_t)room * columns * sizeof *larger);
        if (!larger) {
            o->no_memory = true;
            return NULL;
        }
        seen->items = larger;
        seen->room = room;
    }
    return seen->items + (size_t)seen->count++ * columns;
}

#define ADD(table, ...)                                                   \
    do {                                                                  \
        const int64_t values_[] = {__VA_ARGS__};                          \
        int64_t *row_ = add(o, table);                                    \
        if (row_) memcpy(row_, values_, sizeof values_);                  \
    } while (0)

static unlocked *unlocked_at(const observer *o, int64_t lock) {
    uint64_t at = (uint64_t)lock * 0x9e3779b97f4a7c15u >> 20;
    while (o->unlocked[at & o->unlocked_mask].lock && o->unlocked[at & o->unlocked_mask].lock != lock) at++;
    return &o->unlocked[at & o->unlocked_mask];
}

/* For a thread that comes back: by whom is the last that did so since it gave up the GIL. */
static void was_unlocked(observer *o, const returned *back) {
    const hold_end *by = &unlocked_at(o, back->lock)->by;
    const bool known = unlocked_at(o, back->lock)->lock && by->time >= back->released;
    ADD(SEEN_LOCKS, back->thread, back->piece, known ? by->thread : NONE, known ? by->piece : 0, back->entry);
}

static void wants(observer *o, int32_t code, thread *t, int64_t time) {
    t->entry = time;
    t->wants = true;
    t->contended = false;
    if (!t->pieces) return;
    if (listed(&o->stopped, code)) list_drop(&o->stopped, code);
    if (t->made_to_stop && t->was_taken) {
        ADD(SEEN_GAPS, code, time - t->taken);
        if (t->taker_released.thread == NONE) ADD(SEEN_STALLS, code, time - t->taken);
        else
            ADD(SEEN_RETURNS, code, t->taker_released.thread, t->taker_released.piece, time - t->taker_released.time);
    } else {
        o->of->seen[SEEN_PIECES].items[4 * t->row + 3] = time - t->released;
        ADD(SEEN_AWAY, code, t->pieces - 1, time);
        if (t->lock) {
            const returned back = {t->pieces - 1, t->lock, t->released, time, code};
            if (o->holder == NONE) {
                was_unlocked(o, &back);
            } else if (o->returned.count == o->returned.room) {
                const size_t room = o->returned.room ? o->returned.room * 2 : 16;
                returned *larger = realloc(o->returned.items, room * sizeof *larger);
                if (!larger) {
                    o->no_memory = true;
                    return;
                }
                o->returned.items = larger;
                o->returned.room = room;
            }
            if (o->holder != NONE) o->returned.items[o->returned.count++] = back;
        }
    }
    t->made_to_stop = false;
    t->lock = 0;
}

static void woke(observer *o, thread *t, int64_t time) {
    ADD(SEEN_WAKES, t->signalled.thread, t->signalled.piece, time - t->signalled.time);
    t->signalled.thread = NONE;
}

static void sleeps(observer *o, int32_t code, thread *t, int64_t time, bool again) {
    if (again && t->contended) {
        if (t->signalled.thread != NONE) {
            woke(o, t, time);
            list_drop(&o->woken, code);
        } else {
            list_drop(&o->sleepers, code);
            ADD(SEEN_TIMEOUTS, time - t->mark);
            if (!o->requested && o->holder != NONE && t->switches_at_mark == o->switches) {
                o->requested = true;
                o->request = time;
            }
        }
    } else if (t->contended) {
        return;
    }
    if (!t->wants) t->entry = time;
    t->wants = t->contended = true;
    t->mark = time;
    t->switches_at_mark = o->switches;
    if (!listed(&o->sleepers, code)) list_append(&o->sleepers, code);
}

static void wakes_up(observer *o, int32_t code, thread *t, int64_t time) {
    if (t->signalled.thread == NONE) {
        list_drop(&o->sleepers, code);
        const int32_t other = o->woken.first;
        if (other == LIST_END) return; /* its time was up */
        t->signalled = o->threads[other].signalled; /* sleepers are not always woken in their order */
        o->threads[other].signalled.thread = NONE;
        list_drop(&o->woken, other);
        list_prepend(&o->sleepers, other);
    } else {
        list_drop(&o->woken, code);
    }
    woke(o, t, time);
}

static void acquires(observer *o, int32_t code, thread *t, int64_t time, int64_t checks) {
    if (t->wants) {
        t->waited += time - t->entry;
        if (t->contended) {
            ADD(SEEN_WAITS, code, time - t->entry);
            wakes_up(o, code, t, time);
        }
    }
    t->wants = t->contended = false;
    for (int32_t other = o->stopped.first; other != LIST_END; other = o->stopped.next[other]) {
        thread *s = &o->threads[other];
        if (other == code || s->was_taken) continue;
        s->was_taken = true;
        s->taken = time;
        s->taker = code;
        s->taker_released.thread = NONE;
    }
    o->switches += o->last_holder != code;
    o->holder = o->last_holder = code;
    t->acquired = time;
    t->checks_at_acquire = checks;
    o->requested = false;
}

static void releases(observer *o, int32_t code, thread *t, int64_t time, int64_t checks, const told *row) {
    const hold_end here = {t->pieces, time, code};
    const bool forced = checks > t->checks_at_acquire && !row->lock;
    t->row = o->of->seen[SEEN_PIECES].count;
    ADD(SEEN_PIECES, code, time - t->acquired, time, forced ? CONTINUES : 0);
    t->pieces++;
    t->released = time;
    t->lock = row->lock;
    for (int32_t i = 0; i < row->unlock_count; i++) *unlocked_at(o, row->unlocks[i]) = (unlocked){row->unlocks[i], here};
    for (size_t i = 0; i < o->returned.count; i++) was_unlocked(o, &o->returned.items[i]);
    o->returned.count = 0;
    if (forced) {
        t->made_to_stop = true;
        t->was_taken = false;
        t->stops++;
        if (!listed(&o->stopped, code)) list_append(&o->stopped, code);
        const int64_t idle = row->cpu == TK_NULL ? 0 : time - t->acquired - row->cpu;
        if (o->requested) ADD(SEEN_ANSWERS, code, time - o->request, idle > 0 ? idle : 0);
    }
    for (int32_t other = o->stopped.first; other != LIST_END; other = o->stopped.next[other]) {
        thread *s = &o->threads[other];
        if (s->was_taken && s->taker == code && s->taker_released.thread == NONE) s->taker_released = here;
    }
    const int32_t first = o->sleepers.first;
    if (first != LIST_END) {
        list_drop(&o->sleepers, first);
        o->threads[first].signalled = here;
        if (!listed(&o->woken, first)) list_append(&o->woken, first);
    }
    o->holder = NONE;
    o->requested = false;
}

static void take(observer *o, int64_t place, const told *row) {
    const int32_t code = o->of->thread[place];
    const int64_t time = o->of->time[place];
    thread *t = &o->threads[code];
    if (!t->here) {
        *t = (thread){.first = time, .here = true, .started_by = NONE, .signalled.thread = NONE, .taker_released.thread = NONE};
        if (o->last_holder != NONE && o->last_holder != code) {
            t->started_by = o->last_holder;
            t->started_pieces = o->threads[o->last_holder].pieces + (o->holder == o->last_holder);
        }
    }
    t->last = time;
    switch (o->of->event[place]) {
    case TK_ENTRY: wants(o, code, t, time); break;
    case TK_ACQUIRE: acquires(o, code, t, time, o->of->checks[place]); break;
    case TK_RELEASE:
        if (o->holder == code) releases(o, code, t, time, o->of->checks[place], row);
        break;
    default: sleeps(o, code, t, time, o->of->event[place] == TK_RETRY);
    }
}

static void run(observer *o) {
    const tk_observation *of = o->of;
    const tk_attribute *next = of->attributes, *const end = next + of->attribute_count;
    for (int64_t place = 0; place < of->rows && !o->no_memory; place++) {
        told row = {.cpu = TK_NULL};
        for (; next < end && next->row <= place; next++) {
            if (next->key == TK_CPU) row.cpu = next->value;
            if (next->key == TK_LOCK) row.lock = next->value;
            if (next->key == TK_UNLOCKS && row.unlock_count < 8) row.unlocks[row.unlock_count++] = next->value;
        }
        take(o, place, &row);
    }
    for (size_t i = 0; i < o->returned.count && !o->no_memory; i++) was_unlocked(o, &o->returned.items[i]);
    for (int64_t x = 0; x < of->threads; x++) {
        const thread *t = &o->threads[x];
        const int64_t about[ABOUT] = {t->first, t->last, t->waited, t->stops, t->here ? t->started_by : NONE, t->started_pieces};
        memcpy(of->about + ABOUT * x, about, sizeof about);
    }
}

int32_t tk_observe(tk_observation *of) {
    const size_t threads = (size_t)of->threads;
    observer o = {.of = of, .holder = NONE, .last_holder = NONE};
    uint64_t room = 64;
    while (room < 2 * (uint64_t)of->attribute_count) room *= 2;
    o.unlocked_mask = room - 1;
    o.unlocked = calloc(room, sizeof *o.unlocked);
    o.threads = calloc(threads + 1, sizeof *o.threads);
    int32_t *lists = malloc((6 * threads + 1) * sizeof *lists);
    memset(of->seen, 0, sizeof of->seen);
    if (o.unlocked && o.threads && lists) {
        o.sleepers = list_of(lists, (int32_t)threads);
        o.woken = list_of(lists + 2 * threads, (int32_t)threads);
        o.stopped = list_of(lists + 4 * threads, (int32_t)threads);
        run(&o);
    } else {
        o.no_memory = true;
    }
    free(o.unlocked);
    free(o.threads);
    free(o.returned.items);
    free(lists);
    return o.no_memory ? -1 : 0;
}

void tk_observe_free(tk_observation *of) {
    for (int table = 0; table < SEEN_TABLES; table++) free(of->seen[table].items);
}
