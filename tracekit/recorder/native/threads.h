/* Who the threads are: their numbers, their system ids, their names. All but tk_threads_prepare under the guard. */
#ifndef TK_THREADS_H
#define TK_THREADS_H

#include "state.h"

enum { TK_COMM_BYTES = 16 };

size_t tk_thread_comm(char comm[TK_COMM_BYTES]);
void tk_threads_prepare(void);
void tk_threads_anew(void);
void tk_thread_begin(tk_thread *self);
void tk_thread_number(tk_thread *self);
void tk_threads_end(void);
void tk_thread_tell(const tk_thread *self);

#endif
