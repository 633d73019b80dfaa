/* The state machine: events to holds, waits, switches, blame and totals.
   docs/analyses.md has the rules; timeline.py says the same in Python.

   Clocks count from the trace's first known one, so that the rows before it are
   at 0 without a second look. Blame and rivals come from a log of *runs*: a run
   is all that happens from one switch to the next, and a wait remembers where in
   the log it began. The log is a ring; when it is full, each open wait takes its
   part into a map of its own. */
#include "core.h"

#include <stdlib.h>
#include <string.h>

#define RING 4096 /* runs */
#define NOBODY (-1)
#define NO_SEQ (-1)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { KIND_UNKNOWN, KIND_CHECK, KIND_BLOCKING };

/* A thread's code -> a sum. The code is its own hash: once there is room for all, nothing collides. */
typedef struct {
    int32_t *keys; /* -1: free */
    int64_t *sums;
    uint32_t mask, count;
} map;

/* What an open wait took out of the ring before it was overwritten. */
typedef struct { map blame, rivals; } taken;

typedef struct {
    bool open, contended, truncated;
    uint32_t place; /* in open_waits */
    int64_t entry_seq, busy_seq, start, busy;
    int64_t run, run_held;         /* where it began: the run, and how long that had been held */
    int64_t busy_run, busy_run_acquires;
    int64_t acquires_at_busy;
    int64_t acquires_at_mark, reacquires_at_mark; /* at its last BUSY or RETRY */
    int64_t failed_retries, lost_rounds, timeouts, hand_overs;
    taken *taken;
} wait;

typedef struct {
    wait wait;
    map blame;
} thread;

typedef struct { int64_t held, acquires; int32_t thread; } run;

struct tk_timeline {
    int64_t interval;
    bool keep_rows, out_of_memory;
    tk_totals totals;

    int64_t clock, tick_clock, last_checks;

    int32_t holder;
    int64_t hold_start, hold_start_seq, hold_checks, hold_waited;

    int32_t run_thread; /* of the last ACQUIRE */
    int64_t run_held, run_acquires, runs;
    run ring[RING];
    int64_t acquires, reacquires;
    int32_t last_change_thread; /* the thread of the last ACQUIRE or RELEASE, if it was a RELEASE */
    int64_t last_release_clock; /* since the last ACQUIRE; NO_RELEASE */
    bool released;

    thread *threads;
    tk_thread_totals *thread_totals;
    size_t threads_room, thread_totals_room;
    int32_t thread_count;
    TK_VECTOR(int32_t) open_waits;
    map tally;

    TK_VECTOR(tk_hold) holds;
    TK_VECTOR(tk_wait) waits;
    TK_VECTOR(tk_switch) switches;
    TK_VECTOR(tk_fault) faults;
    TK_VECTOR(tk_blame) blame;
};

/* ---- maps ---- */

static bool map_room(map *m) {
    uint32_t mask = m->keys ? m->mask * 2 + 1 : 3;
    map larger = {malloc(((size_t)mask + 1) * sizeof(int32_t)), malloc(((size_t)mask + 1) * sizeof(int64_t)), mask,
                  m->count};
    if (!larger.keys || !larger.sums) {
        free(larger.keys);
        free(larger.sums);
        return false;
    }
    memset(larger.keys, 0xFF, ((size_t)mask + 1) * sizeof(int32_t));
    for (uint32_t i = 0; m->keys && i <= m->mask; i++) {
        if (m->keys[i] < 0) continue;
        uint32_t at = (uint32_t)m->keys[i] & mask;
        while (larger.keys[at] >= 0) at = (at + 1) & mask;
        larger.keys[at] = m->keys[i];
        larger.sums[at] = m->sums[i];
    }
    free(m->keys);
    free(m->sums);
    *m = larger;
    return true;
}

static inline bool map_add(map *m, int32_t key, int64_t amount) {
    if (!m->keys && !map_room(m)) return false;
    for (;;) {
        uint32_t at = (uint32_t)key & m->mask;
        while (m->keys[at] >= 0 && m->keys[at] != key) at = (at + 1) & m->mask;
        if (LIKELY(m->keys[at] == key)) {
            m->sums[at] += amount;
            return true;
        }
        if (m->count * 4 < m->mask * 3) {
            m->keys[at] = key;
            m->sums[at] = amount;
            m->count++;
            return true;
        }
        if (!map_room(m)) return false;
    }
}

