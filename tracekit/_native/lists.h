/* Lists of threads, each at most once, in an order. */
#ifndef TRACEKIT_LISTS_H
#define TRACEKIT_LISTS_H

#include <stdbool.h>
#include <stdint.h>

enum { LIST_END = -1, NOT_LISTED = -2 };

typedef struct {
    int32_t first, last;
    int32_t *next, *before; /* by thread; NOT_LISTED: it is not in this one */
} list;

/* places: room for twice as many as there are threads. */
static inline list list_of(int32_t *places, int32_t threads) {
    for (int32_t i = 0; i < threads; i++) places[i] = NOT_LISTED;
    return (list){LIST_END, LIST_END, places, places + threads};
}

static inline bool listed(const list *all, int32_t x) { return all->next[x] != NOT_LISTED; }

static inline void list_append(list *all, int32_t x) {
    all->next[x] = LIST_END;
    all->before[x] = all->last;
    if (all->last == LIST_END) all->first = x;
    else all->next[all->last] = x;
    all->last = x;
}

static inline void list_prepend(list *all, int32_t x) {
    all->before[x] = LIST_END;
    all->next[x] = all->first;
    if (all->first == LIST_END) all->last = x;
    else all->before[all->first] = x;
    all->first = x;
}

static inline void list_drop(list *all, int32_t x) {
    if (all->before[x] == LIST_END) all->first = all->next[x];
    else all->next[all->before[x]] = all->next[x];
    if (all->next[x] == LIST_END) all->last = all->before[x];
    else all->before[all->next[x]] = all->before[x];
    all->next[x] = NOT_LISTED;
}

#endif
