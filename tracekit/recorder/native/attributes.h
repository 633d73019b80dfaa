/* Attributes of events, as records behind them. Under the guard, but for tk_late. */
#ifndef TK_ATTRIBUTES_H
#define TK_ATTRIBUTES_H

#include "state.h"
#include "writer.h"

void tk_attribute(const tk_thread *self, uint32_t code, uint64_t value, uint32_t other);
void tk_late(tk_thread *self, uint32_t code, uint32_t value);
void tk_tell_late(void);
void tk_tell_unlocks(tk_thread *self);

#endif
