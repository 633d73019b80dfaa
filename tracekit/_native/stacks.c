/* What was lost by stacks: a row for each waiter, holder, their stacks and the cause, and in how many waits. Rows of one
   wait may become one when the stacks are named, so it is remembered which rows a wait has in common: as sets of rows,
   each with the number of its waits. All of it is bounded: beyond the limits what was lost is added to the rows of
   unknown stacks, and waits are counted in each row by itself. */
#include "stacks.h"

#include <stdlib.h>
#include <string.h>

#ifndef TK_STACK_LIMIT
#define TK_STACK_LIMIT (1 << 20) /* different ids */
#define TK_STACK_ROWS (1 << 20)  /* rows with a known stack */
#define TK_SET_MEMBERS (1 << 22) /* of all sets together */
#endif

/* ---- wide maps ---- */

static uint64_t mixed(uint64_t value) {
    value *= 0x9E3779B97F4A7C15ULL;
    return value ^ value >> 32;
}

static int64_t *wide_place(const wide_map *m, uint64_t key) {
    uint32_t at = (uint32_t)mixed(key) & (m->room - 1);
    while (m->sums[at] && m->keys[at] != key) at = (at + 1) & (m->room - 1);
    m->keys[at] = key;
    return &m->sums[at];
}

bool wide_add(wide_map *m, uint64_t key, int64_t amount) {
    if (m->count * 4 >= m->room * 3) {
        wide_map larger = {.room = m->room ? m->room * 2 : 16, .count = m->count};
        larger.keys = malloc(larger.room * sizeof *larger.keys);
        larger.sums = calloc(larger.room, sizeof *larger.sums);
        if (!larger.keys || !larger.sums) {
            wide_free(&larger);
            return false;
        }
        for (uint32_t i = 0; i < m->room; i++)
            if (m->sums[i]) *wide_place(&larger, m->keys[i]) = m->sums[i];
        wide_free(m);
        *m = larger;
    }
    int64_t *sum = wide_place(m, key);
    m->count += !*sum;
    *sum += amount;
    return true;
}

bool wide_add_all(wide_map *m, const wide_map *other) {
    for (uint32_t i = 0; i < other->room; i++)
        if (other->sums[i] && !wide_add(m, other->keys[i], other->sums[i])) return false;
    return true;
}

void wide_clear(wide_map *m) {
    if (m->count) memset(m->sums, 0, m->room * sizeof *m->sums);
    m->count = 0;
}

void wide_free(wide_map *m) {
    free(m->keys);
    free(m->sums);
    memset(m, 0, sizeof *m);
}

/* ---- hashed places of a vector's items ---- */

static bool roomy(uint32_t **places, uint32_t *mask, size_t count, uint32_t (*hash)(const stacks *, uint32_t),
                  const stacks *all) {
    if (*places && count * 2 <= *mask) return true;
    const uint32_t larger_mask = *places ? *mask * 2 + 1 : 63;
    uint32_t *larger = calloc((size_t)larger_mask + 1, sizeof *larger);
    if (!larger) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = hash(all, i) & larger_mask;
        while (larger[at]) at = (at + 1) & larger_mask;
        larger[at] = i + 1;
    }
    free(*places);
    *places = larger;
    *mask = larger_mask;
    return true;
}

static uint32_t id_hash(const stacks *all, uint32_t i) { return (uint32_t)mixed((uint64_t)all->ids.items[i]); }

int32_t stacks_code(stacks *all, int64_t id) {
    if (!roomy(&all->id_places, &all->id_mask, all->ids.count, id_hash, all)) return -1;
    uint32_t at = (uint32_t)mixed((uint64_t)id) & all->id_mask;
    for (; all->id_places[at]; at = (at + 1) & all->id_mask)
        if (all->ids.items[all->id_places[at] - 1] == id) return (int32_t)all->id_places[at];
    if (all->ids.count >= TK_STACK_LIMIT) return TK_STACK_LIMIT + 1;
    if (!tk_grow(&all->ids.items, &all->ids.room, sizeof *all->ids.items, all->ids.count + 1)) return -1;
    all->ids.items[all->ids.count++] = id;
    all->id_places[at] = (uint32_t)all->ids.count;
    return (int32_t)all->ids.count;
}

/* ---- rows ---- */

static uint32_t key_hash(const stack_key *key) {
    const uint64_t stacks_ = (uint64_t)(uint32_t)key->waiter_stack << 32 | (uint32_t)key->holder_stack;
    const uint64_t threads = (uint64_t)(uint32_t)key->waiter << 32 | (uint32_t)key->holder << 4 | (uint32_t)key->cause;
    return (uint32_t)mixed(mixed(stacks_) ^ threads);
}

static uint32_t row_hash(const stacks *all, uint32_t i) { return key_hash(&all->rows.items[i].key); }

