/* Findings: exact totals, and the costliest of each kind in bounded memory.
   Distributions: how often each duration came, exactly while there is room for
   all distinct values, and then to 8 significant bits. */
#include "findings.h"

#include <stdlib.h>
#include <string.h>

/* Cheaper, or as cheap and later: what the kept ones can do without. */
static bool lesser(const tk_finding *a, const tk_finding *b) {
    return a->cost != b->cost ? a->cost < b->cost : a->start_seq > b->start_seq;
}

static void sift_down(tk_finding *heap, size_t count, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && lesser(&heap[child + 1], &heap[child])) child++;
        if (!lesser(&heap[child], &heap[at])) return;
        tk_finding other = heap[at];
        heap[at] = heap[child];
        heap[child] = other;
        at = child;
    }
}

static uint32_t group_hash(int32_t thread, int32_t other) {
    uint64_t key = (uint64_t)(uint32_t)thread << 32 | (uint32_t)other;
    return (uint32_t)((key * 0x9E3779B97F4A7C15ULL) >> 32);
}

static tk_finding_group *group_of(findings *all, int32_t thread, int32_t other) {
    if (!all->places || all->groups.count * 2 > all->places_mask) {
        uint32_t mask = all->places ? all->places_mask * 2 + 1 : 15;
        uint32_t *places = calloc((size_t)mask + 1, sizeof *places);
        if (!places) return NULL;
        for (uint32_t i = 0; i < all->groups.count; i++) {
            uint32_t at = group_hash(all->groups.items[i].thread, all->groups.items[i].other) & mask;
            while (places[at]) at = (at + 1) & mask;
            places[at] = i + 1;
        }
        free(all->places);
        all->places = places;
        all->places_mask = mask;
    }
    uint32_t at = group_hash(thread, other) & all->places_mask;
    for (; all->places[at]; at = (at + 1) & all->places_mask) {
        tk_finding_group *group = &all->groups.items[all->places[at] - 1];
        if (group->thread == thread && group->other == other) return group;
    }
    if (!tk_grow(&all->groups.items, &all->groups.room, sizeof *all->groups.items, all->groups.count + 1))
        return NULL;
    tk_finding_group *group = &all->groups.items[all->groups.count++];
    *group = (tk_finding_group){.worst_cost = -1, .thread = thread, .other = other};
    all->places[at] = (uint32_t)all->groups.count;
    return group;
}

void findings_free(findings *all) {
    free(all->kept.items);
    free(all->groups.items);
    free(all->places);
}

bool findings_add(findings *all, const tk_finding *found, int64_t worst) {
    all->count++;
    tk_finding_group *group = group_of(all, found->thread, found->other);
    if (!group) return false;
    group->count++;
    /* Sums of crafted durations, up to 2^62 each, may wrap; nothing but the number is wrong then. */
    group->cost = (int64_t)((uint64_t)group->cost + (uint64_t)found->cost);
    group->span = (int64_t)((uint64_t)group->span + (uint64_t)(found->end - found->start));
    for (int i = 0; i < TK_MORE; i++) group->more[i] = (int64_t)((uint64_t)group->more[i] + (uint64_t)found->more[i]);
    if (found->cost > group->worst_cost || (found->cost == group->worst_cost && found->start_seq < group->start_seq)) {
        group->worst_cost = found->cost;
        group->start_seq = found->start_seq;
        group->end_seq = found->end_seq;
    }
    if ((int64_t)all->kept.count < worst) {
        if (!tk_grow(&all->kept.items, &all->kept.room, sizeof *all->kept.items, all->kept.count + 1)) return false;
        all->kept.items[all->kept.count++] = *found;
        if ((int64_t)all->kept.count == worst)
            for (size_t at = all->kept.count / 2; at-- > 0;) sift_down(all->kept.items, all->kept.count, at);
    } else if (worst && lesser(&all->kept.items[0], found)) {
        all->kept.items[0] = *found;
        sift_down(all->kept.items, all->kept.count, 0);
    }
    return true;
}

/* ---- distributions ---- */

