#include "picture.h"

#include <stdlib.h>
#include <string.h>

#define LEAST_BINS 64 /* so many are kept even where there are too many threads for the limit of cells */

static bool ring_init(void *items_pointer, size_t *mask, size_t item_size, int64_t rows) {
    size_t room = 1;
    while (room < (size_t)rows) room *= 2;
    void *items = malloc(room * item_size);
    memcpy(items_pointer, &items, sizeof items);
    *mask = room - 1;
    return items != NULL;
}

picture *picture_new(const tk_picture_limits *limits) {
    picture *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->limits = *limits;
    const int64_t window = limits->window_rows > limits->edge_rows ? limits->window_rows : limits->edge_rows;
    /* One row more than a window may have, to know where the one before it ended. */
    const int64_t rows = limits->rows > window ? limits->rows : window + 1;
    if (!ring_init(&p->holds.items, &p->holds.mask, sizeof *p->holds.items, rows) ||
        !ring_init(&p->waits.items, &p->waits.mask, sizeof *p->waits.items, rows) ||
        !ring_init(&p->retries.items, &p->retries.mask, sizeof *p->retries.items, rows)) {
        picture_free(p);
        return NULL;
    }
    return p;
}

static void snapshot_free(snapshot *s) {
    free(s->holds);
    free(s->waits);
    free(s->retries);
}

void picture_free(picture *p) {
    if (!p) return;
    for (int32_t i = 0; i < p->thread_count; i++) free(p->threads[i].items);
    for (int kind = 0; kind < TK_KINDS; kind++) {
        for (size_t i = 0; i < p->snapshots[kind].count; i++) snapshot_free(&p->snapshots[kind].items[i]);
        free(p->snapshots[kind].items);
    }
    for (int i = 0; i < 2; i++) snapshot_free(&p->edges[i]);
    free(p->threads);
    free(p->holds.items);
    free(p->waits.items);
    free(p->retries.items);
    free(p->knots.items);
    free(p->all_cells.items);
    free(p->all_holds.items);
    free(p->all_waits.items);
    free(p->all_retries.items);
    free(p->windows.items);
    free(p);
}

bool picture_add_threads(picture *p, int32_t count) {
    if (count <= p->thread_count) return true;
    if (!tk_grow(&p->threads, &p->threads_room, sizeof *p->threads, (size_t)count)) return false;
    memset(p->threads + p->thread_count, 0, (size_t)(count - p->thread_count) * sizeof *p->threads);
    p->thread_count = count;
    return true;
}

/* ---- bins ---- */

static void add_cell(tk_cell *to, const tk_cell *from) {
    to->held += from->held;
    to->entering += from->entering;
    to->busy += from->busy;
    to->retried += from->retried;
    if (from->longest_hold > to->longest_hold) to->longest_hold = from->longest_hold;
    if (from->longest_wait > to->longest_wait) to->longest_wait = from->longest_wait;
    to->retries += from->retries;
    to->checks += from->checks;
    to->blocking += from->blocking;
}

/* Bins twice as wide. */
static void halve(picture *p) {
    p->shift++;
    p->cell_count = 0;
    for (int32_t i = 0; i < p->thread_count; i++) {
        cells *all = &p->threads[i];
        size_t kept = 0;
        for (size_t from = 0; from < all->count; from++) {
            tk_cell cell = all->items[from];
            cell.bin >>= 1;
            if (kept && all->items[kept - 1].bin == cell.bin) add_cell(&all->items[kept - 1], &cell);
            else all->items[kept++] = cell;
        }
        all->count = kept;
        p->cell_count += kept;
    }
    size_t kept = 0;
    for (size_t from = 0; from < p->knots.count; from++)
        if (!kept || p->knots.items[from].clock >> p->shift != p->knots.items[kept - 1].clock >> p->shift)
            p->knots.items[kept++] = p->knots.items[from];
    p->knots.count = kept;
}

static void fit(picture *p, int64_t clock) {
    while (clock >> p->shift >= p->limits.bins ||
           ((int64_t)p->cell_count > p->limits.cells && clock >> p->shift >= LEAST_BINS))
        halve(p);
}

