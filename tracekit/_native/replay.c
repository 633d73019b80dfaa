/* CPython's GIL replayed: tracekit/whatif/plain.py says the same in Python, step by step, and must give the same. */
#include "replay.h"

#include "lists.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ENTER, TIMER, WAKE, END, FORCED };
enum { NONE = -1, GOES_ON = -2, NEAR = 8 };
#define LONGEST ((int64_t)1 << 62)

typedef struct {
    int64_t time, order;
    int64_t done, running_since, entry, switches_seen;
    int64_t piece;
    int32_t kind;
    int32_t place; /* in the heap, or NONE */
    int32_t dropped_by; /* who took the GIL from this thread, which was made to stop and has not come back */
    int32_t next_blocked;
    bool contended;
    bool leaves; /* when another has the GIL it goes outside, else on computing */
} thread;

typedef struct {
    tk_replay *in;
    thread *threads;
    int32_t *heap;
    int32_t heap_size;
    int64_t order;
    list sleepers, coming_back;
    int32_t *waiting_for_switch;
    int32_t waiting_count;
    int32_t *blocked_first, *blocked_last; /* by the piece that they need */
    int64_t *ended;                        /* of each piece */
    int32_t holder, last_holder;
    int64_t switches, answer_at;
    uint64_t state;
    bool requested, no_memory;
    int64_t wait_room;
} replay;

static bool sooner(const replay *r, int32_t a, int32_t b) {
    const thread *x = &r->threads[a], *y = &r->threads[b];
    return x->time != y->time ? x->time < y->time : x->order < y->order;
}

static void put(replay *r, int32_t place, int32_t x) {
    r->heap[place] = x;
    r->threads[x].place = place;
}

static void settle(replay *r, int32_t place) {
    int32_t x = r->heap[place];
    while (place && sooner(r, x, r->heap[(place - 1) / 2])) {
        put(r, place, r->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        int32_t child = 2 * place + 1;
        if (child >= r->heap_size) break;
        if (child + 1 < r->heap_size && sooner(r, r->heap[child + 1], r->heap[child])) child++;
        if (!sooner(r, r->heap[child], x)) break;
        put(r, place, r->heap[child]);
        place = child;
    }
    put(r, place, x);
}

/* A thread has one event to come: this replaces it. */
static void at(replay *r, int64_t time, int32_t x, int32_t kind) {
    thread *t = &r->threads[x];
    t->time = time;
    t->order = ++r->order;
    t->kind = kind;
    if (t->place == NONE) put(r, r->heap_size++, x);
    settle(r, t->place);
}

static int32_t next_event(replay *r) {
    int32_t x = r->heap[0];
    int32_t last = r->heap[--r->heap_size];
    r->threads[x].place = NONE;
    if (last != x) {
        put(r, 0, last);
        settle(r, 0);
    }
    return x;
}

static int64_t choose(replay *r, int64_t count) {
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((r->state >> 33) * (uint64_t)count >> 31);
}

static int64_t pick(replay *r, const int64_t *samples, const int64_t *from, int32_t x) {
    return samples[from[x] + choose(r, from[x + 1] - from[x])];
}

/* One of those whose releaser was outside for about as long as this one will be. */
static int64_t pick_beside(replay *r, const int64_t *rows, int64_t count, int64_t outside) {
    int64_t low = 0, high = count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (rows[2 * middle] < outside) low = middle + 1;
        else high = middle;
    }
    int64_t first = low - NEAR / 2;
    if (first > count - NEAR) first = count - NEAR;
    if (first < 0) first = 0;
    int64_t near = count - first < NEAR ? count - first : NEAR;
    return rows[2 * (first + choose(r, near)) + 1];
}

/* Until the piece ends, or the thread answers a request before that. */
static void compute(replay *r, int32_t x) {
    thread *t = &r->threads[x];
    int64_t end = t->running_since + r->in->work[t->piece] - t->done;
    if (r->requested && !r->in->atomic[x] && r->answer_at < end)
        at(r, r->answer_at > t->running_since ? r->answer_at : t->running_since, x, FORCED);
    else
        at(r, end, x, END);
}

static void add_wait(replay *r, int32_t x, int64_t duration) {
    tk_replay *in = r->in;
    if (in->wait_count == r->wait_room) {
        int64_t room = r->wait_room ? r->wait_room * 2 : 1024;
        int64_t *waits = realloc(in->waits, (size_t)room * sizeof *waits);
        if (waits) in->waits = waits;
        int32_t *waiters = realloc(in->waiters, (size_t)room * sizeof *waiters);
        if (waiters) in->waiters = waiters;
        if (!waits || !waiters) {
            r->no_memory = true;
            return;
        }
        r->wait_room = room;
    }
    in->waits[in->wait_count] = duration;
    in->waiters[in->wait_count++] = x;
}

