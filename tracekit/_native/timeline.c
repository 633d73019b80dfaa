/* The state machine: events to holds, waits, switches, blame and totals.
   docs/analyses.md has the rules; timeline.py says the same in Python.

   Clocks count from the trace's first known one, so that the rows before it are
   at 0 without a second look. Blame and rivals come from a log of *runs*: a run
   is all that happens from one switch to the next, or until the holds' class
   changes, and a wait remembers where in the log it began. The log is a ring;
   when it is full, each open wait takes its part into a map of its own.

   A wait's time is charged when the hold that it led to ends: then all holds in it
   have ended, so their classes are known, and whether the wait is a delayed one of
   a run that may become a convoy. If it is, what would be the convoy's is set
   aside, by thread, until the run's end tells. */
#include "core.h"
#include "findings.h"
#include "locks.h"
#include "map.h"
#include "picture.h"
#include "regions.h"
#include "stacks.h"

#include <stdlib.h>
#include <string.h>

#ifndef TK_ANALYZERS
#define TK_ANALYZERS 1 /* 0: without them, only to measure what they cost (benchmarks/compare.py) */
#endif

#define RING 16384 /* runs */
#define NOBODY (-1)
#define NO_SEQ (-1)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

enum { RETRY_ALONE, RETRY_LOST_ROUND, RETRY_TIMEOUT, RETRY_HAND_OVER };

/* What a hold's end says about the waits in it. */
enum { HOLD_ORDINARY, HOLD_LONG, HOLD_PREEMPTED, HOLD_CLASSES };
enum { CLASS_BITS = 2 };
/* The last two are of waits that a convoy may yet explain: [after_check]. */
enum { SCHEDULING, PREEMPTION, BATTLE, LONG_HOLD, CONVOY, SATURATION, QUEUEING, CAUSES, UNDECIDED = CAUSES };

#define ANSWER 1000000 /* ns; a hold that ends within so much of the first request answered it */
#define PREEMPTED_FROM 1000000 /* ns; a shorter hold is not asked how long it ran */

/* By holder: for how long, and in how many waits. With hundreds of threads these are megabytes that each wait goes
   through, so there waits are first added to `packed`, which is dense and has both in one number. */
typedef struct {
    map time, waits, packed;
    int64_t packed_time, packed_waits; /* of all waits in it: neither part of a number can run over */
} losses;

#define PACKED_WAIT ((int64_t)1 << 48) /* one wait; time is less than that */
#define PACKED_WAITS (INT64_MAX / PACKED_WAIT)

/* What an open wait took out of the ring before it was overwritten. */
typedef struct taken {
    map blame[HOLD_CLASSES], rivals;
    wide_map stacks; /* what is in blame, by class, holder and its stack; only of a trace that tells stacks */
    struct taken *next; /* of the spare ones */
} taken;

typedef struct {
    bool open, contended, truncated, after_check; /* after_check: the thread's last RELEASE was one */
    uint32_t place; /* in open_waits */
    int64_t entry_seq, busy_seq, start, busy, start_ticks, busy_ticks;
    int64_t retry;                 /* clock of its first failed retry */
    int64_t run, run_held;         /* where it began: the run, and how long that had been held */
    int64_t busy_run, busy_run_acquires, busy_switches;
    int64_t free_wanted; /* of the trace, when it began */
    int64_t acquires_at_busy;
    int64_t acquires_at_mark, reacquires_at_mark; /* at its last BUSY or RETRY */
    int64_t failed_retries, lost_rounds, timeouts, hand_overs;
    int64_t stack;               /* the first that its rows tell */
    int64_t region;              /* of its ENTRY; 0: none */
    int64_t sample;              /* what its first BUSY or RETRY tells of the holder */
    int64_t hold, hold_timeouts; /* its timeouts in that hold */
    int32_t stack_code;
    taken *taken;
} wait;

/* A run of delayed short holds that may become a convoy. */
typedef struct {
    int64_t cycles, gap, waited, held, start_seq, end_seq, start, end;
    losses undecided[2]; /* of its waits, what it would explain, [after_check], */
    map hogs;            /* and what it would not */
    bool has_undecided[2];
    int64_t undecided_waits[2]; /* before the trace told a stack, */
    undecided_stacks stacks;    /* and since */
} convoy;

typedef struct thread {
    wait wait;
    map handoffs;
    losses lost[CAUSES]; /* by cause; SCHEDULING stays empty: nobody is to blame */
    int64_t scheduling, scheduling_waits;
    int64_t let_go_at; /* its last RELEASE */
    bool let_go; /* no ENTRY has followed that */
    bool after_check, forced; /* it was one at a check; and no ENTRY has followed */
    convoy convoy;
    histogram durations[TK_DISTRIBUTIONS];
} thread;

/* held_by: the thread and the class of its holds. back: so many runs ago was the last with the same; 0 where nothing
   was held. */
typedef struct { int64_t held, acquires; uint32_t held_by, back; } run;

/* A stretch of the log: from where in its first run on, to where in the run that was the current one then. */
typedef struct { int64_t first, before, end, last_held; uint32_t last_held_by, last_back; int32_t last_stack; } stretch;

/* What the row tells beside its columns. */
typedef struct {
    int64_t cpu, stack, sample; /* TK_NULL, NO_STACK: it does not */
    int64_t region;
    int32_t stack_code, sample_code;
} row_attributes;
static const row_attributes NOTHING_TOLD = {TK_NULL, NO_STACK, NO_STACK, 0, NO_STACK, NO_STACK};

/* Of a hold: for so long its thread was there. */
typedef struct { int64_t held; int32_t stack; } hold_part;
#define HOLD_PARTS (1 << 16) /* a hold with more samples than that is told by the last of these to its end */

typedef struct {
    TK_VECTOR(tk_hold) holds;
    TK_VECTOR(tk_wait) waits;
    TK_VECTOR(tk_switch) switches;
    TK_VECTOR(tk_fault) faults;
    TK_VECTOR(tk_retry) retries;
} kept_rows;

static void free_rows(kept_rows *rows) {
    free(rows->holds.items);
    free(rows->waits.items);
    free(rows->switches.items);
    free(rows->faults.items);
    free(rows->retries.items);
}

struct tk_timeline {
    int64_t interval;
    row_attributes told;
    struct { int64_t lock, unlocks[MOST_UNLOCKS]; int32_t unlock_count; bool told; } lock_row; /* of this row, too */
    int32_t kept; /* rows of these tables, a bit each */
    bool out_of_memory, finishing;
    tk_totals totals;

    int64_t clock, tick_clock, last_checks;

    int32_t holder;
    int64_t hold_start, hold_start_seq, hold_start_ticks, hold_checks;
    int64_t hold_number, hold_timeouts, hold_most_timeouts; /* sum over its waiters, and the most of one */
    int64_t hold_asked; /* when the first of these was */
    bool hold_most_stale;                                   /* the wait that had the most was dropped */
    /* The wait that led to it: its length (TK_NULL: none), where it began, and where its blame can be found. */
    int64_t hold_waited, hold_wait_seq, hold_wait_start, hold_behind; /* behind: of that, while somebody held */
    int32_t hold_wait_stack;
    int64_t hold_wait_region;
    bool hold_contended, hold_after_check, hold_battle;
    bool unsettled; /* the wait's blame has still to be charged */
    stretch hold_blame;
    taken *hold_taken, *spare;

    int32_t run_thread; /* of the last ACQUIRE */
    int run_class;
    int32_t run_stack;
    int64_t run_held, run_acquires, runs;
    int64_t *last_run;         /* [held_by]: one more than the last that was logged */
    size_t last_run_room;
    int64_t met[HOLD_CLASSES]; /* of what was charged last; not counted of ordinary holds */
    run ring[RING];

    bool stacks_told;
    stacks stacks;
    locks locks;
    regions regions;
    int32_t ring_stacks[RING];
    int32_t sample;        /* of the hold, the latest */
    int64_t sampled_until; /* up to there it is in these parts */
    TK_VECTOR(hold_part) parts;
    int64_t cause_waits[CAUSES]; /* in which somebody held; before the trace told a stack */
    int64_t acquires, reacquires;
    int32_t last_change_thread; /* the thread of the last ACQUIRE or RELEASE, if it was a RELEASE */
    int64_t last_release_clock; /* since the last ACQUIRE; NO_RELEASE */
    bool released;
    int64_t free_wanted_at_release;

    thread *threads;
    tk_thread_totals *thread_totals;
    size_t threads_room, thread_totals_room;
    int32_t thread_count;
    TK_VECTOR(int32_t) open_waits;
    int64_t contended_open; /* of these */
    int64_t *waiting;       /* [n]: how long n threads waited at once */
    size_t waiting_room;
    map_budget maps; /* what its maps have taken */
    map tally, totalled[HOLD_CLASSES]; /* to work with */

    tk_options options;
    findings findings[TK_KINDS];
    distinct_values distinct;
    int64_t frozen_checks;
    int64_t frozen_start_seq, frozen_end_seq, frozen_start, frozen_end;

    picture *picture; /* NULL: none is wanted */
    TK_VECTOR(tk_picture_wait) open_rows;

    kept_rows rows, given; /* given: those of before the last `forget`, which may still be read */
    TK_VECTOR(tk_blame) blame;
    TK_VECTOR(tk_cause) causes;
    TK_VECTOR(tk_distribution) distributions;
    TK_VECTOR(tk_handoff) handoffs;
    TK_VECTOR(tk_waiting) waiting_rows;
    TK_VECTOR(tk_bucket) histograms;
};

/* Emptied and used again: with many waiters the allocator would give the memory back each time. */
static void spare_taken(tk_timeline *t, taken **part) {
    if (!*part) return;
    for (int class = 0; class < HOLD_CLASSES; class++) map_clear(&(*part)->blame[class]);
    map_clear(&(*part)->rivals);
    wide_clear(&(*part)->stacks);
    (*part)->next = t->spare;
    t->spare = *part;
    *part = NULL;
}

