#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "regions.h"
#include "slots.h"

enum {
    BLOCK = 1024, MOST_BLOCKS = 1024, SERIALS = 1 << 11,
    MOST_NAMES = 1 << 14,
    BUCKETS = 1 << 12,
    MOST_TOLD = INT32_MAX,     /* of one file */
};
enum { ASKED = 1, ASKED_ONCE };
enum { YIELDED = 1 };          /* what PyIter_Send returns then */

typedef struct {
    uint64_t held, waited, causes[TK_CAUSES];
} totals;

/* A coroutine that an event loop runs, or a thread. */
typedef struct tk_task {
    struct tk_task *next;
    uintptr_t coroutine;       /* 0: a thread, or it has ended */
    const tk_count *on;        /* of the thread that runs it; NULL: none does */
    totals sum, mark;          /* before that thread got to it; what the thread had then */
    struct region *innermost;
    int ended;
} task;

typedef struct region {
    struct region *outer;      /* of the same task; of a free one the next that is free */
    task *of;
    uint64_t began;
    totals at;
    uint32_t name, serial, index;
    uint32_t file, told;       /* its number in this file */
    int is_over;               /* it has exceeded the limit, and a snapshot shows it */
    int mixed;                 /* it was not closed from the inside out: whose time it is, is not known */
} region;

/* `live.regions` reads these. */
typedef struct {
    uint64_t wall;
    totals totals;
    uint64_t known;
    double rate;               /* ns in one step of the clock */
} tk_region_result;

static region *blocks[MOST_BLOCKS];
static uint32_t block_count, open_tasks;
static region *free_regions;
static task *buckets[BUCKETS];
static tk_region_sum *sums[MOST_NAMES];
static uint32_t name_count;
static uint32_t told_file, told_count;
static uint32_t names_told[MOST_NAMES];  /* the last file that has each name */

static totals totals_of(const task *of, uint64_t now) {
    totals is = of->sum;
    const tk_count *on = of->on;
    if (on) {
        is.held += on->held + (on->acquired && now > on->acquired ? now - on->acquired : 0) - of->mark.held;
        is.waited += on->waited + (on->wanted && now > on->wanted ? now - on->wanted : 0) - of->mark.waited;
        for (int i = 0; i < TK_CAUSES; i++)
            is.causes[i] += on->causes[i] - of->mark.causes[i];
    }
    return is;
}

static void run(task *of, const tk_count *on, uint64_t now) {
    task thread = {.on = on};
    of->mark = totals_of(&thread, now);
    of->on = on;
}

static void suspend(task *of, uint64_t now) {
    of->sum = totals_of(of, now);
    of->on = NULL;
}

/* In a recording: what the thread works on from now on. A hold is told as that on which it worked longest at a stretch. */
static void work_on(tk_thread *self, uint32_t told, uint64_t now) {
    uint64_t stretch = now - (self->stretch > self->acquired ? self->stretch : self->acquired);
    if (stretch > self->long_stretch) {
        self->long_stretch = stretch;
        self->long_region = self->region;
    }
    self->region = told;
    self->stretch = now;
}

/* Under the guard; the RELEASE of this moment is written. */
void tk_tell_region(tk_thread *self, uint64_t now) {
    uint32_t region = self->region;
    work_on(self, region, now);
    if (self->long_region)
        tk_attribute(self, TK_REGION, self->long_region, 0);
    self->long_region = 0;
}

/* Its number in the file that is written; 0: there is none, or no room in it. */
static uint32_t number_of(region *which) {
    if (told_file != tk_the_gil.file) {
        told_file = tk_the_gil.file;
        told_count = 0;
    }
    if (which->file != told_file) {
        which->file = told_file;
        which->told = told_count < MOST_TOLD ? ++told_count : 0;
    }
    return which->told;
}

/* Under the guard. */
static void tell_name(uint32_t told, uint32_t name) {
    if (names_told[name] != tk_the_gil.file &&
        tk_raw_name_regions(name, sums[name]->name, (size_t)sums[name]->length))
        names_told[name] = tk_the_gil.file;
    tk_raw_region_is(told, name);
}

/* What its number means: known when it ends, for a request has its route late. */
static void define(const region *which) {
    if (!which->told || which->file != tk_the_gil.file || !tk_is_writing() || pthread_mutex_lock(tk_the_gil.guard))
        return;
    if (tk_is_writing())
        tell_name(which->told, which->name);
    pthread_mutex_unlock(tk_the_gil.guard);
}

