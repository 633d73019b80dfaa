#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "counters.h"
#include "regions.h"
#include "room.h"
#include "stacks.h"
#include "watch.h"

enum {
    LEAST_PERIOD_MS = 1, MOST_PERIOD_MS = 100, TEXT_MS = 1000, MINUTE_MS = 60000,
    NOTE_BYTES = 1 << 15, MOST_NOTED = 64, SPARE = 64, ANSWER_MS = 5000,
};

typedef struct {
    char before[4096], after[256];  /* a snapshot's path, without its number */
    uint64_t hold_over, wait_over, region_over;  /* ns; 0: no limit */
    uint32_t number, per_minute, keep;
    int32_t signal;
} flight;

static struct {
    int running;
    flight flight;
    int has_flight;
    char text[4096];           /* where counters are told as text; empty: nowhere */
    int period_ms;
    uint64_t hold_steps, wait_steps;  /* the limits by the records' clock */
    int wake, server;
    ino_t server_inode;
    uint64_t started_at[60];   /* ms: the last snapshots, to keep to so many a minute */
    uint32_t started;
    pthread_mutex_t mutex;     /* of what is asked and answered */
    pthread_cond_t answered;
    uint64_t asked, done;
    char reason[256], path[4096 + 300];
} watch = {.wake = -1, .server = -1, .mutex = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER};

static char note[NOTE_BYTES];
static size_t noted;

static uint64_t now_ms(void) {
    return tk_nanoseconds(CLOCK_MONOTONIC) / 1000000;
}

__attribute__((format(printf, 1, 2))) static void add_note(const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(note + noted, sizeof note - noted, format, values);
    va_end(values);
    if (length > 0 && noted + (size_t)length < sizeof note)
        noted += (size_t)length;
    else
        note[noted] = 0;
}

/* Under the guard: what each thread is doing, in numbers of stacks that the file defines. */
static void note_threads(uint64_t now) {
    const tk_count *one = tk_counts_first();
    double ms = tk_clock_rate() / 1e6;
    for (int count = 0; one && count < MOST_NOTED; one = one->next, count++) {
        uint32_t stack = one->of ? tk_stacks_look(one->of) : 0;
        if (one->acquired)
            add_note("held-by-%u: %.1f ms\n", one->tid, (double)(now - one->acquired) * ms);
        else if (one->wanted)
            add_note("waited-by-%u: %.1f ms\n", one->tid, (double)(now - one->wanted) * ms);
        if (stack)
            add_note("stack-of-%u: %u\n", one->tid, stack);
    }
}

static int write_all(int file, const void *from, size_t bytes, off_t at) {
    return pwrite(file, from, bytes, at) == (ssize_t)bytes;
}

/* Copies the chunks that are events, or those that are not, up to this number. 0: it cannot be written. */
static int copy_chunks(int from, int to, uint32_t first, uint32_t end, int events, char *chunk) {
    for (uint32_t i = first; i < end; i++) {
        off_t at = (off_t)TK_HEADER_BYTES + (off_t)i * TK_CHUNK_BYTES;
        tk_chunk head, after;
        if (pread(from, &head, sizeof head, at) != sizeof head || (head.kind == TK_EVENTS) != events)
            continue;
        pthread_mutex_t *guard = head.kind == TK_THREADS ? TK_LOAD(tk_the_gil.guard) : NULL;
        int locked = guard && !pthread_mutex_lock(guard);  /* a record of it may become another thread's */
        int whole = pread(from, chunk, TK_CHUNK_BYTES, at) == TK_CHUNK_BYTES &&
                    pread(from, &after, sizeof after, at) == sizeof after;
        if (locked)
            pthread_mutex_unlock(guard);
        if (!whole)
            continue;
        if (after.order != head.order || after.count < head.count)
            continue;          /* it has just been used again, for newer events */
        memcpy(chunk, &head, sizeof head);
        if (!write_all(to, chunk, TK_CHUNK_BYTES, at))
            return 0;
    }
    return 1;
}

/* Copies the recording while it goes on. What threads and stacks are is told before events use it, so it is copied last. */
static int copy(int from, int to) {
    static char chunk[TK_CHUNK_BYTES];
    static union {
        tk_header header;
        char bytes[TK_HEADER_BYTES];
    } head;
    if (pread(from, &head, sizeof head, 0) != sizeof head || memcmp(head.header.magic, TK_MAGIC, sizeof head.header.magic))
        return 0;
    uint32_t chunks = head.header.chunks;
    if (!copy_chunks(from, to, 0, chunks, 1, chunk) || pread(from, &head, sizeof head, 0) != sizeof head ||
        !copy_chunks(from, to, 0, head.header.chunks, 0, chunk))
        return 0;
    size_t room = sizeof head - offsetof(tk_header, metadata) - head.header.metadata_bytes;
    size_t bytes = noted < room ? noted : room;
    memcpy(head.header.metadata + head.header.metadata_bytes, note, bytes);
    head.header.metadata_bytes += (uint32_t)bytes;
    head.header.stopped = TK_STOPPED;
    off_t size = (off_t)TK_HEADER_BYTES + (off_t)head.header.chunks * TK_CHUNK_BYTES;
    return !ftruncate(to, size) && write_all(to, &head, sizeof head, 0);
}