/* The thread's cell of this bin; NULL: no memory. Cells mostly come in order. */
static tk_cell *cell_of(picture *p, int32_t thread, int64_t bin) {
    cells *all = &p->threads[thread];
    size_t at = all->count;
    while (at && all->items[at - 1].bin > bin) at--;
    if (at && all->items[at - 1].bin == bin) return &all->items[at - 1];
    if (!tk_grow(&all->items, &all->room, sizeof *all->items, all->count + 1)) return NULL;
    memmove(&all->items[at + 1], &all->items[at], (all->count - at) * sizeof *all->items);
    all->items[at] = (tk_cell){.bin = (int32_t)bin, .thread = thread};
    all->count++;
    p->cell_count++;
    return &all->items[at];
}

/* The thread's newest cell, where all of [from, to) lies in it; else NULL. Mostly it does. */
static inline tk_cell *newest_cell(const picture *p, int32_t thread, int64_t from, int64_t to) {
    const cells *all = &p->threads[thread];
    if (!all->count) return NULL;
    tk_cell *cell = &all->items[all->count - 1];
    return from >> p->shift == cell->bin && to >> p->shift == cell->bin ? cell : NULL;
}

static inline void raise_to(int64_t *most, int64_t value) {
    if (value > *most) *most = value;
}

/* Adds the part of [from, to) that lies in each bin to the field at `offset`, and `whole` to the longest at
   `longest`. An empty span is in the bin where it is. */
static bool spread(picture *p, int32_t thread, int64_t from, int64_t to, size_t offset, size_t longest, int64_t whole) {
    const int64_t last = to > from ? (to - 1) >> p->shift : to >> p->shift;
    for (int64_t bin = from >> p->shift; bin <= last; bin++) {
        tk_cell *cell = cell_of(p, thread, bin);
        if (!cell) return false;
        const int64_t begin = bin << p->shift, end = (bin + 1) << p->shift;
        *(int64_t *)((char *)cell + offset) += (to < end ? to : end) - (from > begin ? from : begin);
        raise_to((int64_t *)((char *)cell + longest), whole);
    }
    return true;
}

#define FIELD(name) offsetof(tk_cell, name)

bool picture_hold(picture *p, const tk_picture_hold *hold) {
    fit(p, hold->end);
    p->holds.items[p->holds.count++ & p->holds.mask] = *hold;
    const int64_t held = hold->end - hold->start;
    tk_cell *cell = newest_cell(p, hold->thread, hold->start, hold->end);
    if (cell) {
        cell->held += held;
        raise_to(&cell->longest_hold, held);
    } else if (!spread(p, hold->thread, hold->start, hold->end, FIELD(held), FIELD(longest_hold), held)) {
        return false;
    }
    if (hold->release == TK_UNKNOWN_RELEASE) return true;
    if (!cell && !(cell = cell_of(p, hold->thread, hold->end >> p->shift))) return false;
    cell->checks += hold->release == TK_CHECK_RELEASE;
    cell->blocking += hold->release == TK_BLOCKING_RELEASE;
    return true;
}

bool picture_wait(picture *p, const tk_picture_wait *wait) {
    const int64_t busy = wait->contended ? wait->busy : wait->end, retry = wait->retry < 0 ? wait->end : wait->retry;
    const int64_t whole = wait->end - wait->start;
    fit(p, wait->end);
    if (wait->contended) p->waits.items[p->waits.count++ & p->waits.mask] = *wait;
    if (!whole) return true;
    tk_cell *cell = newest_cell(p, wait->thread, wait->start, wait->end);
    if (cell && !wait->contended) {
        cell->entering += whole;
        raise_to(&cell->longest_wait, whole);
        return true;
    }
    return (busy == wait->start || spread(p, wait->thread, wait->start, busy, FIELD(entering), FIELD(longest_wait), whole)) &&
           (retry == busy || !wait->contended ||
            spread(p, wait->thread, busy, retry, FIELD(busy), FIELD(longest_wait), whole)) &&
           (wait->end == retry || spread(p, wait->thread, retry, wait->end, FIELD(retried), FIELD(longest_wait), whole));
}

bool picture_retry(picture *p, const tk_retry *retry) {
    fit(p, retry->clock);
    p->retries.items[p->retries.count++ & p->retries.mask] = *retry;
    tk_cell *cell = cell_of(p, retry->thread, retry->clock >> p->shift);
    if (!cell) return false;
    cell->retries++;
    return true;
}

