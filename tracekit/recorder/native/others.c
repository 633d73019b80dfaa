/* Interpreters with a GIL of their own (Python 3.12 on): each such GIL is recorded into a file of its own, BASE.interp-1.raw.

   It is a mutex and a condition that lie as far apart as the main GIL's. One is made when its interpreter initializes such a
   condition; it is never destroyed, only its memory freed. One that was there before the recording is found when a thread waits
   for it.
   Threads of several interpreters run at once, so all that belongs to a GIL is guarded by its own mutex. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "others.h"
#include "room.h"
#include "state.h"
#include "threads.h"
#include "writer.h"

enum { MOST = 1024, CHUNK_BYTES = 1 << 14 };

typedef struct {
    pthread_mutex_t *guard;
    pthread_cond_t *cond;
    const void *holder, *last_holder;
    int drop_request, full, is_new;
    uint32_t interpreter;
    uint32_t file, pid;        /* its file is part of this recording of the process */
    uint32_t serial, threads;  /* counts the files of all; so many threads are told in this one */
    uint64_t switches, last, zero, checks, event_chunks, thread_chunks;
    tk_room room;
    tk_header *header;
    tk_chunk *events, *names;
    uint32_t *tids;            /* of its threads, by number */
} other;

int tk_others_known;
static other others[MOST];
static int used;               /* places from here on were never used */
static uint32_t interpreters;  /* that have had a GIL of their own */
static uint32_t serials;
static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;
static ptrdiff_t apart;        /* from a GIL's condition to its mutex; 0: not known, or this Python has one GIL only */
static const pthread_cond_t *main_cond;  /* a forked child makes it anew */

/* What the calling thread does with one of them. */
static __thread struct {
    other *of;
    uint32_t serial, number;
    uint64_t last;
    int state;
    const pthread_cond_t *made;  /* the condition that it made last */
} mine __attribute__((tls_model("initial-exec")));

void tk_others_learn(const pthread_mutex_t *guard, const pthread_cond_t *cond) {
    TK_STORE(main_cond, cond);
    TK_STORE(apart, dlsym(RTLD_DEFAULT, "Py_NewInterpreterFromConfig") ? (const char *)guard - (const char *)cond : 0);
}

static other *find(const pthread_mutex_t *guard) {
    other *of = mine.of;
    if (of && TK_LOAD(of->guard) == guard)
        return of;
    for (int i = 0, count = TK_LOAD(used); i < count; i++)
        if (TK_LOAD(others[i].guard) == guard)
            return &others[i];
    return NULL;
}

/* Whether this recording tells it. */
static int is_current(const other *of) {
    return of->file == tk_the_gil.file && of->pid == tk_the_gil.pid;
}

static off_t place_of(const other *of, uint32_t chunk) {
    return (off_t)of->header->header_bytes + (off_t)chunk * CHUNK_BYTES;
}

static tk_chunk *new_chunk(other *of, uint32_t kind, uint64_t order) {
    uint32_t number = of->header->chunks;
    tk_chunk *chunk = tk_room_part(&of->room, place_of(of, number), CHUNK_BYTES, 1);
    if (!chunk) {
        of->full = 1;
        of->header->lost_why = (uint32_t)errno;
        return NULL;
    }
    *chunk = (tk_chunk){.kind = kind, .order = order, .checks = of->checks};
    __atomic_store_n(&of->header->chunks, number + 1, __ATOMIC_RELEASE);
    return chunk;
}

static void close_file(other *of, uint32_t stopped) {
    if (!of->header)
        return;
    off_t end = place_of(of, of->header->chunks);
    size_t head = of->header->header_bytes;
    tk_raw_note_clock(of->header, of->zero);
    of->header->stopped = stopped;
    if (of->events)
        tk_room_leave(&of->room, of->events, CHUNK_BYTES);
    if (of->names)
        tk_room_leave(&of->room, of->names, CHUNK_BYTES);
    tk_room_leave(&of->room, of->header, head);
    tk_room_end(&of->room, end);
    free(of->tids);
    of->tids = NULL;
    of->header = NULL;
    of->events = of->names = NULL;
}

/* is_new: its interpreter has just been made, where another may have been; nobody holds it. */
static void add(pthread_cond_t *cond, int is_new) {
    pthread_mutex_t *guard = (pthread_mutex_t *)((char *)cond + TK_LOAD(apart));
    pthread_mutex_lock(&list);
    other *of = find(guard);
    if (!of && used < MOST) {
        of = &others[used];
        of->cond = cond;
        of->interpreter = ++interpreters;
        of->is_new = is_new;
        TK_STORE(of->guard, guard);
        TK_STORE(used, used + 1);
        TK_STORE(tk_others_known, used);
    } else if (!of) {
        tk_raw_not_recorded("interpreter", "there were too many of them");
    } else if (is_new) {
        close_file(of, TK_STOPPED);
        of->file = 0;
        of->holder = of->last_holder = NULL;
        of->interpreter = ++interpreters;
        of->is_new = 1;
    }
    pthread_mutex_unlock(&list);
}

