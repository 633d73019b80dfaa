/* Starts and stops a recording. Call these with the GIL held (ctypes.PyDLL). A string that is returned says why not.

   The library asks the interpreter for nothing but to let go of the GIL and take it back: once to learn which lock it is,
   once to begin at a moment at which nobody holds it, once to end at such a moment. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "control.h"
#include "counters.h"
#include "cpu.h"
#include "ending.h"
#include "follow.h"
#include "locks.h"
#include "new_gil.h"
#include "old_gil.h"
#include "others.h"
#include "regions.h"
#include "rights.h"
#include "room.h"
#include "roster.h"
#include "stacks.h"
#include "state.h"
#include "threads.h"
#include "watch.h"

static void *(*save_thread)(void);
static void (*restore_thread)(void *);
static void (*release_lock)(void), (*acquire_lock)(void);
static int old_gil, joined;

TK_PUBLIC int32_t tk_recorder_abi(void) {
    return 3;
}

static void let_go_and_take_back(void) {
    if (old_gil) {
        release_lock();
        acquire_lock();
    } else {
        restore_thread(save_thread());
    }
}

static void forks(void) {
    if (TK_LOAD(tk_the_gil.on))
        tk_raw_forks();
}

static void in_forked_child(void) {
    if (!tk_the_gil.on)
        return;
    tk_the_gil.pid = (uint32_t)getpid();
    if (joined && tk_is_writing())
        tk_raw_not_recorded("forked child", "the program ran already when its recording began");
    if (joined || tk_follow_how == TK_FOLLOW_NONE)  /* in the child of a joined one nobody would end it */
        TK_STORE(tk_the_gil.on, tk_the_gil.on & ~TK_WRITING);
    joined = 0;
    tk_the_gil.holder = tk_the_gil.last_holder = NULL;
    tk_the_gil.drop_request = 0;
    tk_the_gil.waiting = 0;
    tk_the_gil.late = NULL;
    tk_the_gil.recording++;
    tk_regions_forked();
    tk_counts_forked();
    tk_threads_anew();
    tk_raw_forked();
    tk_others_forked();
    tk_stacks_forked();
    tk_watch_forked();
    if (old_gil)
        tk_old_gil_forked();
}

/* Finds the GIL and redirects the calls. old: the GIL of Python 2. */
static const char *find(int old) {
    const char *wrong = NULL;
    old_gil = old;
    save_thread = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyEval_SaveThread");
    restore_thread = (void (*)(void *))dlsym(RTLD_DEFAULT, "PyEval_RestoreThread");
    release_lock = (void (*)(void))dlsym(RTLD_DEFAULT, "PyEval_ReleaseLock");
    acquire_lock = (void (*)(void))dlsym(RTLD_DEFAULT, "PyEval_AcquireLock");
    if (!save_thread || !restore_thread || (old && (!release_lock || !acquire_lock)))
        return "the process has no CPython interpreter in it";
    if (old)
        wrong = tk_old_gil_prepare();
    tk_slots_restore();        /* a forked child may have its parent's */
    if (!wrong)
        wrong = tk_slots_replace(save_thread, old ? tk_old_gil_hooks : tk_new_gil_hooks,
                                 old ? tk_old_gil_hook_count : tk_new_gil_hook_count);
    if (!wrong)
        wrong = tk_slots_replace(save_thread, tk_lock_hooks, tk_lock_hook_count);
    if (wrong)
        return wrong;
    wrong = old ? tk_old_gil_learn(release_lock, acquire_lock) : tk_new_gil_learn(save_thread, restore_thread);
    if (!wrong)
        wrong = tk_slots_replace(save_thread, tk_follow_hooks, tk_follow_hook_count);
    if (!wrong)
        wrong = tk_slots_replace(save_thread, tk_rights_hooks, tk_rights_hook_count);
    if (!wrong && !old)
        wrong = tk_slots_replace(save_thread, tk_others_hooks, tk_others_hook_count);
    if (wrong)
        tk_slots_restore();
    return wrong;
}

static void forget(void) {
    TK_STORE(tk_the_gil.guard, NULL);
    TK_STORE(tk_the_gil.cond, NULL);
    tk_slots_restore();
}

