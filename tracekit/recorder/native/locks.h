/* Locks of the interpreter other than the GIL: who gives the GIL up to wait for one, and who unlocks it. */
#ifndef TK_LOCKS_H
#define TK_LOCKS_H

#include "slots.h"

extern const tk_hook tk_lock_hooks[];
extern const size_t tk_lock_hook_count;
void tk_locks_anew(void);

#endif