bool picture_knot(picture *p, int64_t clock, int64_t tick_clock) {
    if (p->knots.count) {
        const tk_knot *last = &p->knots.items[p->knots.count - 1];
        if (last->clock >> p->shift == clock >> p->shift) return true;
    }
    if (!tk_grow(&p->knots.items, &p->knots.room, sizeof *p->knots.items, p->knots.count + 1)) return false;
    p->knots.items[p->knots.count++] = (tk_knot){clock, tick_clock};
    return true;
}

/* ---- the rows around findings ---- */

static bool cheaper(const snapshot *a, int64_t cost, int64_t start_seq) {
    return a->cost != cost ? a->cost < cost : a->start_seq > start_seq;
}

bool picture_wants(const picture *p, int kind, int64_t cost, int64_t start_seq) {
    if (p->limits.windows <= 0) return false;
    if ((int64_t)p->snapshots[kind].count < p->limits.windows) return true;
    return cheaper(&p->snapshots[kind].items[p->snapshots[kind].cheapest], cost, start_seq);
}

/* The first row from `low` on, of rows [low, count), that ends after `clock`: they stand in the order of their ends. */
#define FIRST_AFTER(ring, end_of, low, clock, out)                                   \
    do {                                                                             \
        size_t least = (low), beyond = (ring).count;                                 \
        while (least < beyond) {                                                     \
            const size_t middle = least + (beyond - least) / 2;                      \
            if (end_of((ring).items[middle & (ring).mask]) > (clock)) beyond = middle; \
            else least = middle + 1;                                                 \
        }                                                                            \
        (out) = least;                                                               \
    } while (0)

/* Copies what of a ring lies in the window: the newest rows that end in it, as many as may be, those that reach
   beyond its end, and what is still `open`. From `covered` on none is missing. */
#define COPY(ring, start_of, end_of, out, out_count, open, open_count)                              \
    do {                                                                                            \
        const size_t oldest = (ring).count > (ring).mask ? (ring).count - (ring).mask - 1 : 0;      \
        size_t end, n = 0, reaching = 0;                                                            \
        FIRST_AFTER(ring, end_of, oldest, window->to, end);                                         \
        size_t first = end;                                                                         \
        while (first > oldest && end - first < limit &&                                             \
               end_of((ring).items[(first - 1) & (ring).mask]) >= window->from)                     \
            first--;                                                                                \
        if (first) {                                                                                \
            const size_t before = first > oldest ? first - 1 : oldest;                              \
            if (before < (ring).count && end_of((ring).items[before & (ring).mask]) > covered)      \
                covered = end_of((ring).items[before & (ring).mask]);                               \
        }                                                                                           \
        for (size_t i = end; i < (ring).count; i++)                                                 \
            reaching += start_of((ring).items[i & (ring).mask]) <= window->to;                      \
        (out) = malloc((end - first + reaching + (open_count)) * sizeof *(out) + 1);                \
        if (!(out)) return false;                                                                   \
        for (size_t i = first; i < (ring).count; i++)                                               \
            if (i < end || start_of((ring).items[i & (ring).mask]) <= window->to)                   \
                (out)[n++] = (ring).items[i & (ring).mask];                                         \
        if (open_count) memcpy((out) + n, (open), (open_count) * sizeof *(out));                    \
        (out_count) = n + (open_count);                                                             \
    } while (0)

#define HOLD_START(row) ((row).start)
#define HOLD_END(row) ((row).end)
#define WAIT_START(row) ((row).start)
#define WAIT_END(row) ((row).end)
#define RETRY_CLOCK(row) ((row).clock)

static bool take_rows(const picture *p, snapshot *s, int64_t most, const tk_picture_hold *open_hold,
                      const tk_picture_wait *open_waits, size_t open_count) {
    tk_window *window = &s->window;
    const size_t limit = (size_t)most;
    int64_t covered = window->from;
    const tk_retry *none = NULL;
    COPY(p->holds, HOLD_START, HOLD_END, s->holds, s->hold_count, open_hold, (size_t)(open_hold != NULL));
    COPY(p->waits, WAIT_START, WAIT_END, s->waits, s->wait_count, open_waits, open_count);
    COPY(p->retries, RETRY_CLOCK, RETRY_CLOCK, s->retries, s->retry_count, none, (size_t)0);
    window->from = covered;
    return true;
}

