/* The moments at which the program gives up what the recorder needs to open its file. */
#ifndef TK_RIGHTS_H
#define TK_RIGHTS_H

#include "slots.h"

extern const tk_hook tk_rights_hooks[];
extern const size_t tk_rights_hook_count;

#endif