/* Under the guard, perhaps without the GIL: those that are open, as they are called so far. */
void tk_regions_define(void) {
    for (uint32_t i = 0; i < TK_LOAD(block_count) * BLOCK && tk_is_writing(); i++) {
        const region *which = &blocks[i / BLOCK][i % BLOCK];
        uint32_t serial = __atomic_load_n(&which->serial, __ATOMIC_ACQUIRE);
        if (!__atomic_load_n(&which->of, __ATOMIC_ACQUIRE))
            continue;
        uint32_t told = TK_LOAD(which->told), name = TK_LOAD(which->name), number = TK_LOAD(which->file);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (told && number == tk_the_gil.file && TK_LOAD(which->of) && TK_LOAD(which->serial) == serial)
            tell_name(told, name);
    }
}

static void tell_current(tk_thread *self, uint64_t now) {
    task *of = self->task ? self->task : self->coroutine ? NULL : self->own_task;
    region *which = of ? of->innermost : NULL;
    if (self->file == tk_the_gil.file)
        work_on(self, which ? number_of(which) : 0, now);
}

static task **place_of(uintptr_t coroutine) {
    task **place = &buckets[(coroutine * 0x9e3779b97f4a7c15u >> 32) % BUCKETS];
    while (*place && (*place)->coroutine != coroutine)
        place = &(*place)->next;
    return place;
}

static task *task_now(tk_thread *self) {
    task **slot = self->coroutine ? &self->task : &self->own_task;
    if (*slot || !self->count || !(*slot = calloc(1, sizeof **slot)))
        return *slot;
    (*slot)->coroutine = self->coroutine;
    if (self->coroutine) {
        task **place = place_of(self->coroutine);
        (*slot)->next = *place;
        *place = *slot;
        open_tasks++;
    }
    run(*slot, self->count, tk_now());
    return *slot;
}

/* Nobody will run it again. It lives on while regions of it are open. */
static void end_task(task *of) {
    if (of->coroutine) {
        task **place = place_of(of->coroutine);
        if (*place == of) {
            *place = of->next;
            open_tasks--;
        }
        of->coroutine = 0;
    }
    of->ended = 1;
    if (!of->innermost)
        free(of);
}

/* A coroutine goes on, and stops. Most have no region open. */
static tk_thread *go_on(uintptr_t coroutine, uintptr_t *before) {
    tk_thread *self = &tk_self;
    *before = self->coroutine;
    if (TK_RARE(open_tasks)) {
        uint64_t now = tk_now();
        if (self->task)        /* one task that runs another at once */
            suspend(self->task, now);
        self->task = *place_of(coroutine);
        if (self->task && self->count)
            run(self->task, self->count, now);
        self->coroutine = coroutine;
        if (tk_is_writing())
            tell_current(self, now);
    }
    self->coroutine = coroutine;
    return self;
}

static void stop(tk_thread *self, uintptr_t before, int ended) {
    self->coroutine = before;
    if (TK_RARE(self->task || open_tasks)) {
        uint64_t now = tk_now();
        task *of = self->task;
        self->task = before ? *place_of(before) : NULL;
        if (of) {
            suspend(of, now);
            if (ended || !of->innermost)
                end_task(of);
        }
        if (self->task && self->count)
            run(self->task, self->count, now);
        if (tk_is_writing())
            tell_current(self, now);
    }
}

static int (*real_send)(void *, void *, void **);
static void *(*real_vectorcall)(void *, void *const *, size_t, void *);
static int follows;
static const void *throw_name; /* the interned string */

/* How the C of asyncio lets a coroutine go on. */
static int hook_send(void *coroutine, void *value, void **result) {
    uintptr_t before;
    tk_thread *self = go_on((uintptr_t)coroutine, &before);
    int end = real_send(coroutine, value, result);
    stop(self, before, end != YIELDED);
    return end;
}

static void *hook_vectorcall(void *name, void *const *arguments, size_t count, void *keywords) {
    if (name != throw_name)
        return real_vectorcall(name, arguments, count, keywords);
    uintptr_t before;
    tk_thread *self = go_on((uintptr_t)arguments[0], &before);
    void *result = real_vectorcall(name, arguments, count, keywords);
    stop(self, before, !result);
    return result;
}

/* module: a function of the C of asyncio. */
static void follow(const void *module) {
    static const tk_hook hooks[] = {
        {"PyIter_Send", hook_send, 1},
        {"PyObject_VectorcallMethod", hook_vectorcall, 1},
    };
    if (module && real_send && real_vectorcall && !follows)
        follows = !tk_slots_replace(module, hooks, sizeof hooks / sizeof *hooks);
}

