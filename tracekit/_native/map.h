/* A thread's code -> a sum above 0. Dense for the first threads, hashed as soon as there is one beyond. */
#ifndef TRACEKIT_MAP_H
#define TRACEKIT_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAP_DENSE 2048 /* a dense map of all these takes 16 KB */
#define MAP_SLOTS ((int64_t)1 << 24) /* of all maps of a trace together */

/* What all maps of the trace that this thread works on have taken. sparse: new room is for hashed maps only. */
typedef struct { int64_t slots; bool sparse, full; } map_budget;

static _Thread_local map_budget *budget; /* NULL: as much as they like */

typedef struct {
    int64_t *sums;  /* 0: none */
    int32_t *keys;  /* NULL: dense, sums[key] */
    uint32_t room;  /* a power of two, or 0 */
    uint32_t count; /* only of a hashed one */
} map;

static inline int32_t map_key(const map *m, uint32_t at) {
    if (!m->sums[at]) return -1;
    return m->keys ? m->keys[at] : (int32_t)at;
}

/* Room for this key. False: no memory, or the budget is used up. */
static inline bool map_room(map *m, int32_t key) {
    const bool hashed = m->keys || key >= MAP_DENSE || (budget && budget->sparse);
    uint32_t room = m->room ? m->room * 2 : 4;
    while (!hashed && room <= (uint32_t)key) room *= 2;
    if (budget) {
        budget->full |= budget->slots + room - m->room > MAP_SLOTS;
        if (budget->full) return false;
        budget->slots += room - m->room;
    }
    map larger = {calloc(room, sizeof *m->sums), hashed ? malloc(room * sizeof *m->keys) : NULL, room, 0};
    if (!larger.sums || (hashed && !larger.keys)) {
        free(larger.sums);
        free(larger.keys);
        return false;
    }
    if (!hashed && m->room) memcpy(larger.sums, m->sums, m->room * sizeof *m->sums);
    for (uint32_t i = 0; hashed && i < m->room; i++) {
        int32_t old = map_key(m, i);
        if (old < 0) continue;
        uint32_t at = (uint32_t)old & (room - 1);
        while (larger.sums[at]) at = (at + 1) & (room - 1);
        larger.keys[at] = old;
        larger.sums[at] = m->sums[i];
        larger.count++;
    }
    free(m->sums);
    free(m->keys);
    *m = larger;
    return true;
}

/* Whether sums[key] is right for all keys below `keys`; makes room for it if that can be. */
static inline bool map_is_dense(map *m, int32_t keys) {
    if (m->keys || keys > MAP_DENSE) return false;
    while (m->room < (uint32_t)keys)
        if (!map_room(m, keys - 1)) return false;
    return true;
}

static inline bool map_add(map *m, int32_t key, int64_t amount) {
    while (!m->keys) {
        if ((uint32_t)key < m->room) {
            m->sums[key] += amount;
            return true;
        }
        if (!map_room(m, key)) return false;
    }
    if (m->count * 4 >= m->room * 3 && !map_room(m, key)) return false;
    uint32_t at = (uint32_t)key & (m->room - 1);
    while (m->sums[at] && m->keys[at] != key) at = (at + 1) & (m->room - 1);
    m->count += !m->sums[at];
    m->keys[at] = key;
    m->sums[at] += amount;
    return true;
}

static inline int64_t map_get(const map *m, int32_t key) {
    if (!m->room) return 0;
    if (!m->keys) return (uint32_t)key < m->room ? m->sums[key] : 0;
    uint32_t at = (uint32_t)key & (m->room - 1);
    while (m->sums[at] && m->keys[at] != key) at = (at + 1) & (m->room - 1);
    return m->sums[at];
}

static inline bool map_add_all(map *m, const map *other) {
    if (!m->keys && !other->keys && m->room >= other->room) {
        for (uint32_t i = 0; i < other->room; i++) m->sums[i] += other->sums[i];
        return true;
    }
    for (uint32_t i = 0; i < other->room; i++) {
        int32_t key = map_key(other, i);
        if (key >= 0 && !map_add(m, key, other->sums[i])) return false;
    }
    return true;
}

/* 1 for each key of the other. */
static inline bool map_count_all(map *m, const map *other) {
    if (!m->keys && !other->keys && m->room >= other->room) {
        for (uint32_t i = 0; i < other->room; i++) m->sums[i] += other->sums[i] != 0;
        return true;
    }
    for (uint32_t i = 0; i < other->room; i++) {
        int32_t key = map_key(other, i);
        if (key >= 0 && !map_add(m, key, 1)) return false;
    }
    return true;
}

static inline int64_t map_sum(const map *m) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < m->room; i++) sum += m->sums[i];
    return sum;
}

/* The key with the largest sum, the smallest of equals; -1 of none. */
static inline int32_t map_most(const map *m) {
    int32_t most = -1;
    int64_t sum = 0;
    for (uint32_t i = 0; i < m->room; i++) {
        int32_t key = map_key(m, i);
        if (key < 0 || m->sums[i] < sum || (m->sums[i] == sum && key > most)) continue;
        sum = m->sums[i];
        most = key;
    }
    return most;
}

static inline void map_clear(map *m) {
    if (m->room) memset(m->sums, 0, m->room * sizeof *m->sums);
    m->count = 0;
}

static inline void map_swap(map *m, map *other) {
    map kept = *m;
    *m = *other;
    *other = kept;
}

static inline void map_free(map *m) {
    if (budget) budget->slots -= m->room;
    free(m->sums);
    free(m->keys);
    memset(m, 0, sizeof *m);
}

#endif