static bool map_add_all(map *m, const map *other) {
    for (uint32_t i = 0; other->keys && i <= other->mask; i++)
        if (other->keys[i] >= 0 && !map_add(m, other->keys[i], other->sums[i])) return false;
    return true;
}

static void map_clear(map *m) {
    if (m->count) memset(m->keys, 0xFF, ((size_t)m->mask + 1) * sizeof(int32_t));
    m->count = 0;
}

static void map_free(map *m) {
    free(m->keys);
    free(m->sums);
}

static void free_taken(wait *w) {
    if (!w->taken) return;
    map_free(&w->taken->blame);
    map_free(&w->taken->rivals);
    free(w->taken);
    w->taken = NULL;
}

/* ---- life ---- */

tk_timeline *tk_timeline_new(int64_t interval, int32_t keep_rows) {
    tk_timeline *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->interval = interval;
    t->keep_rows = keep_rows;
    t->holder = t->run_thread = t->last_change_thread = NOBODY;
    t->last_checks = TK_NULL;
    t->totals.checks_least = t->totals.checks_most = TK_NULL;
    return t;
}

void tk_timeline_free(tk_timeline *t) {
    if (!t) return;
    for (int32_t i = 0; i < t->thread_count; i++) {
        free_taken(&t->threads[i].wait);
        map_free(&t->threads[i].blame);
    }
    map_free(&t->tally);
    free(t->threads);
    free(t->thread_totals);
    free(t->open_waits.items);
    free(t->holds.items);
    free(t->waits.items);
    free(t->switches.items);
    free(t->faults.items);
    free(t->blame.items);
    free(t);
}

static bool add_threads(tk_timeline *t, int32_t count) {
    if (count <= t->thread_count) return true;
    if (!tk_grow(&t->threads, &t->threads_room, sizeof *t->threads, (size_t)count) ||
        !tk_grow(&t->thread_totals, &t->thread_totals_room, sizeof *t->thread_totals, (size_t)count))
        return false;
    size_t more = (size_t)(count - t->thread_count);
    memset(t->threads + t->thread_count, 0, more * sizeof *t->threads);
    memset(t->thread_totals + t->thread_count, 0, more * sizeof *t->thread_totals);
    for (int32_t i = t->thread_count; i < count; i++) t->thread_totals[i].first_seq = NO_SEQ;
    t->thread_count = count;
    return true;
}

#define KEEP(vector, ...)                                                                         \
    do {                                                                                          \
        if (tk_grow(&(vector).items, &(vector).room, sizeof *(vector).items, (vector).count + 1)) \
            (vector).items[(vector).count++] = __VA_ARGS__;                                       \
        else                                                                                      \
            t->out_of_memory = true;                                                              \
    } while (0)

#define TRY(done)                                \
    do {                                         \
        if (!(done)) t->out_of_memory = true;    \
    } while (0)

static void fault(tk_timeline *t, int code, bool error, int32_t thread, int64_t seq) {
    if (!t->totals.counts[code][error]++) t->totals.first_seq[code][error] = seq;
    if (t->keep_rows) KEEP(t->faults, (tk_fault){seq, thread, (uint8_t)code, error, {0}});
}

/* ---- runs: who held how much since a wait began ---- */

/* How long the current run's thread has held the GIL in it. */
static inline int64_t held_in_run(const tk_timeline *t) {
    return t->run_held + (t->holder != NOBODY ? t->clock - t->hold_start : 0);
}

static inline void charge(tk_timeline *t, map *blame, int32_t holder, int64_t held) {
    if (held > 0) TRY(map_add(blame, holder, held));
}

/* The blame of a wait since it began, or since it last took its part from the ring. */
static void settle_blame(tk_timeline *t, const wait *w, map *blame) {
    int64_t before = w->run_held;
    for (int64_t i = w->run; i < t->runs; i++) {
        const run *r = &t->ring[i & (RING - 1)];
        charge(t, blame, r->thread, r->held - before);
        before = 0;
    }
    charge(t, blame, t->run_thread, held_in_run(t) - before);
}