/* The interpreter loads a module. */
static void *hook_load(const char *path, int flags) {
    void *loaded = dlopen(path, flags);
    if (loaded && path && strstr(path, "/_asyncio."))
        follow(dlsym(loaded, "PyInit__asyncio"));
    return loaded;
}

/* Follows the tasks of asyncio as soon as it is there. loaded: its PyInit function, if it is. throw: that string, interned.
   Call it once, when counting has begun. */
TK_PUBLIC void tk_tasks_follow(const void *loaded, const void *throw) {
    static const tk_hook hooks[] = {{"dlopen", hook_load, 0}};
    real_send = (int (*)(void *, void *, void **))dlsym(RTLD_DEFAULT, "PyIter_Send");
    real_vectorcall = (void *(*)(void *, void *const *, size_t, void *))dlsym(RTLD_DEFAULT, "PyObject_VectorcallMethod");
    throw_name = throw;
    follow(loaded);
    if (!loaded)
        tk_slots_replace(dlsym(RTLD_DEFAULT, "PyEval_SaveThread"), hooks, 1);
}

TK_PUBLIC int32_t tk_tasks_followed(void) {
    return follows;
}

/* The calling thread is in no task that was running before tasks were followed. loaded: the C of asyncio is there. */
TK_PUBLIC void tk_tasks_asked(int32_t loaded) {
    tk_self.asked = follows || !loaded ? ASKED : ASKED_ONCE;
}

static region *new_region(void) {
    if (!free_regions) {
        region *block = block_count < MOST_BLOCKS ? calloc(BLOCK, sizeof *block) : NULL;
        if (!block)
            return NULL;
        blocks[block_count] = block;
        for (uint32_t i = 0; i < BLOCK; i++)
            block[i] = (region){.outer = free_regions, .index = block_count * BLOCK + i, .serial = 1}, free_regions = &block[i];
        block_count++;
    }
    region *which = free_regions;
    free_regions = which->outer;
    return which;
}

/* handle: of tk_region_open. NULL: it was closed, or belongs to a process that forked this one. */
static region *region_of(int32_t handle) {
    uint32_t index = (uint32_t)handle % (BLOCK * MOST_BLOCKS), serial = (uint32_t)handle / (BLOCK * MOST_BLOCKS);
    region *which = handle > 0 && index / BLOCK < block_count ? &blocks[index / BLOCK][index % BLOCK] : NULL;
    return which && which->serial == serial && which->of ? which : NULL;
}

/* The number of a region's name. 0: that of all names beyond. */
TK_PUBLIC int32_t tk_region_name(const char *name, int32_t length) {
    if (!sums[0])
        sums[0] = calloc(1, sizeof **sums), sums[0]->length = 5, memcpy(sums[0]->name, "other", 5), name_count = 1;
    if (length > TK_REGION_NAME_BYTES)
        for (length = TK_REGION_NAME_BYTES; length && (name[length] & 0xc0) == 0x80; length--) {
        }
    for (uint32_t i = 1; i < name_count; i++)
        if (sums[i]->length == (uint64_t)length && !memcmp(sums[i]->name, name, (size_t)length))
            return (int32_t)i;
    if (name_count == MOST_NAMES || !(sums[name_count] = calloc(1, sizeof **sums)))
        return 0;
    sums[name_count]->length = (uint64_t)length;
    memcpy(sums[name_count]->name, name, (size_t)length);
    return (int32_t)name_count++;
}

/* Opens a region of the calling thread's task. 0: it is not counted. -1: the thread may be in a task that was running before
   tasks were followed, whose end will not be seen. */
TK_PUBLIC int32_t tk_region_open(int32_t name) {
    tk_thread *self = &tk_self;
    if (!(TK_LOAD(tk_the_gil.on) & TK_COUNTING))
        return 0;
    if (TK_RARE(!self->coroutine && self->asked != ASKED)) {
        if (!self->asked)
            return -1;
        self->asked = 0;
    }
    task *of = task_now(self);
    region *which = of ? new_region() : NULL;
    if (!which)
        return 0;
    which->began = tk_now();
    which->name = (uint32_t)name;
    which->outer = of->innermost;
    which->at = totals_of(of, which->began);
    which->file = which->told = 0;
    which->mixed = which->is_over = 0;
    __atomic_store_n(&which->of, of, __ATOMIC_RELEASE);  /* from now on tk_regions_define sees it */
    of->innermost = which;
    if (tk_is_writing())
        tell_current(self, which->began);
    return (int32_t)(which->serial * (BLOCK * MOST_BLOCKS) + which->index);
}