bool picture_finding(picture *p, int kind, const tk_finding *found, const tk_picture_hold *open_hold,
                     const tk_picture_wait *open_waits, size_t open_count) {
    const int64_t margin = (found->end - found->start) / 8;
    snapshot taken = {.cost = found->cost, .start_seq = found->start_seq};
    taken.window = (tk_window){found->start > margin ? found->start - margin : 0, found->end};
    if (!take_rows(p, &taken, p->limits.window_rows, open_hold, open_waits, open_count)) {
        snapshot_free(&taken);
        return false;
    }
    snapshot *items = p->snapshots[kind].items;
    if (!items && !(items = p->snapshots[kind].items = malloc((size_t)p->limits.windows * sizeof *items))) {
        snapshot_free(&taken);
        return false;
    }
    size_t at = p->snapshots[kind].count;
    if ((int64_t)at < p->limits.windows) {
        p->snapshots[kind].count++;
    } else {
        at = p->snapshots[kind].cheapest;
        snapshot_free(&items[at]);
    }
    items[at] = taken;
    if ((int64_t)p->snapshots[kind].count < p->limits.windows) return true;
    size_t cheapest = 0;
    for (size_t i = 1; i < p->snapshots[kind].count; i++)
        if (cheaper(&items[i], items[cheapest].cost, items[cheapest].start_seq)) cheapest = i;
    p->snapshots[kind].cheapest = cheapest;
    return true;
}

bool picture_begins(const picture *p) {
    const size_t rows = (size_t)p->limits.edge_rows;
    return !p->begun && (p->holds.count >= rows || p->waits.count >= rows || p->retries.count >= rows);
}

bool picture_beginning(picture *p, int64_t clock, const tk_picture_hold *open_hold, const tk_picture_wait *open_waits,
                       size_t open_count) {
    p->edges[0].window = (tk_window){0, clock};
    return take_rows(p, &p->edges[0], p->limits.edge_rows, open_hold, open_waits, open_count);
}

/* ---- the end ---- */


#define APPEND(vector, from, n)                                                                              \
    do {                                                                                                     \
        if (n) {                                                                                             \
            if (!tk_grow(&(vector).items, &(vector).room, sizeof *(vector).items, (vector).count + (n)))     \
                return false;                                                                                \
            memcpy((vector).items + (vector).count, (from), (n) * sizeof *(vector).items);                   \
            (vector).count += (n);                                                                           \
        }                                                                                                    \
    } while (0)

static bool append_snapshot(picture *p, const snapshot *s) {
    if (!s->holds || s->window.from > s->window.to) return true; /* none, or so late that its rows were gone */
    APPEND(p->all_holds, s->holds, s->hold_count);
    APPEND(p->all_waits, s->waits, s->wait_count);
    APPEND(p->all_retries, s->retries, s->retry_count);
    APPEND(p->windows, &s->window, 1);
    return true;
}

bool picture_finish(picture *p, int64_t clock) {
    fit(p, clock);
    for (int32_t i = 0; i < p->thread_count; i++) APPEND(p->all_cells, p->threads[i].items, p->threads[i].count);
    p->whole = !picture_is_partial(p);
    if (p->whole) {
        APPEND(p->all_holds, p->holds.items, p->holds.count);
        APPEND(p->all_waits, p->waits.items, p->waits.count);
        APPEND(p->all_retries, p->retries.items, p->retries.count);
        return true;
    }
    p->edges[1].window = (tk_window){0, clock};
    if (!take_rows(p, &p->edges[1], p->limits.edge_rows, NULL, NULL, 0)) return false;
    for (int i = 0; i < 2; i++)
        if (!append_snapshot(p, &p->edges[i])) return false;
    for (int kind = 0; kind < TK_KINDS; kind++)
        for (size_t i = 0; i < p->snapshots[kind].count; i++)
            if (!append_snapshot(p, &p->snapshots[kind].items[i])) return false;
    return true;
}