static void settle_rivals(tk_timeline *t, const wait *w, map *rivals) {
    int64_t before = w->busy_run_acquires;
    for (int64_t i = w->busy_run; i < t->runs; i++) {
        const run *r = &t->ring[i & (RING - 1)];
        charge(t, rivals, r->thread, r->acquires - before);
        before = 0;
    }
    charge(t, rivals, t->run_thread, t->run_acquires - before);
}

/* The thread with the most ACQUIREs since the wait's first BUSY or RETRY; the first seen of equals. */
static int32_t main_rival(tk_timeline *t, const wait *w) {
    if (t->acquires == w->acquires_at_busy) return NOBODY;
    if (w->busy_run == t->runs && !w->taken) return t->run_thread;
    map_clear(&t->tally);
    settle_rivals(t, w, &t->tally);
    if (w->taken) TRY(map_add_all(&t->tally, &w->taken->rivals));
    int32_t rival = NOBODY;
    int64_t most = 0;
    for (uint32_t i = 0; t->tally.keys && i <= t->tally.mask; i++) {
        int32_t key = t->tally.keys[i];
        if (key < 0) continue;
        if (t->tally.sums[i] > most || (t->tally.sums[i] == most && key < rival)) {
            most = t->tally.sums[i];
            rival = key;
        }
    }
    return rival;
}

/* The ring is full: each open wait takes its part. */
static void empty_ring(tk_timeline *t) {
    const int64_t oldest = t->runs - RING;
    map held = {0}, acquires = {0};
    for (int i = 0; i < RING; i++) {
        charge(t, &held, t->ring[i].thread, t->ring[i].held);
        charge(t, &acquires, t->ring[i].thread, t->ring[i].acquires);
    }
    for (size_t i = 0; i < t->open_waits.count; i++) {
        wait *w = &t->threads[t->open_waits.items[i]].wait;
        if (!w->taken && !(w->taken = calloc(1, sizeof *w->taken))) {
            t->out_of_memory = true;
            break;
        }
        if (w->run == oldest && w->run_held == 0) TRY(map_add_all(&w->taken->blame, &held));
        else settle_blame(t, w, &w->taken->blame);
        w->run = t->runs;
        w->run_held = 0;
        if (!w->contended) continue;
        if (w->busy_run == oldest && w->busy_run_acquires == 0) TRY(map_add_all(&w->taken->rivals, &acquires));
        else settle_rivals(t, w, &w->taken->rivals);
        w->busy_run = t->runs;
        w->busy_run_acquires = 0;
    }
    map_free(&held);
    map_free(&acquires);
}

static void start_run(tk_timeline *t, int32_t thread, int64_t seq) {
    if (t->run_thread != NOBODY) {
        t->totals.switches++;
        if (t->keep_rows)
            KEEP(t->switches, (tk_switch){seq, t->released ? t->clock - t->last_release_clock : TK_NULL,
                                          t->run_thread, thread});
        t->ring[t->runs++ & (RING - 1)] = (run){t->run_held, t->run_acquires, t->run_thread};
    }
    t->run_thread = thread;
    t->run_held = t->run_acquires = 0;
    if (t->runs && !(t->runs & (RING - 1)) && t->open_waits.count) empty_ring(t);
}

/* ---- waits and holds ---- */

static void open_wait(tk_timeline *t, int32_t thread, int64_t seq, bool truncated) {
    wait *w = &t->threads[thread].wait;
    w->open = true;
    w->contended = false;
    w->truncated = truncated;
    w->entry_seq = truncated ? NO_SEQ : seq;
    w->busy_seq = NO_SEQ;
    w->start = t->clock;
    w->run = t->runs;
    w->run_held = held_in_run(t);
    w->failed_retries = w->lost_rounds = w->timeouts = w->hand_overs = 0;
    w->place = (uint32_t)t->open_waits.count;
    KEEP(t->open_waits, thread);
}