static taken *take(tk_timeline *t) {
    taken *part = t->spare;
    if (!part) return calloc(1, sizeof *part);
    t->spare = part->next;
    return part;
}

static void free_losses(losses *lost) {
    map_free(&lost->time);
    map_free(&lost->waits);
    map_free(&lost->packed);
}

static bool unpack(losses *lost) {
    if (!lost->packed_waits) return true;
    for (uint32_t holder = 0; holder < lost->packed.room; holder++) {
        const int64_t both = lost->packed.sums[holder], waits = both / PACKED_WAIT;
        if (both && !map_add(&lost->time, (int32_t)holder, both % PACKED_WAIT)) return false;
        if (waits && !map_add(&lost->waits, (int32_t)holder, waits)) return false;
    }
    map_clear(&lost->packed);
    lost->packed_time = lost->packed_waits = 0;
    return true;
}

/* Whether one more wait, of so much time, can be added to what is packed. */
static inline bool packs(losses *lost, int64_t lost_time) {
    if (lost_time >= PACKED_WAIT) return false;
    if ((lost->packed_time >= PACKED_WAIT - lost_time || lost->packed_waits == PACKED_WAITS) && !unpack(lost))
        return false;
    lost->packed_time += lost_time;
    lost->packed_waits++;
    return true;
}

static void free_taken(taken *part) {
    if (!part) return;
    for (int class = 0; class < HOLD_CLASSES; class++) map_free(&part->blame[class]);
    map_free(&part->rivals);
    wide_free(&part->stacks);
    free(part);
}

static void free_spares(tk_timeline *t) {
    for (taken *part = t->spare, *next; part; part = next) {
        next = part->next;
        free_taken(part);
    }
    t->spare = NULL;
}

/* ---- life ---- */

tk_timeline *tk_timeline_new(int64_t interval, int32_t kept, const tk_options *options) {
    tk_timeline *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->interval = interval;
    t->kept = kept;
    t->options = *options;
    t->distinct.left = options->distinct_values;
    t->holder = t->run_thread = t->last_change_thread = NOBODY;
    t->last_checks = TK_NULL;
    t->told = NOTHING_TOLD;
    t->totals.checks_least = t->totals.checks_most = TK_NULL;
    return t;
}

void tk_timeline_free(tk_timeline *t) {
    if (!t) return;
    for (int32_t i = 0; i < t->thread_count; i++) {
        free_taken(t->threads[i].wait.taken);
        for (int cause = 0; cause < CAUSES; cause++) free_losses(&t->threads[i].lost[cause]);
        for (int after_check = 0; after_check < 2; after_check++)
            free_losses(&t->threads[i].convoy.undecided[after_check]);
        map_free(&t->threads[i].handoffs);
        map_free(&t->threads[i].convoy.hogs);
        for (int kind = 0; kind < TK_DISTRIBUTIONS; kind++) histogram_free(&t->threads[i].durations[kind]);
    }
    for (int kind = 0; kind < TK_KINDS; kind++) findings_free(&t->findings[kind]);
    map_free(&t->tally);
    for (int class = 0; class < HOLD_CLASSES; class++) map_free(&t->totalled[class]);
    free_taken(t->hold_taken);
    free_spares(t);
    stacks_free(&t->stacks);
    locks_free(&t->locks);
    regions_free(&t->regions);
    free(t->parts.items);
    free(t->waiting);
    free(t->last_run);
    free(t->threads);
    free(t->thread_totals);
    free(t->open_waits.items);
    free_rows(&t->rows);
    free_rows(&t->given);
    free(t->blame.items);
    free(t->causes.items);
    free(t->distributions.items);
    free(t->handoffs.items);
    free(t->waiting_rows.items);
    free(t->histograms.items);
    free(t->open_rows.items);
    picture_free(t->picture);
    free(t);
}

int32_t tk_timeline_draw(tk_timeline *t, const tk_picture_limits *limits) {
    t->picture = picture_new(limits);
    return t->picture != NULL;
}

static bool add_threads(tk_timeline *t, int32_t count) {
    if (count <= t->thread_count) return true;
    if (t->picture && !picture_add_threads(t->picture, count)) return false;
    if (!tk_grow(&t->threads, &t->threads_room, sizeof *t->threads, (size_t)count) ||
        !tk_grow(&t->thread_totals, &t->thread_totals_room, sizeof *t->thread_totals, (size_t)count))
        return false;
    const size_t waiting = t->waiting_room;
    if (!tk_grow(&t->waiting, &t->waiting_room, sizeof *t->waiting, (size_t)count + 1)) return false;
    memset(t->waiting + waiting, 0, (t->waiting_room - waiting) * sizeof *t->waiting);
    const size_t last_run = t->last_run_room;
    if (!tk_grow(&t->last_run, &t->last_run_room, sizeof *t->last_run, (size_t)count << CLASS_BITS)) return false;
    memset(t->last_run + last_run, 0, (t->last_run_room - last_run) * sizeof *t->last_run);
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
    if (t->kept & TK_KEEP_FAULTS) KEEP(t->rows.faults, (tk_fault){seq, thread, (uint8_t)code, error, {0}});
}

/* The tick clock, where rows of any table are kept. */
static inline int64_t tick_clock(const tk_timeline *t) { return t->totals.timed ? t->tick_clock : t->clock; }

/* ---- runs: who held how much since a wait began ---- */

/* How long the current run's thread has held the GIL in it. */
static inline int64_t held_in_run(const tk_timeline *t) {
    return t->run_held + (t->holder != NOBODY ? t->clock - t->hold_start : 0);
}

static inline int32_t thread_of(uint32_t held_by) { return (int32_t)(held_by >> CLASS_BITS); }

static inline int class_of(uint32_t held_by) { return (int)(held_by & ((1 << CLASS_BITS) - 1)); }

static inline uint32_t run_held_by(const tk_timeline *t) {
    return (uint32_t)t->run_thread << CLASS_BITS | (uint32_t)t->run_class;
}

/* How many runs ago the last one with the same was, of the run that is the current one or is logged now. */
static inline uint32_t run_back(const tk_timeline *t, uint32_t held_by) {
    const int64_t back = t->runs + 1 - t->last_run[held_by];
    return back > UINT32_MAX ? UINT32_MAX : (uint32_t)back;
}

/* Since this wait began, or last took its part from the ring. */
static inline stretch since(const tk_timeline *t, const wait *w) {
    const uint32_t held_by = run_held_by(t);
    return (stretch){w->run, w->run_held, t->runs, held_in_run(t), held_by,
                     t->run_thread != NOBODY ? run_back(t, held_by) : 0, t->run_stack};
}

/* Where what was lost behind holds of each class goes: nowhere where it is NULL. ordinary: where waits are counted. */
typedef struct { map *time[HOLD_CLASSES], *waits[HOLD_CLASSES]; losses *ordinary; } places;

/* packed: NULL, or where ordinary holds go instead. */
static inline void charge(tk_timeline *t, const places *to, int64_t *packed, uint32_t held_by, int64_t held, bool counts) {
    if (held <= 0) return;
    const int class = class_of(held_by);
    const int32_t holder = thread_of(held_by);
    if (class != HOLD_ORDINARY) t->met[class] += held;
    if (packed && class == HOLD_ORDINARY) {
        packed[holder] += held + (int64_t)counts * PACKED_WAIT;
        return;
    }
    if (to->time[class]) TRY(map_add(to->time[class], holder, held));
    if (counts) TRY(map_add(to->waits[class], holder, 1));
}

/* Up to the first that is not ordinary. counting: into numbers that have the wait beside the time. */
static inline __attribute__((always_inline)) const run *add_ordinary(const run *r, const run *edge, int64_t *sums,
                                                                     bool counting, uint32_t since_first) {
    for (; r < edge && class_of(r->held_by) == HOLD_ORDINARY; r++, since_first++)
        sums[thread_of(r->held_by)] += r->held + (counting ? (int64_t)(r->back > since_first) * PACKED_WAIT : 0);
    return r;
}

/* counting: the wait lies in this stretch, and is counted for each holder once, at the first run that is charged. Gives
   how far behind the stretch's end it begins: the hold in which it does may not have been added to a run yet. */
static inline __attribute__((always_inline)) int64_t charge_stretch(tk_timeline *t, const stretch *part, const places *to,
                                                                 bool counting) {
    int64_t before = part->before, i = part->first;
    /* The hold in which it began may have been logged as a run of its own since. */
    while (i < part->end && before && before >= t->ring[i & (RING - 1)].held) before -= t->ring[i++ & (RING - 1)].held;
    const int64_t first = i;
    map *const dense = counting ? &to->ordinary->packed : to->time[HOLD_ORDINARY];
    int64_t *packed = NULL;
    if (part->end - i > 16 && dense && map_is_dense(dense, t->thread_count)) {
        if (!counting || packs(to->ordinary, t->hold_behind)) packed = dense->sums;
    }
    if (i < part->end && before) {
        const run *r = &t->ring[i++ & (RING - 1)];
        charge(t, to, packed, r->held_by, r->held - before, counting);
        before = 0;
    }
    /* With hundreds of threads this loop is where the time goes. */
    while (packed && i < part->end) {
        const int64_t place = i & (RING - 1), left = part->end - i;
        const run *const edge = t->ring + (left < RING - place ? place + left : RING);
        const run *const r = add_ordinary(t->ring + place, edge, packed, counting, (uint32_t)(i - first));
        i += r - (t->ring + place);
        if (r == edge) continue;
        charge(t, to, packed, r->held_by, r->held, counting && r->back > i - first);
        i++;
    }
    for (; i < part->end; i++) {
        const run *r = &t->ring[i & (RING - 1)];
        charge(t, to, packed, r->held_by, r->held, counting && r->back > i - first);
    }
    charge(t, to, packed, part->last_held_by, part->last_held - before, counting && part->last_back > part->end - first);
    return before > part->last_held ? before - part->last_held : 0;
}