/* Makes ready to follow the GIL, if it is not followed. NULL, or why it cannot be. */
static const char *prepare(int old) {
    if (TK_LOAD(tk_the_gil.on))
        return NULL;
    tk_clock_choose();
    tk_threads_prepare();
    const char *wrong = find(old);
    if (!wrong)
        tk_cpu_prepare();
    return wrong;
}

/* This is done with events as soon as the calling thread lets go of the GIL. */
static void change_later(int next) {
    static int prepared;
    if (!prepared) {
        pthread_atfork(NULL, forks, in_forked_child);
        atexit(tk_finish);
        prepared = 1;
    }
    if (!TK_LOAD(tk_the_gil.on)) {
        tk_the_gil.pid = (uint32_t)getpid();
        tk_the_gil.recording++;
        TK_STORE(tk_the_gil.holder, NULL);
        tk_the_gil.last_holder = NULL;
        tk_the_gil.drop_request = 0;
        tk_the_gil.waiting = 0;
        if (old_gil)
            tk_old_gil_take_over();
    }
    tk_the_gil.next = next;
    tk_the_gil.changer = &tk_self;
}

/* From now on. 0: the GIL cannot be followed. */
static int change(int next) {
    change_later(next);
    let_go_and_take_back();
    return TK_LOAD(tk_the_gil.on) == next;
}

typedef struct {
    char base[4096];
    char *metadata;
    uint64_t metadata_bytes, max_bytes;
} target;

/* What is recorded into while nobody asks for a recording. */
static target ring;
static int in_ring;

static void end_file(void) {
    if (!pthread_mutex_lock(tk_the_gil.guard)) {
        tk_regions_define();
        tk_threads_end();
        pthread_mutex_unlock(tk_the_gil.guard);
    }
    change(tk_the_gil.on & ~TK_WRITING);
    tk_others_end();
    tk_stacks_end();
    tk_raw_close(1);
}

static void leave_ring(void) {
    if (in_ring)
        end_file();
    in_ring = 0;
}

/* Once nothing else is recorded. NULL, or why it cannot be. */
static const char *go_on_in_ring(void) {
    if (!ring.base[0] || tk_is_writing())
        return NULL;
    const char *wrong = tk_raw_open(ring.base, ring.metadata, ring.metadata_bytes, ring.max_bytes, old_gil);
    if (wrong)
        return wrong;
    tk_stacks_begin();
    tk_threads_anew();
    tk_locks_anew();
    in_ring = change(tk_the_gil.on | TK_WRITING);
    if (in_ring)
        return NULL;
    tk_stacks_end();
    tk_raw_discard();
    return "the interpreter's GIL could not be followed";
}

/* All but the beginning. max_bytes: of a ring that keeps the newest events, or 0. *no_file: the interpreter can be recorded,
   but the file cannot be written. */
static const char *open_recording(const char *base, const char *metadata, uint64_t metadata_bytes, uint64_t max_bytes,
                                  int32_t old, int32_t *no_file) {
    *no_file = 0;
    if ((tk_is_writing() && !in_ring) || joined)
        return "a recording is already running in this process";
    const char *wrong = prepare(old);
    if (wrong)
        return wrong;
    leave_ring();
    wrong = tk_raw_open(base, metadata, metadata_bytes, max_bytes, old);
    if (wrong) {
        *no_file = 1;
        go_on_in_ring();
        if (!tk_the_gil.on)
            forget();
        return wrong;
    }
    tk_stacks_begin();
    tk_threads_anew();
    tk_locks_anew();
    return NULL;
}

/* Starts to record into BASE.raw. */
TK_PUBLIC const char *tk_record_start(const char *base, const char *metadata, uint64_t metadata_bytes, uint64_t max_bytes,
                                      int32_t old, int32_t *no_file) {
    const char *wrong = open_recording(base, metadata, metadata_bytes, max_bytes, old, no_file);
    if (wrong || change(tk_the_gil.on | TK_WRITING))
        return wrong;
    tk_stacks_end();
    tk_raw_discard();
    go_on_in_ring();
    if (!tk_the_gil.on)
        forget();
    return "the interpreter's GIL could not be followed";
}

/* The file into which this process' events go; NULL: there is none, or it is a ring's. */
TK_PUBLIC const char *tk_record_file(void) {
    return tk_is_writing() && !in_ring ? tk_the_room.path : NULL;
}

/* In mid-run, from a thread that is none of the program's: all but tk_record_go. names: lines `TID NAME` of the threads that
   there are. */