static void forget_wait(tk_timeline *t, wait *w) {
    int32_t last = t->open_waits.items[--t->open_waits.count];
    t->open_waits.items[w->place] = last;
    t->threads[last].wait.place = w->place;
    w->open = false;
    free_taken(w);
}

/* How long it lasted. */
static int64_t close_wait(tk_timeline *t, int32_t thread, int64_t end_seq) {
    wait *w = &t->threads[thread].wait;
    tk_thread_totals *totals = &t->thread_totals[thread];
    int64_t waited = t->clock - w->start;
    totals->waited += waited;
    totals->contended_waits += w->contended;
    if (waited > 0) {
        settle_blame(t, w, &t->threads[thread].blame);
        if (w->taken) TRY(map_add_all(&t->threads[thread].blame, &w->taken->blame));
    }
    if (t->keep_rows) {
        bool contended = w->contended;
        KEEP(t->waits, (tk_wait){w->entry_seq, w->busy_seq, end_seq, w->start, contended ? w->busy : 0, t->clock,
                                 w->failed_retries, w->lost_rounds, w->timeouts, w->hand_overs,
                                 contended ? t->acquires - w->acquires_at_busy : 0, thread,
                                 contended ? main_rival(t, w) : NOBODY, contended, end_seq == NO_SEQ,
                                 w->truncated, {0}});
    }
    forget_wait(t, w);
    return waited;
}

static inline void open_hold(tk_timeline *t, int32_t thread, int64_t seq, int64_t checks, int64_t waited) {
    t->holder = thread;
    t->hold_start = t->clock;
    t->hold_start_seq = seq;
    t->hold_checks = checks;
    t->hold_waited = waited;
}

static inline void close_hold(tk_timeline *t, int64_t end_seq, int kind, bool truncated) {
    int64_t held = t->clock - t->hold_start;
    tk_thread_totals *totals = &t->thread_totals[t->holder];
    totals->held += held;
    totals->check_releases += kind == KIND_CHECK;
    totals->blocking_releases += kind == KIND_BLOCKING;
    t->run_held += held;
    if (t->keep_rows)
        KEEP(t->holds, (tk_hold){t->hold_start_seq, end_seq, t->hold_start, t->clock, t->hold_waited, t->holder,
                                 (uint8_t)kind, end_seq == NO_SEQ, truncated, 0});
    t->holder = NOBODY;
}

static inline int release_kind(int64_t at_acquire, int64_t at_release) {
    if (at_acquire == TK_NULL || at_release == TK_NULL || at_release < at_acquire) return KIND_UNKNOWN;
    return at_release > at_acquire ? KIND_CHECK : KIND_BLOCKING;
}

/* ---- the clock ---- */

static inline int64_t ticks_clock(const tk_timeline *t, int64_t ticks) {
    int64_t clamped = ticks < 0 ? 0 : ticks > t->interval ? t->interval : ticks;
    return t->last_checks * t->interval + t->interval - clamped;
}

static inline void set_clock(int64_t *clock, int64_t *first, int32_t *known, int64_t now) {
    if (UNLIKELY(!*known)) {
        *known = true;
        *first = now;
    } else if (now - *first > *clock) {
        *clock = now - *first;
    }
}

static inline void note_checks(tk_timeline *t, int64_t checks) {
    if (checks == t->last_checks || checks == TK_NULL) return;
    t->last_checks = checks;
    if (UNLIKELY(t->totals.checks_least == TK_NULL)) t->totals.checks_least = t->totals.checks_most = checks;
    else if (checks > t->totals.checks_most) t->totals.checks_most = checks;
    else if (checks < t->totals.checks_least) t->totals.checks_least = checks;
}

static inline void advance(tk_timeline *t, const tk_columns *c, int64_t row, bool both_clocks) {
    tk_totals *totals = &t->totals;
    note_checks(t, c->checks[row]);
    bool ticks_known = c->ticks[row] != TK_NULL && t->last_checks != TK_NULL;
    if (totals->timed) {
        if (c->time && c->time[row] != TK_NULL)
            set_clock(&t->clock, &totals->first_clock, &totals->clock_known, c->time[row]);
        if (both_clocks && ticks_known)
            set_clock(&t->tick_clock, &totals->first_tick_clock, &totals->tick_clock_known,
                      ticks_clock(t, c->ticks[row]));
    } else if (ticks_known) {
        set_clock(&t->clock, &totals->first_clock, &totals->clock_known, ticks_clock(t, c->ticks[row]));
    }
    if (c->clock) c->clock[row] = t->clock;
    if (c->tick_clock) c->tick_clock[row] = t->tick_clock;
}