/* Into a map for each class. */
static int64_t add_stretch(tk_timeline *t, const stretch *part, map *blame) {
    const places to = {.time = {&blame[HOLD_ORDINARY], &blame[HOLD_LONG], &blame[HOLD_PREEMPTED]}};
    return charge_stretch(t, part, &to, false);
}

static inline uint64_t stack_and_holder(int32_t stack, uint32_t held_by) { return (uint64_t)stack << 32 | held_by; }

static inline void charge_stack(tk_timeline *t, wide_map *to, int32_t stack, uint32_t held_by, int64_t held) {
    if (held > 0) TRY(wide_add(to, stack_and_holder(stack, held_by), held));
}

/* The same stretch by the holders' stacks. */
static void add_stacks(tk_timeline *t, const stretch *part, wide_map *to) {
    int64_t before = part->before;
    for (int64_t i = part->first; i < part->end; i++) {
        const run *r = &t->ring[i & (RING - 1)];
        charge_stack(t, to, t->ring_stacks[i & (RING - 1)], r->held_by, r->held - before);
        before = before > r->held ? before - r->held : 0;
    }
    charge_stack(t, to, part->last_stack, part->last_held_by, part->last_held - before);
}

static void settle_rivals(tk_timeline *t, const wait *w, map *rivals) {
    int64_t before = w->busy_run_acquires;
    if (t->runs - w->busy_run > 16 && map_is_dense(rivals, t->thread_count)) {
        for (int64_t i = w->busy_run; i < t->runs; i++) {
            const run *r = &t->ring[i & (RING - 1)];
            rivals->sums[thread_of(r->held_by)] += r->acquires;
        }
        rivals->sums[thread_of(t->ring[w->busy_run & (RING - 1)].held_by)] -= before;
        before = 0;
    } else {
        for (int64_t i = w->busy_run; i < t->runs; i++) {
            const run *r = &t->ring[i & (RING - 1)];
            if (r->acquires > before) TRY(map_add(rivals, thread_of(r->held_by), r->acquires - before));
            before = 0;
        }
    }
    if (t->run_acquires > before) TRY(map_add(rivals, t->run_thread, t->run_acquires - before));
}

/* The thread with the most ACQUIREs since the wait's first BUSY or RETRY; the first seen of equals. */
static int32_t main_rival(tk_timeline *t, const wait *w) {
    if (t->acquires == w->acquires_at_busy) return NOBODY;
    if (w->busy_run == t->runs && !w->taken) return t->run_thread;
    map_clear(&t->tally);
    settle_rivals(t, w, &t->tally);
    if (w->taken) TRY(map_add_all(&t->tally, &w->taken->rivals));
    return map_most(&t->tally);
}

/* The ring is full: each open wait takes its part. */
static void empty_ring(tk_timeline *t) {
    const int64_t oldest = t->runs - RING;
    map held[HOLD_CLASSES] = {{0}}, acquires = {0};
    const stretch all = {.first = oldest, .end = t->runs};
    wide_map stacks = {0};
    add_stretch(t, &all, held);
    if (t->stacks_told) add_stacks(t, &all, &stacks);
    for (int i = 0; i < RING; i++)
        if (t->ring[i].acquires) TRY(map_add(&acquires, thread_of(t->ring[i].held_by), t->ring[i].acquires));
    for (size_t i = 0; i < t->open_waits.count; i++) {
        wait *w = &t->threads[t->open_waits.items[i]].wait;
        if (!w->taken && !(w->taken = take(t))) {
            t->out_of_memory = true;
            break;
        }
        if (w->run == oldest && w->run_held == 0) {
            for (int class = 0; class < HOLD_CLASSES; class++) TRY(map_add_all(&w->taken->blame[class], &held[class]));
            TRY(wide_add_all(&w->taken->stacks, &stacks));
        } else {
            const stretch part = since(t, w);
            if (t->stacks_told) add_stacks(t, &part, &w->taken->stacks);
            w->run_held = add_stretch(t, &part, w->taken->blame);
        }
        w->run = t->runs;
        if (!w->contended) continue;
        if (w->busy_run == oldest && w->busy_run_acquires == 0) TRY(map_add_all(&w->taken->rivals, &acquires));
        else settle_rivals(t, w, &w->taken->rivals);
        w->busy_run = t->runs;
        w->busy_run_acquires = 0;
    }
    if (t->unsettled) {
        if (t->hold_taken || (t->hold_taken = take(t))) {
            add_stretch(t, &t->hold_blame, t->hold_taken->blame);
            if (t->stacks_told) add_stacks(t, &t->hold_blame, &t->hold_taken->stacks);
        } else {
            t->out_of_memory = true;
        }
        t->hold_blame = (stretch){.first = t->runs, .end = t->runs};
    }
    for (int class = 0; class < HOLD_CLASSES; class++) map_free(&held[class]);
    map_free(&acquires);
    wide_free(&stacks);
}

/* The current run goes to the log, and another begins. */
static void log_run(tk_timeline *t, int32_t thread, int class, int32_t stack) {
    const uint32_t held_by = run_held_by(t);
    t->ring[t->runs & (RING - 1)] = (run){t->run_held, t->run_acquires, held_by, t->run_held ? run_back(t, held_by) : 0};
    t->ring_stacks[t->runs & (RING - 1)] = t->run_stack;
    t->runs++;
    if (t->run_held) t->last_run[held_by] = t->runs;
    t->run_thread = thread;
    t->run_class = class;
    t->run_stack = stack;
    t->run_held = t->run_acquires = 0;
    if (!(t->runs & (RING - 1)) && (t->open_waits.count || t->unsettled)) empty_ring(t);
}

static void start_run(tk_timeline *t, int32_t thread, int64_t seq) {
    if (t->run_thread == NOBODY) {
        t->run_thread = thread;
        return;
    }
    t->totals.switches++;
    if (t->kept & TK_KEEP_SWITCHES)
        KEEP(t->rows.switches, (tk_switch){seq, t->released ? t->clock - t->last_release_clock : TK_NULL,
                                      t->clock, tick_clock(t), t->run_thread, thread});
    TRY(map_add(&t->threads[t->run_thread].handoffs, thread, 1));
    if (t->released)
        TRY(histogram_add(&t->threads[thread].durations[TK_SWITCH_LATENCY],
                          t->totals.free_wanted - t->free_wanted_at_release, &t->distinct));
    log_run(t, thread, HOLD_ORDINARY, NO_STACK);
}

/* A hold has ended: its time is the current run's, or that of one of its own class and stack. */
static inline void add_held(tk_timeline *t, int64_t held, int class, int32_t stack) {
    if (UNLIKELY(class != t->run_class || stack != t->run_stack) && held) {
        if (t->run_held) {
            log_run(t, t->run_thread, class, stack);
        } else {
            t->run_class = class;
            t->run_stack = stack;
        }
    }
    t->run_held += held;
}

/* The hold's thread was where its latest sample says, up to now. */
static void end_part(tk_timeline *t) {
    if (t->clock > t->sampled_until) KEEP(t->parts, (hold_part){t->clock - t->sampled_until, t->sample});
    t->sampled_until = t->clock;
}

static void note_sample(tk_timeline *t, int32_t sample) {
    if (t->holder == NOBODY || sample == t->sample || t->parts.count >= HOLD_PARTS) return;
    if (t->sample != NO_STACK) end_part(t); /* the first one tells of the time before it too */
    t->sample = sample;
}

/* A hold of a trace that tells stacks has ended. */
static void add_held_parts(tk_timeline *t, int class) {
    if (t->sample == NO_STACK) t->sample = t->told.stack_code;
    end_part(t);
    for (size_t i = 0; i < t->parts.count; i++) add_held(t, t->parts.items[i].held, class, t->parts.items[i].stack);
    t->parts.count = 0;
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
    w->start_ticks = tick_clock(t);
    w->run = t->runs;
    w->run_held = held_in_run(t);
    w->free_wanted = t->totals.free_wanted;
    w->after_check = t->threads[thread].after_check;
    w->stack_code = NO_STACK;
    w->failed_retries = w->lost_rounds = w->timeouts = w->hand_overs = w->hold_timeouts = 0;
    w->hold = NO_SEQ;
    w->stack = w->sample = NO_STACK;
    w->region = t->told.region;
    /* Only who holds the GIL begins a region: since it let go of it, it has been in this one. */
    const int64_t since = t->threads[thread].let_go ? t->threads[thread].let_go_at : t->clock;
    t->threads[thread].let_go = false;
    if (UNLIKELY(w->region)) TRY(regions_see(&t->regions, w->region, thread, since, t->clock));
    w->place = (uint32_t)t->open_waits.count;
    KEEP(t->open_waits, thread);
}

static void forget_wait(tk_timeline *t, wait *w) {
    t->contended_open -= w->contended;
    int32_t last = t->open_waits.items[--t->open_waits.count];
    t->open_waits.items[w->place] = last;
    t->threads[last].wait.place = w->place;
    w->open = false;
    spare_taken(t, &w->taken);
}

static int64_t passes(const tk_timeline *t, const wait *w) { return w->contended ? t->acquires - w->acquires_at_busy : 0; }

static tk_picture_wait drawn_wait(const tk_timeline *t, const wait *w, int32_t thread, int64_t end_seq, int32_t rival) {
    return (tk_picture_wait){w->entry_seq, w->busy_seq, end_seq, w->start, w->contended ? w->busy : 0, t->clock,
                             w->failed_retries, w->lost_rounds, w->timeouts, w->hand_overs, passes(t, w), thread, rival,
                             w->contended, end_seq == NO_SEQ, w->truncated, w->after_check, {0}, w->failed_retries ? w->retry : -1,
                             w->stack, w->sample};
}