TK_PUBLIC const char *tk_record_join(const char *base, const char *metadata, uint64_t metadata_bytes, uint64_t max_bytes,
                                     const char *names, int32_t *no_file) {
    tk_raw_belongs(0, 0, 1);   /* what it starts is not recorded, but named */
    const char *wrong = open_recording(base, metadata, metadata_bytes, max_bytes, 0, no_file);
    tk_raw_belongs(0, 0, 0);
    if (wrong)
        return wrong;
    joined = 1;
    for (const char *end; *names && (end = strchr(names, '\n')); names = end + 1) {
        char *name;
        uint32_t tid = (uint32_t)strtoul(names, &name, 10);
        if (*name == ' ' && ++name < end)
            tk_roster_name(TK_NAME, UINT32_MAX, tid, name, (size_t)(end - name));
    }
    return NULL;
}

/* It begins when this thread lets go of the GIL next, so that its first event is the ACQUIRE of who takes it then. */
void tk_record_go(void) {
    if (joined)
        change_later(tk_the_gil.on | TK_WRITING);
}

/* Ends it, without the GIL: under the guard nobody writes. Whoever holds the GIL has its last RELEASE now. */
void tk_record_halt(void) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    if (!guard || pthread_mutex_lock(guard))
        return;
    if (joined && tk_is_writing()) {
        if (tk_the_gil.holder)
            tk_event(tk_the_gil.holder, TK_RELEASE, tk_now(), TK_NO_TICKS);
        tk_regions_define();
        tk_threads_end();
        TK_STORE(tk_the_gil.on, tk_the_gil.on & ~TK_WRITING);
        tk_others_end();
        tk_raw_close(1);
    }
    pthread_mutex_unlock(guard);
}

/* After tk_record_halt, with the GIL: puts back what was redirected if nothing is counted. */
void tk_record_leave(void) {
    if (!joined)
        return;
    joined = 0;
    tk_stacks_end();
    go_on_in_ring();
    if (!tk_the_gil.on)
        forget();
}

/* Records into a ring, BASE.raw, for as long as the process lives and whenever it is not recorded into another file. */
TK_PUBLIC const char *tk_ring_start(const char *base, const char *metadata, uint64_t metadata_bytes, uint64_t max_bytes,
                                    int32_t old, int32_t *no_file) {
    const char *wrong = prepare(old);
    *no_file = strlen(base) >= sizeof ring.base;
    if (*no_file || wrong)
        return wrong ? wrong : strerror(ENAMETOOLONG);
    free(ring.metadata);
    if (!(ring.metadata = malloc(metadata_bytes + 1)))
        return strerror(ENOMEM);
    strcpy(ring.base, base);
    memcpy(ring.metadata, metadata, metadata_bytes);
    ring.metadata_bytes = metadata_bytes;
    ring.max_bytes = max_bytes;
    wrong = go_on_in_ring();
    if (wrong) {
        ring.base[0] = 0;
        *no_file = 1;
        if (!tk_the_gil.on)
            forget();
    }
    return wrong;
}

TK_PUBLIC void tk_ring_stop(void) {
    ring.base[0] = 0;
    leave_ring();
    if (!tk_the_gil.on)
        forget();
}

/* Other objects than the interpreter start programs and change limits, too. */
TK_PUBLIC void tk_calls_of(const void *code) {
    tk_slots_replace(code, tk_follow_hooks, tk_follow_hook_count);
    tk_slots_replace(code, tk_rights_hooks, tk_rights_hook_count);
}

/* Stops it, and puts back what was redirected if nothing is counted. Only of the new GIL. Returns 0 where nothing was
   being recorded. */
TK_PUBLIC int32_t tk_record_stop(void) {
    if (old_gil || joined || !tk_is_writing() || in_ring)
        return 0;
    end_file();
    go_on_in_ring();
    if (!tk_the_gil.on)
        forget();
    return 1;
}

/* Starts to count, for as long as the process lives. NULL, or why it cannot be. */
TK_PUBLIC const char *tk_count_start(int32_t old) {
    if (TK_LOAD(tk_the_gil.on) & TK_COUNTING)
        return NULL;
    const char *wrong = prepare(old);
    if (!wrong && !change(tk_the_gil.on | TK_COUNTING)) {
        wrong = "the interpreter's GIL could not be followed";
        if (!tk_the_gil.on)
            forget();
    }
    return wrong;
}