static void name_snapshot(char *into, size_t room, uint32_t number) {
    if (tk_the_gil.recording > 1 && tk_out.header && tk_out.header->parent)
        snprintf(into, room, "%s%d-%u%s", watch.flight.before, (int)getpid(), number, watch.flight.after);
    else
        snprintf(into, room, "%s%u%s", watch.flight.before, number, watch.flight.after);
}

/* Writes what was recorded lately. reason: a word, and more. Returns whether it is there. */
static int snapshot(const char *reason) {
    char from_path[sizeof tk_the_room.path], part[sizeof watch.path + 8], old[sizeof watch.path];
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    noted = 0;
    note[0] = 0;
    if (!watch.has_flight || !guard || pthread_mutex_lock(guard))
        return 0;
    int fine = tk_out.header != NULL;
    if (fine) {
        uint64_t now = tk_now();
        snprintf(from_path, sizeof from_path, "%s", tk_the_room.path);
        tk_regions_define();
        add_note("snapshot: %s\n", reason);
        note_threads(now);
        name_snapshot(watch.path, sizeof watch.path, watch.flight.number);
        name_snapshot(old, sizeof old, watch.flight.number - watch.flight.keep);
    }
    pthread_mutex_unlock(guard);
    if (!fine)
        return 0;
    snprintf(part, sizeof part, "%s.part", watch.path);
    int from = open(from_path, O_RDONLY | O_CLOEXEC), to = open(part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    fine = from >= 0 && to >= 0 && copy(from, to);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    if (!fine || rename(part, watch.path)) {
        unlink(part);
        return 0;
    }
    if (watch.flight.number > watch.flight.keep)
        unlink(old);
    watch.flight.number++;
    return 1;
}

static int may_start_one(void) {
    uint64_t now = now_ms();
    uint32_t most = watch.flight.per_minute;
    uint64_t *oldest = &watch.started_at[watch.started % most];
    if (*oldest && now - *oldest < MINUTE_MS)
        return 0;
    *oldest = now;
    watch.started++;
    return 1;
}

/* Under the guard. Whether a hold or a wait has exceeded its limit and is in no snapshot yet. */
static int over_a_limit(char *reason, size_t room) {
    static uint64_t told_hold, told_wait;
    uint64_t now = tk_now();
    double ms = tk_clock_rate() / 1e6;
    for (const tk_count *one = tk_counts_first(); one; one = one->next) {
        uint64_t acquired = one->acquired, wanted = one->wanted;
        if (watch.flight.hold_over && acquired && acquired != told_hold && now > acquired &&
            now - acquired > watch.hold_steps) {
            told_hold = acquired;
            snprintf(reason, room, "hold_over: thread %u has held the GIL for %.0f ms", one->tid,
                     (double)(now - acquired) * ms);
            return 1;
        }
        if (watch.flight.wait_over && wanted && wanted > told_wait && now > wanted && now - wanted > watch.wait_steps) {
            told_wait = now;   /* those that wait with it are in the same snapshot */
            snprintf(reason, room, "wait_over: thread %u has waited for the GIL for %.0f ms", one->tid,
                     (double)(now - wanted) * ms);
            return 1;
        }
    }
    return 0;
}

static void look(void) {
    char reason[sizeof watch.reason];
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    if (!watch.has_flight || !guard || pthread_mutex_trylock(guard))
        return;
    int over = over_a_limit(reason, sizeof reason);
    pthread_mutex_unlock(guard);
    if (!over && watch.flight.region_over)
        over = tk_region_over(watch.flight.region_over, reason, sizeof reason);
    if (over && may_start_one())
        snapshot(reason);
}

static void answer_those_who_ask(void) {
    pthread_mutex_lock(&watch.mutex);
    uint64_t asked = watch.asked;
    int waits = asked != watch.done;
    pthread_mutex_unlock(&watch.mutex);
    if (!waits)
        return;
    int fine = snapshot(watch.reason[0] ? watch.reason : "asked for");
    pthread_mutex_lock(&watch.mutex);
    if (!fine)
        watch.path[0] = 0;
    watch.done = asked;
    pthread_cond_broadcast(&watch.answered);
    pthread_mutex_unlock(&watch.mutex);
}

/* What all threads did. NULL: there is no memory for it. */
static tk_count *read_counts(int64_t *count) {
    tk_count *all = NULL;
    for (int64_t room = 0; (*count = tk_counts_read(all, room)) > room;) {
        free(all);
        room = *count + SPARE;
        if (!(all = malloc((size_t)room * sizeof *all)))
            *count = 0;
        if (!all)
            return NULL;
    }
    return all;
}

/* Threads of one folded name become one. Returns how many are left. */
static int64_t sum_by_name(tk_count *all, int64_t count) {
    int64_t names = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t place = 0;
        tk_count_fold(&all[i]);
        while (place < names && (all[place].length != all[i].length || memcmp(all[place].name, all[i].name, all[i].length)))
            place++;
        if (place == names)
            all[names++] = all[i];
        else
            tk_count_add(&all[place], &all[i]);
    }
    return names;
}