static tk_picture_hold drawn_hold(const tk_timeline *t, int64_t end_seq, int kind, bool truncated) {
    return (tk_picture_hold){t->hold_start_seq, end_seq, t->hold_start, t->clock, t->hold_waited, TK_NULL, NO_STACK,
                             t->holder, (uint8_t)kind, end_seq == NO_SEQ, truncated, false, t->hold_after_check, {0}};
}

/* What is open, as far as it has come, but for the wait of `closed`. False: so many wait that they are left out. */
static bool open_rows(tk_timeline *t, int32_t closed, tk_picture_hold *hold) {
    t->open_rows.count = 0;
    *hold = drawn_hold(t, NO_SEQ, TK_UNKNOWN_RELEASE, false);
    if (t->contended_open - (closed != NOBODY) > t->picture->limits.window_waiters) return false;
    for (size_t i = 0; i < t->open_waits.count; i++) {
        const int32_t thread = t->open_waits.items[i];
        const wait *w = &t->threads[thread].wait;
        if (w->contended && thread != closed) KEEP(t->open_rows, drawn_wait(t, w, thread, NO_SEQ, main_rival(t, w)));
    }
    return true;
}

/* The rows that lead to it, and what is open at its end. A battle's own wait is closed: its row is there. */
static void draw_finding(tk_timeline *t, int kind, const tk_finding *finding) {
    tk_picture_hold hold;
    if (!open_rows(t, kind == TK_BATTLES ? finding->thread : NOBODY, &hold)) return;
    TRY(picture_finding(t->picture, kind, finding, t->holder != NOBODY ? &hold : NULL, t->open_rows.items,
                        t->open_rows.count));
}

/* `closed`: whose wait has just become a row. */
static void draw_beginning(tk_timeline *t, int32_t closed) {
    tk_picture_hold hold;
    if (LIKELY(!picture_begins(t->picture))) return;
    t->picture->begun = true;
    if (!open_rows(t, closed, &hold)) return;
    TRY(picture_beginning(t->picture, t->clock, t->holder != NOBODY ? &hold : NULL, t->open_rows.items,
                          t->open_rows.count));
}

static void found(tk_timeline *t, int kind, tk_finding finding) {
    TRY(findings_add(&t->findings[kind], &finding, t->options.worst));
    if (t->picture && picture_wants(t->picture, kind, finding.cost, finding.start_seq)) draw_finding(t, kind, &finding);
}

/* The wait becomes that of the hold which begins now. */
static void close_wait(tk_timeline *t, int32_t thread, int64_t end_seq) {
    struct thread *state = &t->threads[thread];
    wait *w = &state->wait;
    tk_thread_totals *totals = &t->thread_totals[thread];
    const int64_t waited = t->clock - w->start;
    totals->waited += waited;
    totals->contended_waits += w->contended;
    if (w->failed_retries) totals->retried_waited += waited;
    if (TK_ANALYZERS) TRY(histogram_add(&state->durations[TK_WAIT], waited, &t->distinct));
    if (TK_ANALYZERS && w->contended)
        TRY(histogram_add(&state->durations[TK_CONTENDED_WAIT], waited, &t->distinct));
    const int64_t nobody = t->totals.free_wanted - w->free_wanted;
    state->scheduling += nobody;
    state->scheduling_waits += nobody > 0;
    t->hold_blame = since(t, w);
    t->unsettled = waited > nobody;
    t->hold_after_check = w->after_check;
    t->hold_wait_stack = w->stack_code;
    t->hold_wait_region = w->region;
    if (UNLIKELY(w->region)) {
        TRY(regions_waited(&t->regions, w->region, thread, w->start, t->clock));
        TRY(regions_charge(&t->regions, w->region, NOBODY, NO_STACK, nobody));
    }
    t->hold_behind = waited - nobody;
    t->hold_waited = waited;
    t->hold_contended = w->contended;
    t->hold_wait_seq = w->truncated ? w->busy_seq : w->entry_seq;
    t->hold_wait_start = w->start;
    const bool battle = t->hold_battle = TK_ANALYZERS && w->lost_rounds >= t->options.min_rounds;
    if (battle || t->kept & TK_KEEP_WAITS || t->picture) {
        const bool drawn_rival = t->picture && (battle || !picture_is_partial(t->picture) ||
                                                t->totals.switches - w->busy_switches <= t->picture->limits.rival_switches);
        const int32_t rival = w->contended && (battle || t->kept & TK_KEEP_WAITS || drawn_rival) ? main_rival(t, w) : NOBODY;
        if (t->picture) {
            const tk_picture_wait drawn = drawn_wait(t, w, thread, end_seq, drawn_rival ? rival : NOBODY);
            TRY(picture_wait(t->picture, &drawn));
            draw_beginning(t, thread);
        }
        if (battle)
            found(t, TK_BATTLES, (tk_finding){t->clock - w->busy, w->busy_seq, end_seq, w->busy, t->clock,
                                              {w->lost_rounds, w->failed_retries, passes(t, w)}, thread, rival});
        if (t->kept & TK_KEEP_WAITS)
            KEEP(t->rows.waits, (tk_wait){w->entry_seq, w->busy_seq, end_seq, w->start, w->contended ? w->busy : 0, t->clock,
                                     w->start_ticks, w->contended ? w->busy_ticks : 0, tick_clock(t),
                                     w->failed_retries, w->lost_rounds, w->timeouts, w->hand_overs, passes(t, w),
                                     w->stack, thread, rival, w->contended, end_seq == NO_SEQ, w->truncated, {0}});
    }
    spare_taken(t, &t->hold_taken);
    t->hold_taken = w->taken;
    w->taken = NULL;
    forget_wait(t, w);
}

static inline void open_hold(tk_timeline *t, int32_t thread, int64_t seq, int64_t checks) {
    t->holder = thread;
    t->hold_start = t->clock;
    t->hold_start_seq = seq;
    t->hold_start_ticks = tick_clock(t);
    t->sample = NO_STACK;
    t->sampled_until = t->clock;
    t->hold_checks = checks;
    t->hold_number++;
    t->hold_timeouts = t->hold_most_timeouts = 0;
    t->hold_most_stale = false;
}

static int cause_behind(const tk_timeline *t, int class, bool undecided) {
    if (class == HOLD_PREEMPTED) return PREEMPTION;
    if (t->hold_battle) return BATTLE;
    if (class == HOLD_LONG) return LONG_HOLD;
    return undecided ? UNDECIDED + t->hold_after_check : t->hold_after_check ? SATURATION : QUEUEING;
}

/* Of the wait that is settled: each cause behind a holder. Only while no stack has been told; then rows of stacks are
   counted. */
static void count_cause_waits(tk_timeline *t, struct thread *state, bool undecided) {
    const int64_t is_long = t->met[HOLD_LONG], preempted = t->met[HOLD_PREEMPTED];
    const int64_t ordinary = t->hold_behind - is_long - preempted;
    t->cause_waits[PREEMPTION] += preempted > 0;
    if (t->hold_battle) {
        t->cause_waits[BATTLE] += ordinary + is_long > 0;
        return;
    }
    t->cause_waits[LONG_HOLD] += is_long > 0;
    if (undecided) state->convoy.undecided_waits[t->hold_after_check] += ordinary > 0;
    else t->cause_waits[t->hold_after_check ? SATURATION : QUEUEING] += ordinary > 0;
}

static void settle_stack(tk_timeline *t, stack_key *key, int32_t stack, uint32_t held_by, int64_t held, bool undecided) {
    if (held <= 0) return;
    const int class = class_of(held_by);
    key->holder = thread_of(held_by);
    key->holder_stack = stack;
    key->cause = cause_behind(t, class, undecided);
    TRY(stacks_charge(&t->stacks, key, t->hold_battle && class == HOLD_LONG ? HOLD_ORDINARY : class, held));
}

/* The same wait by the stacks. */
static void settle_stacks(tk_timeline *t, int32_t thread, bool undecided) {
    stack_key key = {.waiter = thread, .waiter_stack = t->hold_wait_stack};
    stacks_begin_wait(&t->stacks);
    if (t->hold_taken) {
        const wide_map *stacks = &t->hold_taken->stacks;
        for (uint32_t i = 0; i < stacks->room; i++)
            settle_stack(t, &key, (int32_t)(stacks->keys[i] >> 32), (uint32_t)stacks->keys[i], stacks->sums[i], undecided);
    }
    const stretch *part = &t->hold_blame;
    int64_t before = part->before;
    for (int64_t i = part->first; i < part->end; i++) {
        const run *r = &t->ring[i & (RING - 1)];
        settle_stack(t, &key, t->ring_stacks[i & (RING - 1)], r->held_by, r->held - before, undecided);
        before = before > r->held ? before - r->held : 0;
    }
    settle_stack(t, &key, part->last_stack, part->last_held_by, part->last_held - before, undecided);
    TRY(stacks_end_wait(&t->stacks, undecided ? &t->threads[thread].convoy.stacks : NULL));
}

/* The rows of one cause without stacks, in `waits` waits: rows are added to it, then it is closed. */
typedef struct { int32_t first, second; int64_t row_waits; } stackless;

static void add_stackless(tk_timeline *t, stackless *rows, int32_t waiter, losses *lost, int cause,
                          undecided_stacks *undecided) {
    TRY(unpack(lost));
    for (uint32_t i = 0; i < lost->time.room; i++) {
        const int32_t holder = map_key(&lost->time, i);
        if (holder < 0) continue;
        const stack_key key = {waiter, NO_STACK, holder, NO_STACK, cause};
        const int64_t waits = map_get(&lost->waits, holder);
        const int32_t row = stacks_add(&t->stacks, &key, lost->time.sums[i], waits);
        if (row < 0) {
            t->out_of_memory = true;
            return;
        }
        if (undecided) stacks_set_aside(&t->stacks, row, undecided);
        if (rows->first < 0) rows->first = row;
        else if (rows->second < 0) rows->second = row;
        rows->row_waits += waits;
    }
}