/* Nobody holds it: from now on it is recorded, into a file of its own. */
static void begin(other *of) {
    int before = errno;
    close_file(of, TK_STOPPED);
    of->file = tk_the_gil.file;
    of->pid = tk_the_gil.pid;
    of->threads = 0;
    of->serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
    of->switches = of->checks = of->event_chunks = of->thread_chunks = 0;
    of->holder = of->last_holder = NULL;
    of->drop_request = 0;
    of->zero = tk_now();
    of->last = of->zero;
    of->is_new = 0;
    pthread_mutex_lock(tk_the_gil.guard);
    if (tk_is_writing() && tk_out.header) {
        of->header = tk_raw_open_other(&of->room, of->interpreter, of->zero, CHUNK_BYTES);
        of->full = !of->header || !(of->names = new_chunk(of, TK_THREADS, of->thread_chunks++)) ||
                   !(of->events = new_chunk(of, TK_EVENTS, of->event_chunks++));
        if (of->full) {
            tk_raw_not_recorded("interpreter", strerror(errno));
            if (of->header)
                unlink(of->room.path);
            close_file(of, 0);
        }
    }
    pthread_mutex_unlock(tk_the_gil.guard);
    errno = before;
}

/* The calling thread's number in the file. 0: it cannot be told. */
static int number_self(other *of) {
    enum { MOST_NAMES = (CHUNK_BYTES - sizeof(tk_chunk)) / sizeof(tk_thread_record) };
    const tk_thread *self = &tk_self;
    uint32_t tid = (uint32_t)syscall(SYS_gettid), number = 0;
    mine.of = of;
    mine.serial = of->serial;
    mine.last = of->zero;
    mine.state = TK_IDLE;
    while (number < of->threads && of->tids[number] != tid)
        number++;
    mine.number = number;
    if (number < of->threads)
        return 1;
    if (of->names->count == MOST_NAMES) {
        tk_chunk *next = new_chunk(of, TK_THREADS, of->thread_chunks);
        if (!next)
            return 0;
        tk_room_leave(&of->room, of->names, CHUNK_BYTES);
        of->names = next;
        of->thread_chunks++;
    }
    uint32_t *more = realloc(of->tids, (number + 1) * sizeof *more);
    if (!more)
        return 0;
    of->tids = more;
    of->tids[of->threads++] = tid;
    tk_thread_record *record = (tk_thread_record *)(of->names + 1) + of->names->count;
    *record = (tk_thread_record){.kind = TK_NEW_THREAD, .thread = number, .tid = tid, .length = self->name_length};
    memcpy(record->text, self->name, self->name_length);
    if (!self->name_length)
        record->length = (uint32_t)tk_thread_comm(record->text);
    __atomic_store_n(&of->names->count, of->names->count + 1, __ATOMIC_RELEASE);
    return 1;
}

static void write_record(other *of, uint64_t value, uint32_t code) {
    enum { MOST_RECORDS = (CHUNK_BYTES - sizeof(tk_chunk)) / sizeof(tk_record) };
    int before = errno;
    if (!of->full && of->events->count == MOST_RECORDS) {
        tk_chunk *next = new_chunk(of, TK_EVENTS, of->event_chunks);
        if (next) {
            tk_room_leave(&of->room, of->events, CHUNK_BYTES);
            of->events = next;
            of->event_chunks++;
            tk_raw_note_clock(of->header, of->zero);
        }
    }
    errno = before;
    if (of->full) {
        of->header->lost += code < TK_ATTRIBUTE;
        return;
    }
    tk_record *record = (tk_record *)(of->events + 1) + of->events->count;
    *record = (tk_record){.stamp = value << 8 | code, .thread = mine.number, .ticks = TK_NO_TICKS};
    of->events->attributes += code >= TK_ATTRIBUTE;
    __atomic_store_n(&of->events->count, of->events->count + 1, __ATOMIC_RELEASE);
}

/* What the calling thread did. Under its guard. */
static void tell(other *of, uint32_t code, uint64_t clock) {
    int before = errno;
    if (of->header && (mine.of != of || mine.serial != of->serial) && !number_self(of))
        of->full = 1;
    errno = before;
    if (!of->header)
        return;
    if (clock < of->zero)
        clock = of->zero;
    if (code != TK_ENTRY) {
        if (clock < of->last)
            clock = of->last;
        of->last = clock;
    } else if (clock < mine.last) {
        clock = mine.last;
    }
    mine.last = clock;
    of->checks += (code & TK_CHECK) != 0;
    write_record(of, clock - of->zero, code);
}

