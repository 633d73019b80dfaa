/* What was lost by stacks: see stacks.c. */
#ifndef TRACEKIT_STACKS_H
#define TRACEKIT_STACKS_H

#include "core.h"

/* The one that nobody told, and the one that a trace gives no room for. */
enum { NO_STACK = 0 };

/* A key -> a sum above 0. */
typedef struct {
    uint64_t *keys;
    int64_t *sums; /* 0: free */
    uint32_t room, count;
} wide_map;

bool wide_add(wide_map *m, uint64_t key, int64_t amount);
bool wide_add_all(wide_map *m, const wide_map *other);
void wide_clear(wide_map *m);
void wide_free(wide_map *m);

/* Stacks by their codes here. cause: of a wait whose cause is undecided its number is above those of the causes. */
typedef struct { int32_t waiter, waiter_stack, holder, holder_stack, cause; } stack_key;

typedef struct {
    stack_key key;
    int32_t next; /* of the undecided ones of its waiter: one more than its place, -1: the last; 0: it is none */
    int64_t duration, waits, wait;
    int32_t moved;
} stack_row;

/* So many waits have time in each of these rows. */
typedef struct { uint32_t first, count; int32_t next; int64_t waits; } stack_set;

/* What of a waiter is undecided. */
typedef struct { int32_t rows, sets; } undecided_stacks;

typedef struct {
    TK_VECTOR(int64_t) ids; /* of the codes from 1 on */
    TK_VECTOR(stack_row) rows;
    TK_VECTOR(stack_set) sets;
    TK_VECTOR(int32_t) members;
    uint32_t *id_places, *row_places, *set_places; /* hashed; 0: free, else one more than the index */
    uint32_t id_mask, row_mask, set_mask;
    TK_VECTOR(int32_t) touched[3]; /* rows of the wait that is being charged, by its classes of holds */
    int64_t wait;
    TK_VECTOR(tk_stack_blame) blame;
    TK_VECTOR(tk_shared_waits) shared;
} stacks;

/* False, or -1: no memory. */
int32_t stacks_code(stacks *all, int64_t id);
int64_t stacks_id(const stacks *all, int32_t code);
void stacks_begin_wait(stacks *all);
bool stacks_charge(stacks *all, const stack_key *key, int class, int64_t held);
/* undecided: of the waiter, where rows of `class` 0 are. */
bool stacks_end_wait(stacks *all, undecided_stacks *undecided);
/* What was lost before the trace told a stack. The row's place; -1. */
int32_t stacks_add(stacks *all, const stack_key *key, int64_t duration, int64_t waits);
/* Of these waits, two rows that become one count some twice. */
bool stacks_share(stacks *all, int32_t one, int32_t other, int64_t waits, undecided_stacks *undecided);
void stacks_set_aside(stacks *all, int32_t row, undecided_stacks *undecided);
/* The undecided rows get their causes: by what they are undecided between. */
bool stacks_decide(stacks *all, undecided_stacks *undecided, const int32_t *causes, int32_t first_undecided);
const tk_stack_blame *stacks_blame(stacks *all, int64_t *count);
const tk_shared_waits *stacks_shared(stacks *all, int64_t *count);
void stacks_free(stacks *all);

#endif