/* Outside, behind its piece. */
static void leave(replay *r, int32_t x, int64_t now) {
    const tk_replay *in = r->in;
    thread *t = &r->threads[x];
    int64_t piece = t->piece;
    in->ends[x] = now;
    if (piece + 1 == in->first[x + 1]) return;
    t->piece++;
    t->done = 0;
    int64_t needed = in->needs[piece];
    int64_t outside = in->outside[piece] > 0 ? in->outside[piece] : 0;
    if (needed == NONE) {
        at(r, now + outside > in->arrives[piece] ? now + outside : in->arrives[piece], x, ENTER);
    } else if (r->ended[needed] != NONE) {
        int64_t back = r->ended[needed] + outside;
        at(r, back > now ? back : now, x, ENTER);
    } else {
        t->next_blocked = NONE;
        if (r->blocked_first[needed] == NONE) r->blocked_first[needed] = x;
        else r->threads[r->blocked_last[needed]].next_blocked = x;
        r->blocked_last[needed] = x;
    }
}

static void take(replay *r, int32_t x, int64_t now) {
    const tk_replay *in = r->in;
    thread *t = &r->threads[x];
    r->holder = x;
    if (r->last_holder != x) {
        r->switches++;
        r->last_holder = x;
    }
    in->waited[x] += now - t->entry;
    if (t->contended) add_wait(r, x, now - t->entry);
    r->requested = false;
    for (int32_t i = 0; i < r->waiting_count; i++) {
        int32_t y = r->waiting_for_switch[i];
        thread *other = &r->threads[y];
        if (other->leaves) {
            leave(r, y, now);
        } else {
            other->dropped_by = x;
            list_append(&r->coming_back, y);
            at(r, now + pick(r, in->stalls, in->stalls_from, y), y, ENTER);
        }
    }
    r->waiting_count = 0;
    t->running_since = now;
    compute(r, x);
}

static void sleep_for_it(replay *r, int32_t x, int64_t now) {
    list_append(&r->sleepers, x);
    r->threads[x].switches_seen = r->switches;
    at(r, now + r->in->delay, x, TIMER);
}

static void enter(replay *r, int32_t x, int64_t now) {
    const tk_replay *in = r->in;
    thread *t = &r->threads[x];
    if (in->begins[x] == NONE) in->begins[x] = now;
    if (t->dropped_by != NONE) {
        t->dropped_by = NONE;
        list_drop(&r->coming_back, x);
    }
    t->entry = now;
    t->contended = false;
    if (in->free[x]) {
        at(r, now + in->work[t->piece], x, END);
    } else if (r->holder == NONE) {
        take(r, x, now);
    } else {
        t->contended = true;
        sleep_for_it(r, x, now);
    }
}

static void time_is_up(replay *r, int32_t x, int64_t now) {
    list_drop(&r->sleepers, x);
    if (r->holder == NONE) {
        take(r, x, now);
        return;
    }
    if (r->threads[x].switches_seen == r->switches && !r->requested) {
        r->requested = true;
        if (!r->in->atomic[r->holder]) {
            r->answer_at = now + pick(r, r->in->answers, r->in->answers_from, r->holder);
            compute(r, r->holder);
        }
    }
    sleep_for_it(r, x, now);
}

static void release(replay *r, int32_t x, int64_t now) {
    const tk_replay *in = r->in;
    thread *t = &r->threads[x];
    r->holder = NONE;
    bool stays = t->done < in->work[t->piece] || in->outside[t->piece] < 0 || in->needs[t->piece] != NONE;
    int64_t outside = stays ? LONGEST : in->outside[t->piece];
    for (int32_t y = r->coming_back.first; y != NONE; y = r->coming_back.next[y]) {
        if (r->threads[y].dropped_by != x) continue;
        r->threads[y].dropped_by = y; /* only its first release counts */
        const int64_t from = in->returns_from[y];
        at(r, now + pick_beside(r, in->returns + 2 * from, in->returns_from[y + 1] - from, outside), y, ENTER);
    }
    int32_t first = r->sleepers.first;
    if (first != NONE) {
        int64_t wake = pick_beside(r, in->wakes, in->wake_count, outside);
        list_drop(&r->sleepers, first);
        at(r, now + wake, first, WAKE);
    }
}