/* A wait has been counted in each of its rows. */
static void close_stackless(tk_timeline *t, const stackless *rows, int64_t waits, undecided_stacks *undecided) {
    if (rows->second >= 0)
        TRY(stacks_share(&t->stacks, rows->first, rows->second, rows->row_waits - waits, undecided));
}

static void add_stackless_taken(tk_timeline *t, taken *part) {
    for (int class = 0; part && class < HOLD_CLASSES; class++)
        for (uint32_t i = 0; i < part->blame[class].room; i++) {
            const int32_t holder = map_key(&part->blame[class], i);
            if (holder < 0) continue;
            const uint32_t held_by = (uint32_t)holder << CLASS_BITS | (uint32_t)class;
            charge_stack(t, &part->stacks, NO_STACK, held_by, part->blame[class].sums[i]);
        }
}

/* The trace tells its first stack: all that was lost before becomes rows without stacks. */
static void begin_stacks(tk_timeline *t) {
    t->stacks_told = true;
    for (int cause = PREEMPTION; cause < CAUSES; cause++) {
        stackless rows = {-1, -1, 0};
        for (int32_t i = 0; i < t->thread_count; i++) add_stackless(t, &rows, i, &t->threads[i].lost[cause], cause, NULL);
        close_stackless(t, &rows, t->cause_waits[cause], NULL);
    }
    for (int32_t i = 0; i < t->thread_count; i++) {
        convoy *c = &t->threads[i].convoy;
        for (int after_check = 0; after_check < 2; after_check++) {
            stackless rows = {-1, -1, 0};
            if (!c->has_undecided[after_check]) continue;
            add_stackless(t, &rows, i, &c->undecided[after_check], UNDECIDED + after_check, &c->stacks);
            close_stackless(t, &rows, c->undecided_waits[after_check], &c->stacks);
        }
    }
    for (size_t i = 0; i < t->open_waits.count; i++) add_stackless_taken(t, t->threads[t->open_waits.items[i]].wait.taken);
    add_stackless_taken(t, t->unsettled ? t->hold_taken : NULL);
}

/* What the region of the wait lost. Before the wait is settled, which changes what was taken. */
static __attribute__((noinline)) void settle_region(tk_timeline *t) {
    const int64_t region = t->hold_wait_region;
    if (!t->stacks_told) {
        map *lost = &t->tally;
        const places to = {.time = {lost, lost, lost}};
        map_clear(lost);
        charge_stretch(t, &t->hold_blame, &to, false);
        for (int class = 0; t->hold_taken && class < HOLD_CLASSES; class++)
            TRY(map_add_all(lost, &t->hold_taken->blame[class]));
        for (uint32_t i = 0; i < lost->room; i++)
            if (lost->sums[i]) TRY(regions_charge(&t->regions, region, map_key(lost, i), NO_STACK, lost->sums[i]));
        return;
    }
    wide_map lost = {0};
    if (t->hold_taken) TRY(wide_add_all(&lost, &t->hold_taken->stacks));
    add_stacks(t, &t->hold_blame, &lost);
    for (uint32_t i = 0; i < lost.room; i++)
        if (lost.sums[i])
            TRY(regions_charge(&t->regions, region, thread_of((uint32_t)lost.keys[i]), (int32_t)(lost.keys[i] >> 32),
                               lost.sums[i]));
    wide_free(&lost);
}

/* The wait that led to the hold which ends now, or to none. delayed: whether a convoy explains it is not known yet. */
static void settle(tk_timeline *t, int32_t thread, bool delayed) {
    struct thread *state = &t->threads[thread];
    if (UNLIKELY(t->hold_wait_region)) settle_region(t);
    losses *lost = state->lost;
    losses *behind[HOLD_CLASSES] = {&lost[t->hold_after_check ? SATURATION : QUEUEING], &lost[LONG_HOLD],
                                    &lost[PREEMPTION]};
    if (t->hold_battle) {
        behind[HOLD_ORDINARY] = behind[HOLD_LONG] = &lost[BATTLE];
    } else if (delayed) {
        behind[HOLD_ORDINARY] = &state->convoy.undecided[t->hold_after_check];
        state->convoy.has_undecided[t->hold_after_check] = true;
    }
    places to;
    for (int class = 0; class < HOLD_CLASSES; class++) {
        to.time[class] = &behind[class]->time;
        to.waits[class] = &behind[class]->waits;
    }
    to.ordinary = behind[HOLD_ORDINARY];
    map *total = NULL;
    for (int class = 0; class < HOLD_CLASSES; class++) t->met[class] = 0;
    if (!t->hold_battle && !t->hold_taken) {
        charge_stretch(t, &t->hold_blame, &to, true);
    } else {
        /* Each holder's part in one sum, so that the wait is counted once. */
        total = t->hold_taken ? t->hold_taken->blame : t->totalled;
        if (!t->hold_taken) for (int class = 0; class < HOLD_CLASSES; class++) map_clear(&total[class]);
        add_stretch(t, &t->hold_blame, total);
        for (int class = HOLD_LONG; class < HOLD_CLASSES; class++) t->met[class] = map_sum(&total[class]);
        if (t->hold_battle) {
            TRY(map_add_all(&total[HOLD_ORDINARY], &total[HOLD_LONG]));
            map_clear(&total[HOLD_LONG]);
        }
        for (int class = 0; class < HOLD_CLASSES; class++) {
            /* At the end of the trace with many waiters there would not be room for all maps twice. */
            if (t->finishing && t->hold_taken && total[class].room && !to.waits[class]->room) {
                map_clear(&t->hold_taken->rivals); /* told already */
                map_swap(to.waits[class], &t->hold_taken->rivals);
            }
            TRY(map_count_all(to.waits[class], &total[class]));
            if (t->finishing && !to.time[class]->room) map_swap(to.time[class], &total[class]);
            else TRY(map_add_all(to.time[class], &total[class]));
        }
    }
    if (UNLIKELY(t->stacks_told)) settle_stacks(t, thread, delayed && !t->hold_battle);
    else count_cause_waits(t, state, delayed && !t->hold_battle);
    if (delayed && (t->hold_battle || t->met[HOLD_LONG] || t->met[HOLD_PREEMPTED])) {
        map *hogs = &state->convoy.hogs;
        const places other = {.time = {t->hold_battle ? hogs : NULL, hogs, hogs}};
        if (!total) charge_stretch(t, &t->hold_blame, &other, false);
        for (int class = 0; total && class < HOLD_CLASSES; class++)
            if (other.time[class]) TRY(map_add_all(hogs, &total[class]));
    }
    t->unsettled = false;
}

/* What was set aside for a convoy is its own, or not. */
static void decide(tk_timeline *t, struct thread *state, bool found) {
    for (int after_check = 0; after_check < 2; after_check++) {
        if (!state->convoy.has_undecided[after_check]) continue;
        losses *from = &state->convoy.undecided[after_check];
        losses *to = &state->lost[found ? CONVOY : after_check ? SATURATION : QUEUEING];
        TRY(unpack(from) && map_add_all(&to->time, &from->time) && map_add_all(&to->waits, &from->waits));
        map_clear(&from->time);
        map_clear(&from->waits);
        state->convoy.has_undecided[after_check] = false;
        t->cause_waits[found ? CONVOY : after_check ? SATURATION : QUEUEING] += state->convoy.undecided_waits[after_check];
        state->convoy.undecided_waits[after_check] = 0;
    }
    if (UNLIKELY(state->convoy.stacks.rows)) {
        const int32_t causes[2] = {found ? CONVOY : QUEUEING, found ? CONVOY : SATURATION};
        TRY(stacks_decide(&t->stacks, &state->convoy.stacks, causes, UNDECIDED));
    }
}

static void end_convoy(tk_timeline *t, int32_t thread) {
    convoy *c = &t->threads[thread].convoy;
    const bool is_convoy = c->cycles >= t->options.min_cycles;
    if (is_convoy) {
        for (int after_check = 0; after_check < 2; after_check++)
            if (c->has_undecided[after_check])
                TRY(unpack(&c->undecided[after_check]) && map_add_all(&c->hogs, &c->undecided[after_check].time));
        found(t, TK_CONVOYS, (tk_finding){c->waited, c->start_seq, c->end_seq, c->start, c->end,
                                          {c->cycles, c->waited, c->held}, thread, map_most(&c->hogs)});
    }
    decide(t, &t->threads[thread], is_convoy);
    c->cycles = c->gap = c->waited = c->held = 0;
    map_clear(&c->hogs);
}

/* A short hold, with a wait, of a thread that is in a convoy or may begin one. Whether it is a delayed one. */
static bool short_hold(tk_timeline *t, int32_t thread, int64_t held, int64_t end_seq) {
    convoy *c = &t->threads[thread].convoy;
    const int64_t waited = t->hold_waited;
    if (t->hold_contended && waited > 0 && (double)waited >= t->options.ratio * (double)held) {
        if (!c->cycles) {
            c->start_seq = t->hold_wait_seq;
            c->start = t->hold_wait_start;
        }
        c->cycles++;
        c->gap = 0;
        c->waited += waited;
        c->held += held;
        c->end_seq = end_seq;
        c->end = t->clock;
        return true;
    }
    if (c->cycles && ++c->gap > t->options.max_gap) end_convoy(t, thread);
    return false;
}

static void end_frozen(tk_timeline *t) {
    if (t->frozen_checks >= t->options.min_frozen)
        found(t, TK_FROZEN_SIGNALS, (tk_finding){t->frozen_checks, t->frozen_start_seq, t->frozen_end_seq,
                                                 t->frozen_start, t->frozen_end, {t->frozen_checks}, NOBODY, NOBODY});
    t->frozen_checks = 0;
}

static void check_release_at(tk_timeline *t, int64_t ticks, int64_t seq) {
    if (ticks == 0) {
        if (!t->frozen_checks++) {
            t->frozen_start_seq = seq;
            t->frozen_start = t->clock;
        }
        t->frozen_end_seq = seq;
        t->frozen_end = t->clock;
    } else if (ticks != TK_NULL) {
        end_frozen(t);
    }
}

