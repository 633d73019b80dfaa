#include "regions.h"

#include <stdlib.h>

enum { BUCKETS = REGION_LIMIT * 2, NONE = -1 };

static int32_t *bucket_of(const regions *all, int64_t region) {
    return &all->buckets[((uint64_t)region * 0x9e3779b97f4a7c15u >> 32) % BUCKETS];
}

static int32_t find(const regions *all, int64_t region) {
    int32_t at = all->buckets ? *bucket_of(all, region) : NONE;
    while (at != NONE && all->entries.items[at].row.region != region) at = all->entries.items[at].next;
    return at;
}

static void unlist(regions *all, int32_t at) {
    const region_entry *entry = &all->entries.items[at];
    *(entry->older == NONE ? &all->oldest : &all->entries.items[entry->older].newer) = entry->newer;
    *(entry->newer == NONE ? &all->newest : &all->entries.items[entry->newer].older) = entry->older;
}

static void list_newest(regions *all, int32_t at) {
    region_entry *entry = &all->entries.items[at];
    entry->newer = NONE;
    entry->older = all->newest;
    *(all->newest == NONE ? &all->oldest : &all->entries.items[all->newest].newer) = at;
    all->newest = at;
}

/* The one without a row for the longest time. Its place. */
static int32_t forget_oldest(regions *all) {
    const int32_t at = all->oldest;
    region_entry *entry = &all->entries.items[at];
    int32_t *place = bucket_of(all, entry->row.region);
    while (*place != at) place = &all->entries.items[*place].next;
    *place = entry->next;
    for (int32_t lost = entry->blame, next; lost != NONE; lost = next) {
        next = all->lost.items[lost].next;
        all->lost.items[lost].next = all->free_lost;
        all->free_lost = lost;
    }
    all->lost_count -= entry->blame_count;
    unlist(all, at);
    all->dropped++;
    return at;
}

static bool begin(regions *all) {
    if (all->buckets) return true;
    if (!(all->buckets = malloc(BUCKETS * sizeof *all->buckets))) return false;
    for (int32_t i = 0; i < BUCKETS; i++) all->buckets[i] = NONE;
    all->newest = all->oldest = all->free_lost = NONE;
    return true;
}

/* NULL: no memory. */
static tk_region *touch(regions *all, int64_t region, int32_t thread, int64_t start, int64_t end) {
    if (!begin(all)) return NULL;
    int32_t at = find(all, region);
    if (at != NONE) {
        unlist(all, at);
    } else {
        if (all->entries.count == REGION_LIMIT) {
            at = forget_oldest(all);
        } else {
            if (!tk_grow(&all->entries.items, &all->entries.room, sizeof *all->entries.items, all->entries.count + 1)) return NULL;
            at = (int32_t)all->entries.count++;
        }
        int32_t *bucket = bucket_of(all, region);
        all->entries.items[at] = (region_entry){
            .row = {.region = region, .start = start, .end = end, .thread = thread}, .next = *bucket, .blame = NONE};
        *bucket = at;
    }
    list_newest(all, at);
    tk_region *row = &all->entries.items[at].row;
    if (start < row->start) row->start = start;
    if (end > row->end) row->end = end;
    return row;
}

bool regions_see(regions *all, int64_t region, int32_t thread, int64_t start, int64_t end) {
    return touch(all, region, thread, start, end) != NULL;
}

bool regions_held(regions *all, int64_t region, int32_t thread, int64_t start, int64_t end) {
    tk_region *row = touch(all, region, thread, start, end);
    if (row) row->held += end - start;
    return row != NULL;
}

bool regions_waited(regions *all, int64_t region, int32_t thread, int64_t start, int64_t end) {
    tk_region *row = touch(all, region, thread, start, end);
    if (!row) return false;
    row->waited += end - start;
    row->waits++;
    return true;
}

bool regions_charge(regions *all, int64_t region, int32_t holder, int32_t stack, int64_t duration) {
    const int32_t at = find(all, region);
    if (at == NONE || duration <= 0) return true; /* it was forgotten meanwhile */
    region_entry *entry = &all->entries.items[at];
    int32_t *place = &entry->blame;
    while (*place != NONE && (all->lost.items[*place].holder != holder || all->lost.items[*place].stack != stack))
        place = &all->lost.items[*place].next;
    int32_t lost = *place;
    if (lost != NONE) {
        *place = all->lost.items[lost].next;
    } else {
        if (entry->blame_count == BLAME_OF_ONE || all->lost_count == REGION_BLAME_LIMIT) return true;
        lost = all->free_lost;
        if (lost != NONE) {
            all->free_lost = all->lost.items[lost].next;
        } else {
            if (!tk_grow(&all->lost.items, &all->lost.room, sizeof *all->lost.items, all->lost.count + 1)) return false;
            lost = (int32_t)all->lost.count++;
        }
        all->lost.items[lost] = (region_lost){0, holder, stack, NONE};
        entry->blame_count++;
        all->lost_count++;
    }
    all->lost.items[lost].duration += duration;
    all->lost.items[lost].next = entry->blame; /* the same ones come again and again */
    entry->blame = lost;
    return true;
}

void regions_free(regions *all) {
    free(all->entries.items);
    free(all->lost.items);
    free(all->buckets);
    free(all->rows.items);
    free(all->blame.items);
}