/* As Prometheus reads it. */
static void tell_metric(FILE *file, const char *metric, const tk_count *all, int64_t count, size_t field, double unit) {
    fprintf(file, "# TYPE python_gil_%s counter\n", metric);
    for (int64_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, (const char *)&all[i] + field, sizeof value);
        fprintf(file, "python_gil_%s{threads=\"", metric);
        for (uint8_t at = 0; at < all[i].length; at++) {
            char letter = all[i].name[at];
            if (letter == '"' || letter == '\\')
                fputc('\\', file);
            fputc(letter == '\n' ? ' ' : letter, file);
        }
        fprintf(file, "\"} %.*f\n", unit == 1 ? 0 : 9, (double)value * unit);
    }
}

static void tell_text(void) {
    static char part[sizeof watch.text + 8];
    int64_t count;
    double second = tk_clock_rate_so_far() / 1e9;
    tk_count *all = read_counts(&count);
    snprintf(part, sizeof part, "%s.part", watch.text);
    FILE *file = all ? fopen(part, "we") : NULL;
    if (file) {
        count = sum_by_name(all, count);
        tell_metric(file, "held_seconds_total", all, count, offsetof(tk_count, held), second);
        tell_metric(file, "waited_seconds_total", all, count, offsetof(tk_count, waited), second);
        tell_metric(file, "off_cpu_held_seconds_total", all, count, offsetof(tk_count, off_cpu), second);
        tell_metric(file, "waits_total", all, count, offsetof(tk_count, waits), 1);
        tell_metric(file, "contended_waits_total", all, count, offsetof(tk_count, contended), 1);
        tell_metric(file, "forced_releases_total", all, count, offsetof(tk_count, forced), 1);
        tell_metric(file, "blocking_releases_total", all, count, offsetof(tk_count, blocking), 1);
    }
    free(all);
    if (!file || fclose(file) || rename(part, watch.text))
        unlink(part);
}

static struct sockaddr_un own_address(socklen_t *length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int name = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "tracekit-%d", (int)getpid());
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)name);
    return address;
}

/* In no folder, so nothing is left behind. */
static void serve(void) {
    struct stat status;
    socklen_t length;
    struct sockaddr_un address = own_address(&length);
    watch.server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (watch.server >= 0 && (bind(watch.server, (struct sockaddr *)&address, length) || listen(watch.server, 4) ||
                              fstat(watch.server, &status))) {
        close(watch.server);
        watch.server = -1;
    }
    watch.server_inode = watch.server >= 0 ? status.st_ino : 0;
}