/* Whether it is one. */
static bool is_long_hold(tk_timeline *t, int64_t held) {
    if (LIKELY(!t->hold_timeouts && !(t->totals.timed && held >= t->options.long_hold && t->contended_open))) return false;
    const wait *own = &t->threads[t->holder].wait;
    if (t->hold_most_stale) {
        t->hold_most_timeouts = 0;
        for (size_t i = 0; i < t->open_waits.count; i++) {
            const wait *w = &t->threads[t->open_waits.items[i]].wait;
            if (w->hold == t->hold_number && w->hold_timeouts > t->hold_most_timeouts)
                t->hold_most_timeouts = w->hold_timeouts;
        }
    }
    const bool others_wait = t->contended_open > (own->open && own->contended);
    return t->hold_most_timeouts >= t->options.min_timeouts ||
           (t->totals.timed && held >= t->options.long_hold && others_wait);
}

static void note_long_hold(tk_timeline *t, int64_t held, int64_t end_seq, bool preempted) {
    const bool answered = t->hold_timeouts && t->hold_most_timeouts < t->options.min_timeouts &&
                          t->clock - t->hold_asked < ANSWER;
    found(t, TK_LONG_HOLDS, (tk_finding){held, t->hold_start_seq, end_seq, t->hold_start, t->clock,
                                         {t->hold_timeouts, t->told.cpu != TK_NULL ? t->told.cpu : 0,
                                          t->told.cpu != TK_NULL, answered},
                                         t->holder, preempted ? t->holder : NOBODY});
}

static inline __attribute__((always_inline)) void analyze_hold(tk_timeline *t, int32_t thread, int64_t held, int64_t end_seq, int kind,
                                int64_t ticks) {
    struct thread *state = &t->threads[thread];
    TRY(histogram_add(&state->durations[TK_HOLD], held, &t->distinct));
    bool delayed = false;
    if (kind == TK_BLOCKING_RELEASE && t->hold_waited != TK_NULL) {
        if (UNLIKELY(t->hold_contended || state->convoy.cycles)) delayed = short_hold(t, thread, held, end_seq);
    } else if (UNLIKELY(state->convoy.cycles)) {
        end_convoy(t, thread);
    }
    if (t->unsettled) settle(t, thread, delayed);
    if (kind == TK_CHECK_RELEASE && UNLIKELY(ticks == 0 || t->frozen_checks)) check_release_at(t, ticks, end_seq);
}

/* Its class. */
static inline __attribute__((always_inline)) int classify_hold(tk_timeline *t, int64_t held, int64_t end_seq, bool is_long) {
    const int64_t cpu = t->told.cpu;
    const bool preempted = cpu != TK_NULL && t->totals.timed && held >= PREEMPTED_FROM && cpu < held - cpu;
    if (UNLIKELY(is_long)) note_long_hold(t, held, end_seq, preempted);
    return preempted ? HOLD_PREEMPTED : is_long ? HOLD_LONG : HOLD_ORDINARY;
}

static inline int64_t ticks_clock(const tk_timeline *t, int64_t ticks) {
    int64_t clamped = ticks < 0 ? 0 : ticks > t->interval ? t->interval : ticks;
    return t->last_checks * t->interval + t->interval - clamped;
}

/* `ticks` are those of the RELEASE: where they are known a timed trace has a second clock. */
static void draw_hold(tk_timeline *t, const tk_picture_hold *hold, int64_t ticks) {
    TRY(picture_hold(t->picture, hold));
    draw_beginning(t, NOBODY);
    if (t->totals.timed && ticks != TK_NULL && t->last_checks != TK_NULL)
        TRY(picture_knot(t->picture, t->clock, ticks_clock(t, ticks)));
}

/* `ticks` are those of the RELEASE. */
static inline __attribute__((always_inline)) void close_hold(tk_timeline *t, int64_t end_seq, int kind, bool truncated, int64_t ticks) {
    const int64_t held = t->clock - t->hold_start;
    const int32_t thread = t->holder;
    tk_thread_totals *totals = &t->thread_totals[thread];
    totals->held += held;
    totals->check_releases += kind == TK_CHECK_RELEASE;
    totals->blocking_releases += kind == TK_BLOCKING_RELEASE;
    const bool long_now = TK_ANALYZERS && is_long_hold(t, held);
    if (UNLIKELY(t->picture != NULL)) {
        tk_picture_hold row = drawn_hold(t, end_seq, kind, truncated);
        row.cpu = t->told.cpu;
        row.stack = t->told.stack;
        row.is_long = long_now;
        draw_hold(t, &row, ticks);
    }
    if (TK_ANALYZERS) {
        const int class = classify_hold(t, held, end_seq, long_now);
        analyze_hold(t, thread, held, end_seq, kind, ticks);
        t->holder = NOBODY;
        if (UNLIKELY(t->stacks_told)) add_held_parts(t, class);
        else add_held(t, held, class, NO_STACK);
    } else {
        if (t->unsettled) settle(t, thread, false);
        t->holder = NOBODY;
        t->run_held += held;
    }
    if (t->kept & TK_KEEP_HOLDS)
        KEEP(t->rows.holds, (tk_hold){t->hold_start_seq, end_seq, t->hold_start, t->clock, t->hold_start_ticks,
                                 tick_clock(t), t->hold_waited, t->told.cpu, thread, (uint8_t)kind, end_seq == NO_SEQ, truncated,
                                 0});
}

static inline int release_kind(int64_t at_acquire, int64_t at_release) {
    if (at_acquire == TK_NULL || at_release == TK_NULL || at_release < at_acquire) return TK_UNKNOWN_RELEASE;
    return at_release > at_acquire ? TK_CHECK_RELEASE : TK_BLOCKING_RELEASE;
}

/* ---- the clock ---- */

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

/* Reads the clocks. The step is spent with `waiting` open waits. */
static inline void advance(tk_timeline *t, const tk_columns *c, int64_t row, size_t waiting, bool both_clocks) {
    tk_totals *totals = &t->totals;
    const int64_t before = t->clock;
    note_checks(t, c->checks[row]);
    bool ticks_known = c->ticks[row] != TK_NULL && t->last_checks != TK_NULL;
    totals->has_ticks |= c->ticks[row] != TK_NULL;
    if (totals->timed) {
        if (c->time && c->time[row] != TK_NULL)
            set_clock(&t->clock, &totals->first_clock, &totals->clock_known, c->time[row]);
        if (ticks_known && (both_clocks || UNLIKELY(!totals->tick_clock_known)))
            set_clock(&t->tick_clock, &totals->first_tick_clock, &totals->tick_clock_known,
                      ticks_clock(t, c->ticks[row]));
    } else if (ticks_known) {
        set_clock(&t->clock, &totals->first_clock, &totals->clock_known, ticks_clock(t, c->ticks[row]));
    }
    if (TK_ANALYZERS && t->clock != before) {
        t->waiting[waiting] += t->clock - before;
        if (t->holder == NOBODY && waiting) totals->free_wanted += t->clock - before;
    }
    if (c->clock) c->clock[row] = t->clock;
    if (c->tick_clock) c->tick_clock[row] = t->tick_clock;
}

/* ---- one row ---- */

static void note_timeout(tk_timeline *t, wait *w) {
    if (w->hold != t->hold_number) w->hold_timeouts = 0;
    w->hold = t->hold_number;
    if (!t->hold_timeouts++) t->hold_asked = t->clock;
    if (++w->hold_timeouts > t->hold_most_timeouts) t->hold_most_timeouts = w->hold_timeouts;
}

/* Of a dropped wait, which is in no finding. */
static void forget_timeouts(tk_timeline *t, const wait *w) {
    if (t->holder == NOBODY || w->hold != t->hold_number) return;
    t->hold_timeouts -= w->hold_timeouts;
    t->hold_most_stale |= w->hold_timeouts > 0;
}

static void contend(tk_timeline *t, int32_t thread, int64_t seq, bool retry, bool first_row) {
    wait *w = &t->threads[thread].wait;
    if (!w->open) {
        fault(t, TK_MISSING_ENTRY, !first_row, thread, seq);
        open_wait(t, thread, seq, true);
    }
    if (w->stack == NO_STACK) w->stack = t->told.stack;
    if (retry) {
        tk_thread_totals *totals = &t->thread_totals[thread];
        totals->failed_retries++;
        w->failed_retries++;
        int kind = RETRY_ALONE;
        if (w->contended) {
            if (t->reacquires > w->reacquires_at_mark) {
                kind = RETRY_LOST_ROUND;
                totals->lost_rounds++;
                w->lost_rounds++;
            } else if (t->acquires == w->acquires_at_mark) {
                kind = RETRY_TIMEOUT;
                totals->timeouts++;
                w->timeouts++;
                if (t->holder != NOBODY) note_timeout(t, w);
            } else {
                kind = RETRY_HAND_OVER;
                totals->hand_overs++;
                w->hand_overs++;
            }
        }
        if (w->failed_retries == 1) w->retry = t->clock;
        const tk_retry row = {seq, t->clock, t->told.sample, thread, t->holder, kind, 0};
        if (t->kept & TK_KEEP_RETRIES) KEEP(t->rows.retries, row);
        if (t->picture) {
            TRY(picture_retry(t->picture, &row));
            draw_beginning(t, NOBODY);
        }
    }
    if (!w->contended) {
        w->contended = true;
        t->contended_open++;
        w->busy_seq = seq;
        w->busy = t->clock;
        w->sample = t->told.sample;
        w->busy_ticks = tick_clock(t);
        w->busy_run = t->runs;
        w->busy_run_acquires = t->run_acquires;
        w->busy_switches = t->totals.switches;
        w->acquires_at_busy = t->acquires;
    }
    w->acquires_at_mark = t->acquires;
    w->reacquires_at_mark = t->reacquires;
    if (w->stack_code == NO_STACK) w->stack_code = t->told.stack_code;
    if (t->told.sample_code != NO_STACK) note_sample(t, t->told.sample_code);
}