/* ---- one row ---- */

static void contend(tk_timeline *t, int32_t thread, int64_t seq, bool retry, bool first_row) {
    wait *w = &t->threads[thread].wait;
    if (!w->open) {
        fault(t, TK_MISSING_ENTRY, !first_row, thread, seq);
        open_wait(t, thread, seq, true);
    }
    if (retry) {
        tk_thread_totals *totals = &t->thread_totals[thread];
        totals->failed_retries++;
        w->failed_retries++;
        if (w->contended) {
            if (t->reacquires > w->reacquires_at_mark) {
                totals->lost_rounds++;
                w->lost_rounds++;
            } else if (t->acquires == w->acquires_at_mark) {
                totals->timeouts++;
                w->timeouts++;
            } else {
                totals->hand_overs++;
                w->hand_overs++;
            }
        }
    }
    if (!w->contended) {
        w->contended = true;
        w->busy_seq = seq;
        w->busy = t->clock;
        w->busy_run = t->runs;
        w->busy_run_acquires = t->run_acquires;
        w->acquires_at_busy = t->acquires;
    }
    w->acquires_at_mark = t->acquires;
    w->reacquires_at_mark = t->reacquires;
}

static void acquire(tk_timeline *t, int32_t thread, int64_t seq, int64_t checks, bool first_row) {
    int64_t waited = TK_NULL;
    if (t->threads[thread].wait.open) waited = close_wait(t, thread, seq);
    else fault(t, TK_MISSING_ENTRY, !first_row, thread, seq);
    if (UNLIKELY(t->holder != NOBODY)) {
        fault(t, TK_OVERLAPPING_HOLD, true, thread, seq);
        close_hold(t, seq, KIND_UNKNOWN, true);
    }
    t->acquires++;
    t->reacquires += t->last_change_thread == thread;
    t->last_change_thread = NOBODY;
    if (thread != t->run_thread) start_run(t, thread, seq);
    t->released = false;
    t->run_acquires++;
    open_hold(t, thread, seq, checks, waited);
}

static inline void release(tk_timeline *t, int32_t thread, int64_t seq, int64_t checks, bool first_row) {
    if (LIKELY(t->holder == thread)) close_hold(t, seq, release_kind(t->hold_checks, checks), false);
    else fault(t, TK_RELEASE_WITHOUT_ACQUIRE, !first_row, thread, seq);
    t->last_change_thread = thread;
    t->last_release_clock = t->clock;
    t->released = true;
}

static void step(tk_timeline *t, const tk_columns *c, int64_t row, int32_t thread, bool both_clocks) {
    tk_thread_totals *totals = &t->thread_totals[thread];
    int64_t seq = t->totals.events++;
    bool first_row = totals->first_seq == NO_SEQ;
    if (UNLIKELY(first_row)) totals->first_seq = seq;
    totals->counts[c->event[row]]++;
    advance(t, c, row, both_clocks);
    switch (c->event[row]) {
    case TK_ENTRY:
        if (UNLIKELY(t->holder == thread)) fault(t, TK_ENTRY_WHILE_HOLDING, !first_row, thread, seq);
        if (UNLIKELY(t->threads[thread].wait.open)) {
            fault(t, TK_ENTRY_WHILE_WAITING, !first_row, thread, seq);
            forget_wait(t, &t->threads[thread].wait);
        }
        open_wait(t, thread, seq, false);
        break;
    case TK_BUSY:
    case TK_RETRY:
        contend(t, thread, seq, c->event[row] == TK_RETRY, first_row);
        break;
    case TK_ACQUIRE:
        acquire(t, thread, seq, c->checks[row], first_row);
        break;
    default:
        release(t, thread, seq, c->checks[row], first_row);
    }
}

