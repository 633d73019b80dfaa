/* Takes mutexes and conditions of its own, wildly, and calls Python from threads that are not Python's. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <time.h>

enum { THREADS = 8, TURNS = 2000 };

static pthread_mutex_t mutexes[] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                    PTHREAD_MUTEX_INITIALIZER};
static pthread_cond_t conditions[] = {PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER,
                                      PTHREAD_COND_INITIALIZER};

static void *wild(void *number) {
    for (uintptr_t turn = 0; turn < TURNS; turn++) {
        pthread_mutex_t *mutex = &mutexes[(turn + (uintptr_t)number) % 4];
        pthread_cond_t *condition = &conditions[(turn + (uintptr_t)number) % 4];
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        pthread_mutex_lock(mutex);
        if (turn % 100 == 0)
            pthread_cond_timedwait(condition, mutex, &until);
        pthread_cond_signal(condition);
        if (turn % 7 == 0)
            pthread_cond_broadcast(condition);
        pthread_mutex_unlock(mutex);
    }
    return 0;
}

static void in_threads(void *(*work)(void *), void *argument) {
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], 0, work, argument ? argument : (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], 0);
}

void take_locks(void) {
    in_threads(wild, 0);
}

static void *call(void *callback) {
    pthread_setname_np(pthread_self(), "native");
    ((void (*)(void))(uintptr_t)callback)();
    return 0;
}

void call_back(void (*callback)(void)) {
    in_threads(call, (void *)(uintptr_t)callback);
}
