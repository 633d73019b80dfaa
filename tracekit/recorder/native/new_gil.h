#ifndef TK_NEW_GIL_H
#define TK_NEW_GIL_H

#include "slots.h"

extern const tk_hook tk_new_gil_hooks[];
extern const size_t tk_new_gil_hook_count;
const char *tk_new_gil_learn(void *(*save)(void), void (*restore)(void *));

#endif