static int32_t row_of(stacks *all, const stack_key *key) {
    if (!roomy(&all->row_places, &all->row_mask, all->rows.count, row_hash, all)) return -1;
    uint32_t at = key_hash(key) & all->row_mask;
    for (; all->row_places[at]; at = (at + 1) & all->row_mask) {
        const int32_t row = (int32_t)all->row_places[at] - 1;
        if (!memcmp(&all->rows.items[row].key, key, sizeof *key)) return row;
    }
    if (all->rows.count >= TK_STACK_ROWS && (key->waiter_stack != NO_STACK || key->holder_stack != NO_STACK)) {
        const stack_key unknown = {key->waiter, NO_STACK, key->holder, NO_STACK, key->cause};
        return row_of(all, &unknown);
    }
    if (!tk_grow(&all->rows.items, &all->rows.room, sizeof *all->rows.items, all->rows.count + 1)) return -1;
    all->rows.items[all->rows.count++] = (stack_row){.key = *key};
    all->row_places[at] = (uint32_t)all->rows.count;
    return (int32_t)all->rows.count - 1;
}

void stacks_begin_wait(stacks *all) {
    all->wait++;
    for (int class = 0; class < 3; class++) all->touched[class].count = 0;
}

bool stacks_charge(stacks *all, const stack_key *key, int class, int64_t held) {
    const int32_t place = row_of(all, key);
    if (place < 0) return false;
    stack_row *row = &all->rows.items[place];
    row->duration += held;
    if (row->wait == all->wait) return true;
    row->wait = all->wait;
    row->waits++;
    if (!tk_grow(&all->touched[class].items, &all->touched[class].room, sizeof(int32_t), all->touched[class].count + 1))
        return false;
    all->touched[class].items[all->touched[class].count++] = place;
    return true;
}

int32_t stacks_add(stacks *all, const stack_key *key, int64_t duration, int64_t waits) {
    const int32_t place = row_of(all, key);
    if (place < 0) return -1;
    all->rows.items[place].duration += duration;
    all->rows.items[place].waits += waits;
    return place;
}

/* ---- sets ---- */

static uint32_t members_hash(const int32_t *members, uint32_t count) {
    uint64_t hash = count;
    for (uint32_t i = 0; i < count; i++) hash = mixed(hash ^ (uint64_t)(uint32_t)members[i]);
    return (uint32_t)hash;
}

static uint32_t set_hash(const stacks *all, uint32_t i) {
    const stack_set *set = &all->sets.items[i];
    return members_hash(all->members.items + set->first, set->count);
}

static int by_place(const void *a, const void *b) {
    const int32_t left = *(const int32_t *)a, right = *(const int32_t *)b;
    return (left > right) - (left < right);
}

/* Sorts the members. The set's place; -1: there is no room for another; -2: no memory. */
static int32_t set_of(stacks *all, int32_t *members, uint32_t count) {
    if (!roomy(&all->set_places, &all->set_mask, all->sets.count, set_hash, all)) return -2;
    qsort(members, count, sizeof *members, by_place);
    uint32_t at = members_hash(members, count) & all->set_mask;
    for (; all->set_places[at]; at = (at + 1) & all->set_mask) {
        const stack_set *set = &all->sets.items[all->set_places[at] - 1];
        if (set->count == count && !memcmp(all->members.items + set->first, members, count * sizeof *members))
            return (int32_t)all->set_places[at] - 1;
    }
    if (all->members.count + count > TK_SET_MEMBERS) return -1;
    if (!tk_grow(&all->members.items, &all->members.room, sizeof *all->members.items, all->members.count + count) ||
        !tk_grow(&all->sets.items, &all->sets.room, sizeof *all->sets.items, all->sets.count + 1))
        return -2;
    memcpy(all->members.items + all->members.count, members, count * sizeof *members);
    all->sets.items[all->sets.count++] = (stack_set){.first = (uint32_t)all->members.count, .count = count};
    all->members.count += count;
    all->set_places[at] = (uint32_t)all->sets.count;
    return (int32_t)all->sets.count - 1;
}

static bool share(stacks *all, int32_t *members, uint32_t count, int64_t waits, undecided_stacks *undecided) {
    if (count < 2 || !waits) return true;
    const int32_t place = set_of(all, members, count);
    if (place < 0) return place == -1;
    stack_set *set = &all->sets.items[place];
    set->waits += waits;
    if (undecided && !set->next) {
        set->next = undecided->sets ? undecided->sets : -1;
        undecided->sets = place + 1;
    }
    return true;
}

void stacks_set_aside(stacks *all, int32_t row, undecided_stacks *undecided) {
    if (all->rows.items[row].next) return;
    all->rows.items[row].next = undecided->rows ? undecided->rows : -1;
    undecided->rows = row + 1;
}

