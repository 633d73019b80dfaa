/* The interpreter's calls into other functions, redirected. */
#ifndef TK_SLOTS_H
#define TK_SLOTS_H

#include <stddef.h>

typedef struct {
    const char *name;
    void *hook;
    int required;
} tk_hook;

const char *tk_slots_replace(const void *code, const tk_hook *hooks, size_t count);
void tk_slots_restore(void);

#endif