#define TRIPLE ((uint32_t)TK_RELEASE | (uint32_t)TK_ENTRY << 8 | (uint32_t)TK_ACQUIRE << 16)

/* The holder gives the GIL up and takes it again at once: three rows in one step, without an open wait. */
static inline bool reacquire_at_once(tk_timeline *t, const tk_columns *c, int64_t row, int32_t thread) {
    uint32_t events;
    memcpy(&events, c->event + row, 4);
    if ((events & 0xFFFFFF) != TRIPLE || thread != t->holder || c->thread[row + 1] != c->thread[row] ||
        c->thread[row + 2] != c->thread[row] || t->threads[thread].wait.open)
        return false;
    tk_thread_totals *totals = &t->thread_totals[thread];
    totals->counts[TK_RELEASE]++;
    totals->counts[TK_ENTRY]++;
    totals->counts[TK_ACQUIRE]++;
    advance(t, c, row, false);
    close_hold(t, 0, release_kind(t->hold_checks, c->checks[row]), false);
    advance(t, c, row + 1, false);
    int64_t start = t->clock;
    advance(t, c, row + 2, false);
    int64_t waited = t->clock - start;
    totals->waited += waited;
    t->acquires++;
    t->reacquires++;
    t->run_acquires++;
    t->last_change_thread = NOBODY;
    t->released = false;
    open_hold(t, thread, 0, c->checks[row + 2], waited);
    t->totals.events += 3;
    return true;
}

int32_t tk_timeline_feed(tk_timeline *t, const tk_columns *c, int32_t threads) {
    if (!add_threads(t, threads)) return false;
    if (t->totals.events == 0 && c->events) t->totals.timed = c->time && c->time[0] != TK_NULL;
    const bool both_clocks = t->keep_rows;
    for (int64_t row = 0; row < c->events;) {
        int32_t thread = c->codes ? c->codes[c->thread[row]] : c->thread[row];
        if (!both_clocks && row + 4 <= c->events && reacquire_at_once(t, c, row, thread)) {
            row += 3;
            continue;
        }
        step(t, c, row++, thread, both_clocks);
    }
    return !t->out_of_memory;
}

int32_t tk_timeline_finish(tk_timeline *t) {
    if (t->holder != NOBODY) close_hold(t, NO_SEQ, KIND_UNKNOWN, false);
    for (int32_t i = 0; i < t->thread_count; i++)
        if (t->threads[i].wait.open) close_wait(t, i, NO_SEQ);
    t->totals.duration = t->clock;
    t->totals.threads = t->thread_count;
    return !t->out_of_memory;
}

/* ---- results ---- */

const tk_totals *tk_timeline_peek(const tk_timeline *t) { return &t->totals; }

void tk_timeline_totals(const tk_timeline *t, tk_totals *totals) { *totals = t->totals; }

const tk_thread_totals *tk_timeline_threads(tk_timeline *t, int64_t *count) {
    *count = t->thread_count;
    return t->thread_totals;
}

/* In the order of the waiters, then of the holders; last what nobody held. */
const tk_blame *tk_timeline_blame(tk_timeline *t, int64_t *count) {
    t->blame.count = 0;
    for (int32_t waiter = 0; waiter < t->thread_count; waiter++) {
        const map *m = &t->threads[waiter].blame;
        int64_t nobody = t->thread_totals[waiter].waited;
        for (uint32_t i = 0; m->keys && i <= m->mask; i++) {
            if (m->keys[i] < 0) continue;
            nobody -= m->sums[i];
            KEEP(t->blame, (tk_blame){m->sums[i], waiter, m->keys[i]});
        }
        if (nobody > 0) KEEP(t->blame, (tk_blame){nobody, waiter, NOBODY});
    }
    *count = t->out_of_memory ? -1 : (int64_t)t->blame.count;
    return t->blame.items;
}

#define TABLE(name, row)                                                   \
    const row *tk_timeline_##name(tk_timeline *t, int64_t *count) {        \
        *count = (int64_t)t->name.count;                                   \
        return t->name.items;                                              \
    }

TABLE(holds, tk_hold)
TABLE(waits, tk_wait)
TABLE(switches, tk_switch)
TABLE(faults, tk_fault)