static size_t place_of(const histogram *h, int64_t value) {
    size_t at = (size_t)(((uint64_t)value * 0x9E3779B97F4A7C15ULL) >> 20) & h->mask;
    while (h->counts[at] && h->values[at] != value) at = (at + 1) & h->mask;
    return at;
}

static bool make_room(histogram *h) {
    histogram larger = *h;
    larger.mask = h->values ? h->mask * 2 + 1 : 15;
    larger.values = malloc((larger.mask + 1) * sizeof *larger.values);
    larger.counts = calloc(larger.mask + 1, sizeof *larger.counts);
    if (!larger.values || !larger.counts) {
        free(larger.values);
        free(larger.counts);
        return false;
    }
    for (size_t i = 0; h->values && i <= h->mask; i++) {
        if (!h->counts[i]) continue;
        size_t at = place_of(&larger, h->values[i]);
        larger.values[at] = h->values[i];
        larger.counts[at] = h->counts[i];
    }
    free(h->values);
    free(h->counts);
    *h = larger;
    return true;
}

bool histogram_flush(histogram *h, distinct_values *distinct) {
    int64_t value = h->last, count = h->repeated;
    h->repeated = 0;
    if (value > h->most) h->most = value;
    if (!h->values && !make_room(h)) return false;
    size_t at = place_of(h, value);
    if (!h->counts[at] && distinct->left <= 0) {
        distinct->coarse = true;
        int shift = 56 - __builtin_clzll((uint64_t)value | 1);
        if (shift > 0) value = value >> shift << shift;
        at = place_of(h, value);
    }
    if (!h->counts[at]) {
        if (h->distinct * 4 >= h->mask * 3) {
            if (!make_room(h)) return false;
            at = place_of(h, value);
        }
        h->values[at] = value;
        h->distinct++;
        distinct->left--;
    }
    h->counts[at] += count;
    return true;
}

typedef struct { int64_t value, count; } counted;

static int by_value(const void *a, const void *b) {
    int64_t left = ((const counted *)a)->value, right = ((const counted *)b)->value;
    return (left > right) - (left < right);
}

bool histogram_describe(const histogram *h, tk_distribution *out) {
    memset(out, 0, sizeof *out);
    if (!h->distinct) return true;
    counted *sorted = malloc(h->distinct * sizeof *sorted);
    if (!sorted) return false;
    size_t n = 0;
    for (size_t i = 0; i <= h->mask; i++)
        if (h->counts[i]) sorted[n++] = (counted){h->values[i], h->counts[i]};
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0; i < n; i++) out->count += sorted[i].count;
    /* Nearest rank: the smallest value that so many per cent of all do not exceed. */
    const int64_t per_cent[3] = {50, 90, 99};
    int64_t *const quantiles[3] = {&out->p50, &out->p90, &out->p99};
    int64_t below = 0;
    size_t at = 0;
    for (int q = 0; q < 3; q++) {
        int64_t rank = out->count / 100 * per_cent[q] + (out->count % 100 * per_cent[q] + 99) / 100;
        while (below + sorted[at].count < rank) below += sorted[at++].count;
        *quantiles[q] = sorted[at].value;
    }
    out->max = h->most;
    free(sorted);
    return true;
}

int histogram_buckets(const histogram *h, bucket out[BUCKETS]) {
    int64_t counts[BUCKETS] = {0};
    for (size_t i = 0; h->values && i <= h->mask; i++) {
        if (!h->counts[i]) continue;
        const uint64_t value = (uint64_t)h->values[i];
        const int octave = value < 4 ? 0 : 61 - __builtin_clzll(value);
        counts[4 * octave + (int)(value >> octave)] += h->counts[i];
    }
    int filled = 0;
    for (int i = 0; i < BUCKETS; i++) {
        if (!counts[i]) continue;
        const int octave = i < 8 ? 0 : i / 4 - 1;
        const int64_t low = (int64_t)(i - 4 * octave) << octave;
        out[filled++] = (bucket){low, low + ((int64_t)1 << octave), counts[i]};
    }
    return filled;
}

void histogram_free(histogram *h) {
    free(h->values);
    free(h->counts);
}
