/* Stacks as numbers: each is its caller's number, a code and a line, told in the file once. Under the guard. */
#ifndef TK_NODES_H
#define TK_NODES_H

#include <stddef.h>
#include <stdint.h>

enum { TK_MOST_FRAMES = 128, TK_MOST_ADDRESSES = 128 };

typedef struct {
    uintptr_t frame, code;
    int64_t instruction;
} tk_frame;

/* A stack as it was last seen, outermost frame first: what is still the same need not be looked up again. */
typedef struct tk_trail {
    uint64_t epoch;
    uint32_t depth;
    uint32_t address_count;
    uintptr_t addresses[TK_MOST_ADDRESSES];  /* where it had frames lately, ascending */
    uint32_t looks, seen[TK_MOST_ADDRESSES];  /* how often it was looked at, and which of these saw a frame there last */
    uintptr_t inner;           /* what the thread state pointed to, where it does not point to the frame */
    struct {
        uintptr_t frame, code;
        int32_t instruction;
        uint32_t stack;
    } steps[TK_MOST_FRAMES];
} tk_trail;

const char *tk_codes_can_be_followed(void);
void tk_nodes_begin(void);
void tk_nodes_forked(void);
void tk_nodes_end(void);
uint32_t tk_stack_number(tk_trail *trail, const tk_frame *frames, size_t count);

#endif