static void send_all(int to, const char *from, size_t bytes) {
    while (bytes) {
        ssize_t sent = send(to, from, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        from += sent;
        bytes -= (size_t)sent;
    }
}

/* A question from a process of the same user: `snapshot`. `live.asking` asks. */
static void answer_client(void) {
    struct ucred peer;
    struct stat status;
    struct timeval patience = {.tv_sec = 1};
    socklen_t length = sizeof peer;
    char question[64] = "";
    /* The program may have closed what it did not open, and the number may be another file's. */
    if (fstat(watch.server, &status) || !S_ISSOCK(status.st_mode) || status.st_ino != watch.server_inode) {
        watch.server = -1;
        return;
    }
    int client = accept4(watch.server, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (!getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length) && (peer.uid == geteuid() || !peer.uid) &&
        recv(client, question, sizeof question - 1, 0) > 0 && !strncmp(question, "snapshot\n", 9) &&
        snapshot("asked for by another process"))
        send_all(client, watch.path, strlen(watch.path));
    close(client);
}

static void *run(void *none) {
    uint64_t last_text = 0, count;
    (void)none;
    serve();
    for (;;) {
        struct pollfd ready[] = {{.fd = watch.wake, .events = POLLIN}, {.fd = watch.server, .events = POLLIN}};
        int period = watch.has_flight ? watch.period_ms : watch.text[0] ? TEXT_MS : -1;
        int got = poll(ready, 2, period);
        if (got < 0 && errno != EINTR)
            return NULL;
        if (got > 0 && ready[0].revents & POLLNVAL)
            watch.wake = -1;   /* the program closed it: then only limits are watched */
        if (got > 0 && ready[0].revents & POLLIN && read(watch.wake, &count, sizeof count) < 0 && errno != EAGAIN)
            watch.wake = -1;
        answer_those_who_ask();
        look();
        if (got > 0 && ready[1].revents)
            answer_client();
        if (watch.text[0] && now_ms() - last_text >= TEXT_MS) {
            last_text = now_ms();
            tell_text();
        }
    }
}

static int start(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (watch.running)
        return 1;
    watch.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    watch.running = !pthread_create(&thread, &attributes, run, NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return watch.running;
}

static void wake(void) {
    uint64_t one = 1;
    int before = errno;
    if (watch.wake >= 0 && write(watch.wake, &one, sizeof one) < 0) {
    }
    errno = before;
}

static void on_signal(int number) {
    (void)number;
    __atomic_add_fetch(&watch.asked, 1, __ATOMIC_RELAXED);
    wake();
}

/* Tells counters as text at this path, again every second. */
TK_PUBLIC int32_t tk_watch_text(const char *path) {
    snprintf(watch.text, sizeof watch.text, "%s", path);
    int fine = start();
    wake();
    return fine;
}

/* Watches these limits, in ns. A snapshot is BEFORE number AFTER. signal: that asks for one, or 0. 0: it cannot be done. */
TK_PUBLIC int32_t tk_watch_flight(const char *before, const char *after, uint64_t hold_over, uint64_t wait_over,
                                  uint64_t region_over, uint32_t number, uint32_t per_minute, uint32_t keep, int32_t sig) {
    flight *to = &watch.flight;
    *to = (flight){.hold_over = hold_over, .wait_over = wait_over, .region_over = region_over, .number = number,
                   .per_minute = per_minute, .keep = keep, .signal = sig};
    snprintf(to->before, sizeof to->before, "%s", before);
    snprintf(to->after, sizeof to->after, "%s", after);
    uint64_t least = MOST_PERIOD_MS * 4000000ull;
    for (int i = 0; i < 3; i++) {
        uint64_t limit = i == 0 ? hold_over : i == 1 ? wait_over : region_over;
        least = limit && limit < least ? limit : least;
    }
    watch.period_ms = (int)(least / 4000000) < LEAST_PERIOD_MS ? LEAST_PERIOD_MS : (int)(least / 4000000);
    watch.hold_steps = (uint64_t)((double)hold_over / tk_clock_rate());
    watch.wait_steps = (uint64_t)((double)wait_over / tk_clock_rate());
    memset(watch.started_at, 0, sizeof watch.started_at);
    watch.started = 0;
    if (sig) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(sig, &action, NULL);
    }
    watch.has_flight = 1;
    int fine = start();
    wake();
    return fine;
}

TK_PUBLIC void tk_watch_stop_flight(void) {
    watch.has_flight = 0;
    if (watch.flight.signal)
        signal(watch.flight.signal, SIG_DFL);
}

/* Without the GIL. Writes a snapshot and returns its path; NULL: it could not be written. */
TK_PUBLIC const char *tk_watch_snapshot(const char *reason) {
    struct timespec until;
    pthread_mutex_lock(&watch.mutex);
    snprintf(watch.reason, sizeof watch.reason, "%s", reason);
    uint64_t mine = ++watch.asked;
    wake();
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ANSWER_MS / 1000;
    int error = 0;
    while (watch.done < mine && !error)
        error = pthread_cond_timedwait(&watch.answered, &watch.mutex, &until);
    const char *path = watch.done >= mine && watch.path[0] ? watch.path : NULL;
    pthread_mutex_unlock(&watch.mutex);
    return path;
}

/* The thread is not in the child. */
void tk_watch_forked(void) {
    if (!watch.running)
        return;
    watch.running = 0;
    pthread_mutex_init(&watch.mutex, NULL);
    pthread_cond_init(&watch.answered, NULL);
    watch.asked = watch.done = 0;
    struct stat status;
    if (watch.server >= 0 && !fstat(watch.server, &status) && status.st_ino == watch.server_inode)
        close(watch.server);
    watch.server = -1;
    if (watch.text[0]) {
        char path[sizeof watch.text];
        snprintf(path, sizeof path - 16, "%s", watch.text);
        snprintf(watch.text, sizeof watch.text - 16, "%.4000s.%d", path, (int)getpid());
    }
    start();
}