/* Obeys a request, and waits until another has the GIL. */
static void give_up(replay *r, int32_t x, int64_t now, bool leaves) {
    r->threads[x].leaves = leaves;
    r->in->stops += !leaves;
    r->requested = false;
    r->waiting_for_switch[r->waiting_count++] = x;
    release(r, x, now);
}

static void tell_ended(replay *r, int64_t piece, int64_t now) {
    const tk_replay *in = r->in;
    r->ended[piece] = now;
    int32_t x = r->blocked_first[piece];
    r->blocked_first[piece] = NONE;
    while (x != NONE) {
        int32_t next = r->threads[x].next_blocked;
        int64_t before = r->threads[x].piece - 1;
        int64_t outside = before < in->first[x] ? in->start[x] : in->outside[before];
        at(r, now + (outside > 0 ? outside : 0), x, ENTER);
        x = next;
    }
}

static bool has_nothing_to_wait_for(const replay *r, int64_t piece) {
    const int64_t needed = r->in->needs[piece];
    return needed != NONE && r->ended[needed] != NONE;
}

static void ended(replay *r, int32_t x, int64_t now) {
    const tk_replay *in = r->in;
    thread *t = &r->threads[x];
    int64_t piece = t->piece;
    bool last = piece + 1 == in->first[x + 1];
    t->done = in->work[piece];
    tell_ended(r, piece, now);
    if (in->free[x]) {
        leave(r, x, now);
    } else if (!last && (in->outside[piece] < 0 || has_nothing_to_wait_for(r, piece))) {
        t->piece++;
        t->done = 0;
        if (r->requested && in->atomic[x] && in->outside[piece] != GOES_ON) {
            give_up(r, x, now, false);
        } else {
            t->running_since = now;
            compute(r, x);
        }
    } else if (r->requested && !last) {
        give_up(r, x, now, true);
    } else {
        release(r, x, now);
        leave(r, x, now);
    }
}

static void run(replay *r) {
    const tk_replay *in = r->in;
    for (int32_t x = 0; x < in->threads; x++) {
        thread *t = &r->threads[x];
        *t = (thread){.piece = in->first[x], .place = NONE, .dropped_by = NONE, .next_blocked = NONE};
        in->begins[x] = NONE;
        in->ends[x] = in->waited[x] = 0;
        if (in->first[x] == in->first[x + 1]) continue;
        int64_t starter = in->started_by[x];
        if (starter == NONE) {
            at(r, in->start[x], x, ENTER);
        } else {
            if (r->blocked_first[starter] == NONE) r->blocked_first[starter] = x;
            else r->threads[r->blocked_last[starter]].next_blocked = x;
            r->blocked_last[starter] = x;
        }
    }
    while (r->heap_size && !r->no_memory) {
        int32_t x = next_event(r);
        int64_t now = r->threads[x].time;
        switch (r->threads[x].kind) {
            case ENTER: enter(r, x, now); break;
            case TIMER: time_is_up(r, x, now); break;
            case WAKE:
                if (r->holder == NONE) take(r, x, now);
                else sleep_for_it(r, x, now);
                break;
            case END: ended(r, x, now); break;
            case FORCED:
                r->threads[x].done += now - r->threads[x].running_since;
                give_up(r, x, now, false);
        }
    }
}

int32_t tk_replay_run(tk_replay *in) {
    const size_t threads = (size_t)in->threads, pieces = (size_t)in->pieces;
    replay r = {.in = in, .holder = NONE, .last_holder = NONE, .state = in->seed};
    int32_t *lists = malloc((6 * threads + 2 * pieces) * sizeof *lists);
    r.threads = malloc(threads * sizeof *r.threads);
    r.ended = malloc((pieces + 1) * sizeof *r.ended);
    in->waits = NULL;
    in->waiters = NULL;
    in->wait_count = in->stops = 0;
    if (lists && r.threads && r.ended) {
        r.heap = lists;
        r.waiting_for_switch = lists + threads;
        r.sleepers = list_of(lists + 2 * threads, (int32_t)threads);
        r.coming_back = list_of(lists + 4 * threads, (int32_t)threads);
        r.blocked_first = lists + 6 * threads;
        r.blocked_last = r.blocked_first + pieces;
        memset(r.blocked_first, 0xff, pieces * sizeof *r.blocked_first);
        memset(r.ended, 0xff, pieces * sizeof *r.ended);
        run(&r);
    } else {
        r.no_memory = true;
    }
    free(lists);
    free(r.threads);
    free(r.ended);
    return r.no_memory ? -1 : 0;
}

void tk_replay_free(tk_replay *in) {
    free(in->waits);
    free(in->waiters);
}
