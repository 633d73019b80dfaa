/* GILs of interpreters that have one of their own. */
#ifndef TK_OTHERS_H
#define TK_OTHERS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "slots.h"

extern int tk_others_known;    /* so many have been seen */
extern const tk_hook tk_others_hooks[];
extern const size_t tk_others_hook_count;

void tk_others_learn(const pthread_mutex_t *guard, const pthread_cond_t *cond);
/* What an interpreter calls with anything but the main GIL; 0: it is no GIL, and nothing was done. */
int tk_others_lock(pthread_mutex_t *mutex, int *error);
int tk_others_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until, int *error);
int tk_others_unlock(pthread_mutex_t *mutex, int *error);
int tk_others_signal(pthread_cond_t *cond, int *error);

void tk_others_end(void);
void tk_others_leave(int leaves);
void tk_others_forked(void);

#endif
