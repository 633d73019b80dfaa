#include "state.h"

__thread tk_thread tk_self;
tk_gil tk_the_gil;