static int is_recorded(void) {
    return TK_LOAD(tk_the_gil.on) & TK_WRITING && !tk_the_gil.ticker;
}

int tk_others_lock(pthread_mutex_t *mutex, int *error) {
    other *of = find(mutex);
    if (!of || !is_recorded())
        return 0;
    uint64_t clock = tk_now();
    *error = pthread_mutex_lock(mutex);
    if (of->is_new && !is_current(of))
        begin(of);
    if (is_current(of) && of->holder != &mine) {
        tell(of, TK_ENTRY, clock);
        mine.state = TK_TAKING;
    }
    return 1;
}

int tk_others_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until, int *error) {
    if (!TK_LOAD(apart) || (char *)mutex - (char *)cond != TK_LOAD(apart) || !is_recorded())
        return 0;
    other *of = find(mutex);
    if (!of) {                 /* it was there before this recording */
        add(cond, 0);
        of = find(mutex);
    }
    if (!of)
        return 0;
    if (is_current(of)) {
        int again = mine.of == of && mine.serial == of->serial && mine.state == TK_WAITING;
        tell(of, again ? TK_RETRY : TK_BUSY, tk_now());
        mine.state = TK_WAITING;
    }
    uint64_t switches = of->switches;
    *error = pthread_cond_timedwait(cond, mutex, until);
    if (*error == ETIMEDOUT && of->holder && switches == of->switches)
        of->drop_request = 1;
    return 1;
}

int tk_others_unlock(pthread_mutex_t *mutex, int *error) {
    other *of = find(mutex);
    if (!of || !is_recorded())
        return 0;
    if (is_current(of) && mine.of == of && mine.serial == of->serial && mine.state == TK_DROPPED) {
        mine.state = TK_IDLE;
    } else if (is_current(of) && !of->holder) {
        tell(of, TK_ACQUIRE, tk_now());
        mine.state = TK_IDLE;
        TK_STORE(of->holder, &mine);
        of->switches += of->last_holder != &mine;
        of->last_holder = &mine;
        of->drop_request = 0;
    }
    *error = pthread_mutex_unlock(mutex);
    return 1;
}

int tk_others_signal(pthread_cond_t *cond, int *error) {
    other *of = TK_LOAD(apart) ? find((pthread_mutex_t *)((char *)cond + TK_LOAD(apart))) : NULL;
    if (!of || !is_recorded())
        return 0;
    if (!is_current(of)) {
        begin(of);
        if (of->header && !number_self(of))
            of->full = 1;
        mine.state = TK_DROPPED;
    } else if (of->holder == &mine) {
        tell(of, TK_RELEASE | (of->drop_request ? TK_CHECK : 0), tk_now());
        mine.state = TK_DROPPED;
        TK_STORE(of->holder, NULL);
        of->drop_request = 0;
    }
    *error = pthread_cond_signal(cond);
    return 1;
}

/* A GIL has a second condition right behind its mutex, which is no GIL. */
static int hook_init(pthread_cond_t *cond, const pthread_condattr_t *attributes) {
    int error = pthread_cond_init(cond, attributes);
    ptrdiff_t distance = TK_LOAD(apart);
    const char *behind = mine.made ? (const char *)mine.made + distance + sizeof(pthread_mutex_t) : NULL;
    if (distance && (const char *)cond != behind) {
        if (cond != TK_LOAD(main_cond))
            add(cond, 1);
        mine.made = cond;
    } else {
        mine.made = NULL;
    }
    return error;
}

const tk_hook tk_others_hooks[] = {{"pthread_cond_init", hook_init, 0}};
const size_t tk_others_hook_count = sizeof tk_others_hooks / sizeof *tk_others_hooks;

/* Nobody's guard is taken: the interpreter may be gone, and its memory with it. What was mapped stays so. */
static void stop_all(uint32_t stopped) {
    for (int i = 0, count = TK_LOAD(used); i < count; i++) {
        tk_header *header = others[i].header;
        if (header && is_current(&others[i])) {
            tk_raw_note_clock(header, others[i].zero);
            header->stopped = stopped;
        }
    }
}

/* The recording has ended. */
void tk_others_end(void) {
    stop_all(TK_STOPPED);
}

void tk_others_leave(int leaves) {
    stop_all(leaves ? TK_REPLACED : 0);
}

/* In a forked child, which has the main interpreter only. */
void tk_others_forked(void) {
    pthread_mutex_init(&list, NULL);
    for (int i = 0; i < used; i++)
        others[i].guard = NULL;
    tk_others_known = used = 0;
    interpreters = 0;
    mine.of = NULL;
}