static void tell(const region *which, tk_region_result *into) {
    uint64_t now = tk_now();
    into->wall = now - which->began;
    into->totals = totals_of(which->of, now);
    into->totals.held -= which->at.held;
    into->totals.waited -= which->at.waited;
    for (int i = 0; i < TK_CAUSES; i++)
        into->totals.causes[i] -= which->at.causes[i];
    into->known = !which->mixed;
    into->rate = tk_clock_rate_so_far();
}

/* It is called otherwise than it was when it was opened. */
TK_PUBLIC void tk_region_rename(int32_t handle, int32_t name) {
    region *which = region_of(handle);
    if (which)
        which->name = (uint32_t)name;
}

/* What a region that is open held and waited so far. 0: it is not. */
TK_PUBLIC int32_t tk_region_read(int32_t handle, tk_region_result *into) {
    region *which = region_of(handle);
    if (which)
        tell(which, into);
    return which != NULL;
}

/* Closes it, and tells what it held and waited. 0: it is not open. */
TK_PUBLIC int32_t tk_region_close(int32_t handle, tk_region_result *into) {
    tk_thread *self = &tk_self;
    region *which = region_of(handle), **place;
    if (!which)
        return 0;
    task *of = which->of;
    int is_own = of == self->task || of == self->own_task;
    if (!is_own && pthread_mutex_lock(tk_the_gil.guard))  /* the other thread may be about to end */
        return 0;
    for (place = &of->innermost; *place && *place != which; place = &(*place)->outer)
        (*place)->mixed = which->mixed = 1;
    tell(which, into);
    define(which);
    if (*place)
        *place = which->outer;
    tk_region_sum *sum = sums[which->name];
    sum->regions++;
    sum->unknown += !into->known;
    sum->wall += into->wall;
    if (into->known) {
        sum->held += into->totals.held;
        sum->waited += into->totals.waited;
    }
    if (into->wall > sum->longest)
        sum->longest = into->wall;
    which->of = NULL;
    which->serial = which->serial % (SERIALS - 1) + 1;
    which->outer = free_regions;
    free_regions = which;
    if (is_own && tk_is_writing())
        tell_current(self, tk_now());
    if (of->ended && !of->innermost)
        free(of);
    if (!is_own)
        pthread_mutex_unlock(tk_the_gil.guard);
    return 1;
}

/* What all regions that were closed are in sum, by name. Returns how many names there are. */
TK_PUBLIC int32_t tk_region_sums(tk_region_sum *into, int32_t most) {
    for (uint32_t i = 0; i < name_count && i < (uint32_t)most; i++)
        into[i] = *sums[i];
    return (int32_t)name_count;
}

/* Without the GIL. Whether a region has exceeded its limit and is in no snapshot yet. */
int tk_region_over(uint64_t ns, char *reason, size_t room) {
    uint64_t now = tk_now(), most = (uint64_t)((double)ns / tk_clock_rate());
    for (uint32_t i = 0; i < TK_LOAD(block_count) * BLOCK; i++) {
        region *which = &blocks[i / BLOCK][i % BLOCK];
        uint64_t began = TK_LOAD(which->began);
        if (!TK_LOAD(which->of) || which->is_over || now < began || now - began < most)
            continue;
        which->is_over = 1;
        const tk_region_sum *sum = sums[which->name];
        snprintf(reason, room, "region_over: %.*s has lasted for %.0f ms", (int)sum->length, sum->name,
                 (double)(now - began) * tk_clock_rate() / 1e6);
        return 1;
    }
    return 0;
}

/* Under the guard. */
void tk_regions_thread_ends(tk_thread *self) {
    if (self->own_task) {
        suspend(self->own_task, tk_now());
        end_task(self->own_task);
    }
    self->own_task = NULL;
}

/* What was open in the parent is its own affair. The counts that tasks refer to are gone. */
void tk_regions_forked(void) {
    for (uint32_t i = 0; i < block_count * BLOCK; i++) {
        region *which = &blocks[i / BLOCK][i % BLOCK];
        if (which->of) {
            which->of = NULL;
            which->serial = which->serial % (SERIALS - 1) + 1;
            which->outer = free_regions;
            free_regions = which;
        }
    }
    for (uint32_t i = 0; i < BUCKETS; i++)
        while (buckets[i]) {
            task *next = buckets[i]->next;
            free(buckets[i]);
            buckets[i] = next;
        }
    for (uint32_t i = 0; i < name_count; i++) {
        tk_region_sum *sum = sums[i];
        sum->regions = sum->unknown = sum->wall = sum->held = sum->waited = sum->longest = 0;
    }
    open_tasks = 0;
    free(tk_self.own_task);
    tk_self.own_task = NULL;
    tk_self.task = NULL;
    tk_self.region = tk_self.long_region = 0;
}
