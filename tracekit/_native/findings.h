/* What the state machine collects for the analyzers: findings and distributions. See findings.c. */
#ifndef TRACEKIT_FINDINGS_H
#define TRACEKIT_FINDINGS_H

#include "core.h"

/* The findings of one kind: all counted and summed by their threads, the costliest kept. */
typedef struct {
    int64_t count;
    TK_VECTOR(tk_finding) kept; /* a heap with the cheapest on top, once it is full */
    TK_VECTOR(tk_finding_group) groups;
    uint32_t *places; /* of the groups, by their threads; 0: free, else one more than the index */
    uint32_t places_mask;
} findings;

void findings_free(findings *all);

/* False: no memory. */
bool findings_add(findings *all, const tk_finding *found, int64_t worst);

/* How often each value came. */
typedef struct {
    int64_t *values, *counts; /* a count of 0: free */
    size_t mask, distinct;
    int64_t last, repeated;   /* a run of the same value is counted here first */
    int64_t most;
} histogram;

/* What all histograms of a timeline share: how many distinct values they may still keep apart. */
typedef struct {
    int64_t left;
    bool coarse; /* none: since then, values were rounded down to 8 significant bits */
} distinct_values;

bool histogram_flush(histogram *h, distinct_values *distinct);

/* False: no memory. */
static inline bool histogram_add(histogram *h, int64_t value, distinct_values *distinct) {
    if (value == h->last && h->repeated) {
        h->repeated++;
        return true;
    }
    bool fine = !h->repeated || histogram_flush(h, distinct);
    h->last = value;
    h->repeated = 1;
    return fine;
}

/* Count, quantiles and maximum of what was flushed; count 0 where there is nothing. */
bool histogram_describe(const histogram *h, tk_distribution *out);

/* A bucket: an eighth to a quarter of its values wide, so four from one power of two to the next. */
typedef struct { int64_t low, high, count; } bucket;
enum { BUCKETS = 4 * 64 };
/* Fills the buckets that are not empty, in order, and gives their number. */
int histogram_buckets(const histogram *h, bucket out[BUCKETS]);
void histogram_free(histogram *h);

#endif
