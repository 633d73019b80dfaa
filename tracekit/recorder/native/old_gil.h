#ifndef TK_OLD_GIL_H
#define TK_OLD_GIL_H

#include "slots.h"

extern const tk_hook tk_old_gil_hooks[];
extern const size_t tk_old_gil_hook_count;
const char *tk_old_gil_prepare(void);
const char *tk_old_gil_learn(void (*release)(void), void (*acquire)(void));
void tk_old_gil_take_over(void);
void tk_old_gil_forked(void);

#endif
