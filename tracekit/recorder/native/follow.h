/* What the program starts. */
#ifndef TK_FOLLOW_H
#define TK_FOLLOW_H

#include <stddef.h>

#include "slots.h"

enum { TK_FOLLOW_NONE, TK_FOLLOW_FORKS, TK_FOLLOW_ALL };

extern const tk_hook tk_follow_hooks[];
extern const size_t tk_follow_hook_count;
extern int tk_follow_how;

#endif