bool stacks_share(stacks *all, int32_t one, int32_t other, int64_t waits, undecided_stacks *undecided) {
    int32_t members[2] = {one, other};
    return share(all, members, 2, waits, undecided);
}

bool stacks_end_wait(stacks *all, undecided_stacks *undecided) {
    for (size_t i = 0; undecided && i < all->touched[0].count; i++)
        stacks_set_aside(all, all->touched[0].items[i], undecided);
    for (int class = 0; class < 3; class++)
        if (!share(all, all->touched[class].items, (uint32_t)all->touched[class].count, 1, class ? NULL : undecided))
            return false;
    return true;
}

/* Rows that have become one, since there was room for no more, have these waits in common. How many rows are left. */
static uint32_t once(stacks *all, int32_t *rows, uint32_t count, int64_t waits) {
    uint32_t left = 0;
    qsort(rows, count, sizeof *rows, by_place);
    for (uint32_t i = 0; i < count; i++)
        if (left && rows[i] == rows[left - 1]) all->rows.items[rows[i]].waits -= waits;
        else rows[left++] = rows[i];
    return left;
}

bool stacks_decide(stacks *all, undecided_stacks *undecided, const int32_t *causes, int32_t first_undecided) {
    for (int32_t next = undecided->rows, place; next > 0; next = all->rows.items[place].next) {
        place = next - 1;
        const stack_row from = all->rows.items[place];
        stack_key key = from.key;
        key.cause = causes[key.cause - first_undecided];
        const int32_t to = stacks_add(all, &key, from.duration, from.waits);
        if (to < 0) return false;
        all->rows.items[place].moved = to;
        all->rows.items[place].duration = all->rows.items[place].waits = 0;
    }
    bool fine = true;
    for (int32_t next = undecided->sets, place; next > 0;) {
        place = next - 1;
        const stack_set from = all->sets.items[place];
        next = from.next;
        all->sets.items[place].waits = all->sets.items[place].next = 0;
        all->touched[0].count = 0;
        if (!tk_grow(&all->touched[0].items, &all->touched[0].room, sizeof(int32_t), from.count)) return false;
        for (uint32_t i = 0; i < from.count; i++)
            all->touched[0].items[i] = all->rows.items[all->members.items[from.first + i]].moved;
        fine &= share(all, all->touched[0].items, once(all, all->touched[0].items, from.count, from.waits), from.waits, NULL);
    }
    for (int32_t next = undecided->rows, place; next > 0;) {
        place = next - 1;
        next = all->rows.items[place].next;
        all->rows.items[place].next = 0;
    }
    undecided->rows = undecided->sets = 0;
    return fine;
}

/* ---- results ---- */

int64_t stacks_id(const stacks *all, int32_t code) {
    return code == NO_STACK || code > (int32_t)all->ids.count ? 0 : all->ids.items[code - 1];
}

const tk_stack_blame *stacks_blame(stacks *all, int64_t *count) {
    *count = -1;
    all->blame.count = 0;
    if (!tk_grow(&all->blame.items, &all->blame.room, sizeof *all->blame.items, all->rows.count + 1)) return NULL;
    for (size_t i = 0; i < all->rows.count; i++) {
        stack_row *row = &all->rows.items[i];
        if (!row->duration) continue;
        row->moved = (int32_t)all->blame.count;
        all->blame.items[all->blame.count++] =
            (tk_stack_blame){row->duration,   row->waits,       stacks_id(all, row->key.holder_stack),
                             stacks_id(all, row->key.waiter_stack), row->key.waiter,
                             row->key.holder, row->key.cause,   0};
    }
    *count = (int64_t)all->blame.count;
    return all->blame.items;
}

const tk_shared_waits *stacks_shared(stacks *all, int64_t *count) {
    if (!stacks_blame(all, count)) return NULL; /* the rows' places among those */
    *count = -1;
    all->shared.count = 0;
    if (!tk_grow(&all->shared.items, &all->shared.room, sizeof *all->shared.items, all->members.count + 1)) return NULL;
    for (size_t i = 0; i < all->sets.count; i++) {
        const stack_set *set = &all->sets.items[i];
        for (uint32_t at = 0; set->waits && at < set->count; at++)
            all->shared.items[all->shared.count++] = (tk_shared_waits){
                set->waits, (int32_t)i, all->rows.items[all->members.items[set->first + at]].moved};
    }
    *count = (int64_t)all->shared.count;
    return all->shared.items;
}

void stacks_free(stacks *all) {
    free(all->ids.items);
    free(all->rows.items);
    free(all->sets.items);
    free(all->members.items);
    free(all->id_places);
    free(all->row_places);
    free(all->set_places);
    for (int class = 0; class < 3; class++) free(all->touched[class].items);
    free(all->blame.items);
    free(all->shared.items);
}