static void acquire(tk_timeline *t, int32_t thread, int64_t seq, int64_t checks, bool first_row) {
    const bool waits = t->threads[thread].wait.open;
    if (!waits) fault(t, TK_MISSING_ENTRY, !first_row, thread, seq);
    if (UNLIKELY(t->holder != NOBODY)) {
        fault(t, TK_OVERLAPPING_HOLD, true, thread, seq);
        close_hold(t, seq, TK_UNKNOWN_RELEASE, true, TK_NULL);
    }
    if (waits) close_wait(t, thread, seq);
    else t->hold_waited = TK_NULL, t->hold_after_check = false;
    t->threads[thread].forced = t->threads[thread].let_go = false;
    t->acquires++;
    t->reacquires += t->last_change_thread == thread;
    t->last_change_thread = NOBODY;
    if (thread != t->run_thread) start_run(t, thread, seq);
    t->released = false;
    t->run_acquires++;
    open_hold(t, thread, seq, checks);
}

/* Whether a RELEASE by this thread does. */
static inline bool concerns_locks(const tk_timeline *t, int32_t thread) {
    return t->lock_row.told || t->locks.returned.count || locks_wait(&t->locks, thread);
}

static __attribute__((noinline)) void release_locks(tk_timeline *t, int32_t thread, int64_t seq) {
    const bool waited = t->hold_waited != TK_NULL;
    const unlocking by = {seq, waited ? t->hold_wait_start : t->hold_start, t->hold_start, thread};
    TRY(locks_release(&t->locks, t->lock_row.lock, t->lock_row.unlocks, t->lock_row.unlock_count, &by, t->clock));
}

static inline void release(tk_timeline *t, int32_t thread, int64_t seq, int64_t ticks, int64_t checks,
                           bool first_row) {
    if (LIKELY(t->holder == thread)) {
        const int kind = release_kind(t->hold_checks, checks);
        t->threads[thread].after_check = kind == TK_CHECK_RELEASE;
        t->threads[thread].forced = kind == TK_CHECK_RELEASE;
        t->threads[thread].let_go = true;
        t->threads[thread].let_go_at = t->clock;
        if (UNLIKELY(concerns_locks(t, thread))) release_locks(t, thread, seq);
        if (UNLIKELY(t->told.region)) TRY(regions_held(&t->regions, t->told.region, thread, t->hold_start, t->clock));
        close_hold(t, seq, kind, false, ticks);
    } else {
        fault(t, TK_RELEASE_WITHOUT_ACQUIRE, !first_row, thread, seq);
        t->threads[thread].after_check = false;
    }
    t->last_change_thread = thread;
    t->last_release_clock = t->clock;
    t->free_wanted_at_release = t->totals.free_wanted;
    t->released = true;
}

static void step(tk_timeline *t, const tk_columns *c, int64_t row, int32_t thread, bool both_clocks) {
    tk_thread_totals *totals = &t->thread_totals[thread];
    int64_t seq = t->totals.events++;
    bool first_row = totals->first_seq == NO_SEQ;
    if (UNLIKELY(first_row)) totals->first_seq = seq;
    totals->counts[c->event[row]]++;
    advance(t, c, row, t->open_waits.count, both_clocks);
    switch (c->event[row]) {
    case TK_ENTRY:
        if (UNLIKELY(t->holder == thread)) fault(t, TK_ENTRY_WHILE_HOLDING, !first_row, thread, seq);
        if (UNLIKELY(t->threads[thread].wait.open)) {
            fault(t, TK_ENTRY_WHILE_WAITING, !first_row, thread, seq);
            forget_timeouts(t, &t->threads[thread].wait);
            forget_wait(t, &t->threads[thread].wait);
        }
        if (t->threads[thread].forced) totals->not_running += t->clock - t->threads[thread].let_go_at;
        t->threads[thread].forced = false;
        if (UNLIKELY(locks_wait(&t->locks, thread)))
            TRY(locks_entry(&t->locks, thread, t->clock, t->holder != NOBODY && t->holder != thread));
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
        release(t, thread, seq, c->ticks[row], c->checks[row], first_row);
    }
}

#define TRIPLE ((uint32_t)TK_RELEASE | (uint32_t)TK_ENTRY << 8 | (uint32_t)TK_ACQUIRE << 16)

/* The holder gives the GIL up and takes it again at once: three rows in one step, without an open wait. */
static inline bool reacquire_at_once(tk_timeline *t, const tk_columns *c, int64_t row, int32_t thread, bool both_clocks) {
    uint32_t events;
    memcpy(&events, c->event + row, 4);
    if ((events & 0xFFFFFF) != TRIPLE || thread != t->holder || c->thread[row + 1] != c->thread[row] ||
        c->thread[row + 2] != c->thread[row] || t->threads[thread].wait.open)
        return false;
    tk_thread_totals *totals = &t->thread_totals[thread];
    totals->counts[TK_RELEASE]++;
    totals->counts[TK_ENTRY]++;
    totals->counts[TK_ACQUIRE]++;
    const size_t waiting = t->open_waits.count;
    const int64_t seq = t->totals.events;
    const int64_t *ticks = c->ticks + row, *checks = c->checks + row;
    advance(t, c, row, waiting, both_clocks);
    const int kind = release_kind(t->hold_checks, checks[0]);
    t->threads[thread].after_check = kind == TK_CHECK_RELEASE;
    close_hold(t, seq, kind, false, ticks[0]);
    const int64_t let_go = t->hold_wait_start = t->clock;
    int64_t wait_start_ticks = tick_clock(t);
    /* Mostly the rows tell the same ticks and checks: then the clock stands still. */
    if (t->totals.timed || ticks[1] != ticks[0] || ticks[2] != ticks[0] || checks[1] != checks[0] ||
        checks[2] != checks[0]) {
        advance(t, c, row + 1, waiting, both_clocks);
        t->hold_wait_start = t->clock;
        wait_start_ticks = tick_clock(t);
        advance(t, c, row + 2, waiting + 1, both_clocks);
    } else if (c->clock) {
        c->clock[row + 1] = c->clock[row + 2] = t->clock;
    }
    if (kind == TK_CHECK_RELEASE) totals->not_running += t->hold_wait_start - let_go;
    t->hold_waited = t->clock - t->hold_wait_start;
    t->hold_contended = false;
    t->hold_after_check = kind == TK_CHECK_RELEASE;
    totals->waited += t->hold_waited;
    t->threads[thread].scheduling += t->hold_waited;
    t->threads[thread].scheduling_waits += t->hold_waited > 0;
    if (UNLIKELY(t->picture && t->hold_waited))
        TRY(picture_wait(t->picture, &(tk_picture_wait){.start = t->hold_wait_start, .end = t->clock, .thread = thread, .retry = -1}));
    if (t->kept & TK_KEEP_WAITS)
        KEEP(t->rows.waits, (tk_wait){.entry_seq = seq + 1, .busy_seq = NO_SEQ, .end_seq = seq + 2, .start = t->hold_wait_start,
                                 .end = t->clock, .start_ticks = wait_start_ticks, .end_ticks = tick_clock(t),
                                 .stack = NO_STACK, .thread = thread, .rival = NOBODY});
    if (TK_ANALYZERS) TRY(histogram_add(&t->threads[thread].durations[TK_WAIT], t->hold_waited, &t->distinct));
    t->acquires++;
    t->reacquires++;
    t->run_acquires++;
    t->last_change_thread = NOBODY;
    t->released = false;
    open_hold(t, thread, seq + 2, c->checks[row + 2]);
    t->totals.events += 3;
    return true;
}

/* Those of this row; the next that is of a later one. */
static const tk_attribute *read_attributes(tk_timeline *t, const tk_attribute *next, const tk_attribute *end,
                                           int64_t row) {
    for (; next < end && next->row <= row; next++) {
        if (next->row != row) continue;
        if (next->key == TK_CPU) t->told.cpu = next->value;
        if (next->key == TK_STACK) t->told.stack = next->value;
        if (next->key == TK_REGION) t->told.region = next->value;
        if (next->key == TK_SAMPLE) t->told.sample = next->value;
        if (next->key == TK_LOCK) t->lock_row.lock = next->value;
        if (next->key == TK_UNLOCKS && t->lock_row.unlock_count < MOST_UNLOCKS)
            t->lock_row.unlocks[t->lock_row.unlock_count++] = next->value;
        t->lock_row.told |= next->key == TK_LOCK || next->key == TK_UNLOCKS;
        if (next->key != TK_STACK && next->key != TK_SAMPLE) continue;
        if (!t->stacks_told) begin_stacks(t);
        const int32_t code = stacks_code(&t->stacks, next->value);
        if (code < 0) t->out_of_memory = true;
        *(next->key == TK_STACK ? &t->told.stack_code : &t->told.sample_code) = code;
    }
    return next;
}

int32_t tk_timeline_full(const tk_timeline *t) { return t->maps.full; }

int32_t tk_timeline_feed(tk_timeline *t, const tk_columns *c, int32_t threads) {
    if (!add_threads(t, threads)) return false;
    budget = &t->maps;
    budget->sparse = t->thread_count > MAP_DENSE;
    if (t->totals.events == 0 && c->events) t->totals.timed = c->time && c->time[0] != TK_NULL;
    const bool both_clocks = t->kept != 0;
    const tk_attribute *next = c->attributes, *const last = next + c->attribute_count;
    for (int64_t row = 0; row < c->events;) {
        const bool told = UNLIKELY(next < last) && next->row <= row;
        if (told) next = read_attributes(t, next, last, row);
        int32_t thread = c->codes ? c->codes[c->thread[row]] : c->thread[row];
        const bool entry_told = UNLIKELY(next < last) && next->row == row + 1;
        if (row + 4 <= c->events && !concerns_locks(t, thread) && !t->told.region && !entry_told &&
            reacquire_at_once(t, c, row, thread, both_clocks)) {
            row += 3;
        } else {
            step(t, c, row++, thread, both_clocks);
        }
        if (told) {
            t->told = NOTHING_TOLD;
            t->lock_row.lock = t->lock_row.unlock_count = t->lock_row.told = 0;
        }
        if (UNLIKELY(t->out_of_memory)) break;
    }
    budget = NULL;
    return !t->out_of_memory;
}

int32_t tk_timeline_finish(tk_timeline *t) {
    if (t->holder != NOBODY) close_hold(t, NO_SEQ, TK_UNKNOWN_RELEASE, false, TK_NULL);
    t->finishing = true;
    for (int32_t i = 0; i < t->thread_count; i++) {
        if (t->threads[i].wait.open) {
            close_wait(t, i, NO_SEQ);
            if (t->unsettled) settle(t, i, false);
            free_spares(t); /* with many waiters much memory, and nobody needs it any more */
        }
        end_convoy(t, i);
    }
    end_frozen(t);
    TRY(locks_finish(&t->locks, t->clock));
    for (int32_t i = 0; i < t->thread_count; i++)
        for (int kind = 0; kind < TK_DISTRIBUTIONS; kind++) {
            histogram *h = &t->threads[i].durations[kind];
            if (h->repeated) TRY(histogram_flush(h, &t->distinct));
        }
    if (t->picture) TRY(picture_finish(t->picture, t->clock));
    t->totals.exact = !t->distinct.coarse;
    t->totals.duration = t->clock;
    t->totals.threads = t->thread_count;
    for (int32_t i = 0; i < t->thread_count; i++) t->totals.held += t->thread_totals[i].held;
    t->totals.regions_dropped = t->regions.dropped;
    for (int kind = 0; kind < TK_KINDS; kind++)
        t->totals.findings[kind] = (tk_finding_totals){t->findings[kind].count, (int64_t)t->findings[kind].kept.count};
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
        map *m = &t->tally;
        map_clear(m);
        for (int cause = 0; cause < CAUSES; cause++) {
            losses *lost = &t->threads[waiter].lost[cause];
            TRY(unpack(lost) && map_add_all(m, &lost->time));
        }
        for (uint32_t i = 0; i < m->room; i++) {
            int32_t holder = map_key(m, i);
            if (holder >= 0) KEEP(t->blame, (tk_blame){m->sums[i], waiter, holder});
        }
        const int64_t nobody = t->threads[waiter].scheduling;
        if (nobody) KEEP(t->blame, (tk_blame){nobody, waiter, NOBODY});
    }
    *count = t->out_of_memory ? -1 : (int64_t)t->blame.count;
    return t->blame.items;
}

const tk_cause *tk_timeline_causes(tk_timeline *t, int64_t *count) {
    t->causes.count = 0;
    free(t->blame.items); /* nobody needs both at once, and with many threads they are large */
    memset(&t->blame, 0, sizeof t->blame);
    for (int32_t i = 0; i < t->thread_count; i++) {
        struct thread *state = &t->threads[i];
        if (state->scheduling)
            KEEP(t->causes, (tk_cause){state->scheduling, state->scheduling_waits, i, NOBODY, SCHEDULING, 0});
        for (int cause = 0; cause < CAUSES; cause++) {
            TRY(unpack(&state->lost[cause]));
            const map *time = &state->lost[cause].time;
            for (uint32_t at = 0; at < time->room; at++) {
                const int32_t holder = map_key(time, at);
                if (holder < 0) continue;
                KEEP(t->causes, (tk_cause){time->sums[at], map_get(&state->lost[cause].waits, holder), i, holder, cause, 0});
            }
        }
    }
    *count = t->out_of_memory ? -1 : (int64_t)t->causes.count;
    return t->causes.items;
}

const tk_stack_blame *tk_timeline_stack_blame(tk_timeline *t, int64_t *count) {
    return stacks_blame(&t->stacks, count);
}

const tk_shared_waits *tk_timeline_shared_waits(tk_timeline *t, int64_t *count) {
    return stacks_shared(&t->stacks, count);
}

const tk_lock_wait *tk_timeline_locks(tk_timeline *t, int64_t *count) {
    *count = (int64_t)t->locks.rows.count;
    return t->locks.rows.items;
}

const tk_region *tk_timeline_regions(tk_timeline *t, int64_t *count) {
    t->regions.rows.count = 0;
    for (size_t i = 0; i < t->regions.entries.count; i++) KEEP(t->regions.rows, t->regions.entries.items[i].row);
    *count = t->out_of_memory ? -1 : (int64_t)t->regions.rows.count;
    return t->regions.rows.items;
}

const tk_region_blame *tk_timeline_region_blame(tk_timeline *t, int64_t *count) {
    t->regions.blame.count = 0;
    for (size_t i = 0; i < t->regions.entries.count; i++) {
        const region_entry *entry = &t->regions.entries.items[i];
        for (int32_t at = entry->blame; at >= 0; at = t->regions.lost.items[at].next) {
            const region_lost *lost = &t->regions.lost.items[at];
            KEEP(t->regions.blame, (tk_region_blame){entry->row.region, lost->duration, stacks_id(&t->stacks, lost->stack),
                                                     lost->holder, 0});
        }
    }
    *count = t->out_of_memory ? -1 : (int64_t)t->regions.blame.count;
    return t->regions.blame.items;
}

#define TABLE(name, row)                                                   \
    const row *tk_timeline_##name(tk_timeline *t, int64_t *count) {        \
        *count = (int64_t)t->rows.name.count;                              \
        return t->rows.name.items;                                         \
    }

TABLE(holds, tk_hold)
TABLE(waits, tk_wait)
TABLE(switches, tk_switch)
TABLE(faults, tk_fault)
TABLE(retries, tk_retry)

void tk_timeline_forget(tk_timeline *t) {
    const kept_rows again = t->given;
    t->given = t->rows;
    t->rows = again;
    t->rows.holds.count = t->rows.waits.count = t->rows.switches.count = 0;
    t->rows.faults.count = t->rows.retries.count = 0;
    for (int kind = 0; kind < TK_KINDS; kind++) t->findings[kind].kept.count = 0;
}

const tk_finding *tk_timeline_findings(tk_timeline *t, int32_t kind, int64_t *count) {
    *count = (int64_t)t->findings[kind].kept.count;
    return t->findings[kind].kept.items;
}

const tk_finding_group *tk_timeline_groups(tk_timeline *t, int32_t kind, int64_t *count) {
    *count = (int64_t)t->findings[kind].groups.count;
    return t->findings[kind].groups.items;
}

const tk_distribution *tk_timeline_distributions(tk_timeline *t, int64_t *count) {
    t->distributions.count = 0;
    for (int32_t thread = 0; thread < t->thread_count; thread++)
        for (int kind = 0; kind < TK_DISTRIBUTIONS; kind++) {
            tk_distribution row;
            TRY(histogram_describe(&t->threads[thread].durations[kind], &row));
            row.thread = thread;
            row.kind = kind;
            if (row.count) KEEP(t->distributions, row);
        }
    *count = t->out_of_memory ? -1 : (int64_t)t->distributions.count;
    return t->distributions.items;
}

const tk_handoff *tk_timeline_handoffs(tk_timeline *t, int64_t *count) {
    t->handoffs.count = 0;
    for (int32_t from = 0; from < t->thread_count; from++) {
        const map *m = &t->threads[from].handoffs;
        for (uint32_t i = 0; i < m->room; i++) {
            int32_t to = map_key(m, i);
            if (to >= 0) KEEP(t->handoffs, (tk_handoff){m->sums[i], from, to});
        }
    }
    *count = t->out_of_memory ? -1 : (int64_t)t->handoffs.count;
    return t->handoffs.items;
}

const tk_waiting *tk_timeline_waiting(tk_timeline *t, int64_t *count) {
    t->waiting_rows.count = 0;
    for (size_t n = 0; n < t->waiting_room; n++)
        if (t->waiting[n]) KEEP(t->waiting_rows, (tk_waiting){(int64_t)n, t->waiting[n]});
    *count = t->out_of_memory ? -1 : (int64_t)t->waiting_rows.count;
    return t->waiting_rows.items;
}

const tk_bucket *tk_timeline_histograms(tk_timeline *t, int64_t *count) {
    t->histograms.count = 0;
    bucket filled[BUCKETS];
    for (int32_t thread = 0; thread < t->thread_count; thread++)
        for (int kind = 0; kind < TK_DISTRIBUTIONS; kind++) {
            const int n = histogram_buckets(&t->threads[thread].durations[kind], filled);
            for (int i = 0; i < n; i++)
                KEEP(t->histograms, (tk_bucket){filled[i].low, filled[i].high, filled[i].count, thread, kind});
        }
    *count = t->out_of_memory ? -1 : (int64_t)t->histograms.count;
    return t->histograms.items;
}

int32_t tk_timeline_picture_shift(const tk_timeline *t) { return t->picture->shift; }

int32_t tk_timeline_picture_whole(const tk_timeline *t) { return t->picture->whole; }

#define PICTURE_TABLE(name, vector, row)                                     \
    const row *tk_timeline_picture_##name(tk_timeline *t, int64_t *count) {  \
        *count = (int64_t)t->picture->vector.count;                          \
        return t->picture->vector.items;                                     \
    }

PICTURE_TABLE(cells, all_cells, tk_cell)
PICTURE_TABLE(holds, all_holds, tk_picture_hold)
PICTURE_TABLE(waits, all_waits, tk_picture_wait)
PICTURE_TABLE(retries, all_retries, tk_retry)
PICTURE_TABLE(windows, windows, tk_window)
PICTURE_TABLE(knots, knots, tk_knot)
