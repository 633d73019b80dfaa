/* Writes the raw recording: records into mapped chunks of a file that grows. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "room.h"
#include "writer.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    READY_BYTES = TK_ROOM_PIECE,  /* memory is got ready in such pieces */
    FEW_EVENTS = 128,          /* a forked child with no more of them that becomes another program leaves no file */
    NO_EVENTS = 3,             /* of a forked child that only takes the GIL, as each must, and ends */
    NO_CPU_MS = 5,             /* and has not used more than that */
    PAGE_BYTES = 1 << 12,
    SMALL_CHUNK_BYTES = 1 << 14,  /* of a forked child: most do little, and a pool has hundreds of them */
    MOST_NAMES = 1000,
};

tk_raw tk_out;
tk_room tk_the_room;

static struct {
    char base[4096];
    char *metadata;
    size_t metadata_bytes;
    uint64_t session;
    uint32_t header_bytes, chunk_bytes;
    int old_gil, forked, full, removed, needed;
    uint32_t parent;
    uint32_t *ring;            /* the numbers of the event chunks, when they are used again */
    uint64_t ring_size, event_chunks, thread_chunks, definition_chunks;
    tk_chunk *threads, *definitions, *starts;
    tk_chunk **kept;           /* of a ring: chunks of threads that are full, whose records may be used again */
    uint32_t kept_count;
} file;

/* What is known before a recording is opened. */
static struct {
    uint64_t session;
    int own, starts;
} belongs;

/* The second of the moments that tell the clock's rate: the later the better. */
void tk_raw_note_clock(tk_header *header, uint64_t zero) {
    header->anchors[1][1] = (int64_t)tk_nanoseconds(CLOCK_MONOTONIC);
    header->anchors[1][0] = (int64_t)(tk_now() - zero);
}

static off_t place_of(uint32_t chunk) {
    return (off_t)file.header_bytes + (off_t)chunk * file.chunk_bytes;
}

static tk_chunk *map_chunk(uint32_t number, int new) {
    return tk_room_part(&tk_the_room, place_of(number), file.chunk_bytes, new);
}

static void leave_chunk(tk_chunk *chunk) {
    if (chunk)
        tk_room_leave(&tk_the_room, chunk, file.chunk_bytes);
}

/* How many records of this size a chunk has room for. */
static uint64_t most_in_chunk(size_t bytes) {
    return (file.chunk_bytes - sizeof(tk_chunk)) / bytes;
}

static tk_chunk *new_chunk(uint32_t kind, uint64_t order) {
    uint32_t number = tk_out.header->chunks;
    tk_chunk *chunk = map_chunk(number, 1);
    if (!chunk)
        return NULL;
    *chunk = (tk_chunk){.kind = kind, .order = order, .checks = tk_out.checks};
    __atomic_store_n(&tk_out.header->chunks, number + 1, __ATOMIC_RELEASE);
    return chunk;
}

/* The ring is full: its oldest chunk becomes the newest. */
static tk_chunk *old_chunk(uint32_t number) {
    tk_chunk *chunk = map_chunk(number, 0);
    if (!chunk)
        return NULL;
    tk_out.header->overwritten += chunk->count - chunk->attributes;
    __atomic_store_n(&chunk->count, 0, __ATOMIC_RELEASE);
    chunk->attributes = chunk->regions_named = 0;
    chunk->order = file.event_chunks;
    chunk->checks = tk_out.checks;
    return chunk;
}

static tk_chunk *next_chunk(void) {
    if (!file.ring_size)
        return new_chunk(TK_EVENTS, file.event_chunks);
    uint32_t *place = &file.ring[file.event_chunks % file.ring_size];
    if (file.event_chunks >= file.ring_size)
        return old_chunk(*place);
    *place = tk_out.header->chunks;
    return new_chunk(TK_EVENTS, file.event_chunks);
}

/* Whether this file is part of this very recording. */
static int is_ours(const char *path) {
    tk_header header = {0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC), ours = 0;
    if (descriptor >= 0) {
        ours = read(descriptor, &header, sizeof header) == (ssize_t)sizeof header && header.session == file.session;
        close(descriptor);
    }
    return ours;
}

/* BASE.PID.raw, BASE.PID-2.raw: a process may have been another program before. */
static void name_by_pid(void) {
    snprintf(tk_the_room.path, sizeof tk_the_room.path, "%s.%d.raw", file.base, (int)getpid());
    for (int number = 2; number < MOST_NAMES && is_ours(tk_the_room.path); number++)
        snprintf(tk_the_room.path, sizeof tk_the_room.path, "%s.%d-%d.raw", file.base, (int)getpid(), number);
}

/* Few and small parts for a forked child, so that a fork stays cheap. A ring is copied as a whole, with room in its header. */
static void choose_sizes(void) {
    uint32_t head = (uint32_t)(sizeof(tk_header) + file.metadata_bytes);
    int small = file.forked && !file.ring_size && sysconf(_SC_PAGESIZE) == PAGE_BYTES;
    file.header_bytes = small ? (head + PAGE_BYTES - 1) & ~(uint32_t)(PAGE_BYTES - 1) : TK_HEADER_BYTES;
    file.chunk_bytes = small ? SMALL_CHUNK_BYTES : TK_CHUNK_BYTES;
}

/* All but what says that the file is whole. */
static void fill_head(tk_header *header, uint32_t header_bytes, uint32_t chunk_bytes, uint64_t zero) {
    header->version = TK_RAW_VERSION;
    header->header_bytes = header_bytes;
    header->chunk_bytes = chunk_bytes;
    header->old_gil = (uint32_t)file.old_gil;
    header->pid = (uint32_t)getpid();
    header->parent = file.parent;
    header->session = file.session;
    header->started = tk_nanoseconds(CLOCK_REALTIME);
    header->metadata_bytes = (uint32_t)file.metadata_bytes;
    memcpy(header->metadata, file.metadata, file.metadata_bytes);
    header->anchors[0][0] = (int64_t)(tk_first_clock - zero);  /* before the file's first event */
    header->anchors[0][1] = tk_first_ns;
    tk_raw_note_clock(header, zero);
}

static int open_file(void) {
    choose_sizes();
    int starts = belongs.starts && !file.forked;
    tk_header *header = tk_room_first(&tk_the_room, (size_t)place_of(starts ? 3 : 2));  /* what it needs at once */
    if (!header)
        return 0;
    tk_out = (tk_raw){.header = header, .zero = tk_now()};
    file.event_chunks = file.thread_chunks = file.definition_chunks = 0;
    file.threads = file.definitions = NULL;
    fill_head(header, file.header_bytes, file.chunk_bytes, tk_out.zero);
    if (!(file.threads = new_chunk(TK_THREADS, file.thread_chunks++)))
        return 0;
    if (starts) {
        if (!(file.starts = new_chunk(TK_STARTS, 0)))
            return 0;
        madvise(file.starts, file.chunk_bytes, MADV_DOFORK);  /* what children start belongs here, too */
    }
    memcpy(header->magic, TK_MAGIC, sizeof header->magic);
    return 1;
}

static int next_events(void) {
    tk_chunk *chunk = next_chunk();
    if (!chunk)
        return 0;
    leave_chunk(tk_out.chunk);
    file.event_chunks++;
    tk_out.chunk = chunk;
    tk_out.next = tk_out.ready = (tk_record *)(chunk + 1);
    return 1;
}

/* Something of the program cannot be recorded. */
void tk_raw_not_recorded(const char *what, const char *why) {
    char text[TK_START_BYTES];
    int length = snprintf(text, sizeof text, "%c%s%c%s%c", 0, why, 0, what, 0);
    tk_raw_started((uint32_t)getpid(), text, (size_t)length);
}

/* The file of another interpreter's GIL, BASE.interp-N.raw: its head, and room for two chunks. NULL and errno: it cannot be had. */
tk_header *tk_raw_open_other(tk_room *room, uint32_t number, uint64_t zero, uint32_t chunk_bytes) {
    static const char more[] = "interpreter: %u\nstacks: off: of interpreters with a GIL of their own no stacks are taken\n";
    uint32_t head = (uint32_t)(sizeof(tk_header) + file.metadata_bytes + sizeof more + 16);
    uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE), header_bytes = (head + page - 1) / page * page;
    int length = (int)(strlen(tk_the_room.path) - strlen(".raw"));
    if (snprintf(room->path, sizeof room->path, "%.*s.interp-%u.raw", length, tk_the_room.path, number) >= (int)sizeof room->path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    tk_header *header = tk_room_first(room, header_bytes + 2 * (size_t)chunk_bytes);
    if (header) {
        fill_head(header, header_bytes, chunk_bytes, zero);
        header->metadata_bytes += (uint32_t)sprintf(header->metadata + file.metadata_bytes, more, number);
        memcpy(header->magic, TK_MAGIC, sizeof header->magic);
    }
    return header;
}

/* Makes room for more events; 0: there is none. What the program sees of errno stays. */
int tk_raw_advance(void) {
    int before = errno;
    if (!file.full && file.forked && !tk_out.header) {
        name_by_pid();
        file.full = !open_file();
        if (file.full)
            tk_raw_not_recorded("forked child", strerror(errno));
    }
    if (!file.full && (!tk_out.chunk || (char *)tk_out.next == (char *)tk_out.chunk + file.chunk_bytes) && !next_events()) {
        file.full = 1;
        tk_out.header->lost_why = (uint32_t)errno;
    }
    if (!file.full) {
        /* Faults one page at a time would take several times as long. Older kernels cannot do it at once: no harm. */
        size_t piece = file.chunk_bytes < READY_BYTES ? file.chunk_bytes : READY_BYTES;
        size_t done = (size_t)((char *)tk_out.next - (char *)tk_out.chunk) / piece * piece;
        char *start = (char *)tk_out.chunk + done;
        madvise(start, piece, MADV_POPULATE_WRITE);
        tk_out.ready = (tk_record *)(start + piece);
        tk_raw_note_clock(tk_out.header, tk_out.zero);
    }
    errno = before;
    return !file.full;
}

/* Chunks of events in a ring; 0: it is none. */
uint64_t tk_raw_ring_chunks(void) {
    return file.ring_size;
}

/* That were begun in this file. */
uint64_t tk_raw_event_chunks(void) {
    return file.event_chunks;
}

static void leave_threads(void) {
    tk_chunk **kept = file.ring_size ? realloc(file.kept, (file.kept_count + 1) * sizeof *kept) : NULL;
    if (kept) {
        file.kept = kept;
        kept[file.kept_count++] = file.threads;
    } else if (!file.ring_size) {
        leave_chunk(file.threads);
    }
}

static void forget_kept(int mapped) {
    while (file.kept_count--)
        if (mapped)
            leave_chunk(file.kept[file.kept_count]);
    free(file.kept);
    file.kept = NULL;
    file.kept_count = 0;
}

/* Its record; NULL: there is no room. */
tk_thread_record *tk_raw_thread(uint32_t kind, uint32_t number, uint32_t tid, const char *text, size_t length) {
    uint64_t most = most_in_chunk(sizeof(tk_thread_record));
    int before = errno;
    tk_thread_record *record = NULL;
    if (!tk_out.header || !file.threads)
        return NULL;           /* a forked child whose file is not open yet tells its thread when it is */
    if (file.threads->count == most) {
        tk_chunk *chunk = new_chunk(TK_THREADS, file.thread_chunks);
        if (chunk) {
            leave_threads();
            file.threads = chunk;
            file.thread_chunks++;
        } else {
            file.full = 1;     /* events of threads that can no longer be named are of no use */
            tk_out.header->lost_why = (uint32_t)errno;
            tk_out.ready = tk_out.next;
        }
    }
    if (file.threads->count < most) {
        record = (tk_thread_record *)(file.threads + 1) + file.threads->count;
        if (length > TK_NAME_BYTES)
            length = TK_NAME_BYTES;
        *record = (tk_thread_record){.kind = kind, .thread = number, .tid = tid, .length = (uint32_t)length};
        memcpy(record->text, text, length);
        __atomic_store_n(&file.threads->count, file.threads->count + 1, __ATOMIC_RELEASE);
    }
    errno = before;
    return record;
}

/* The first of a recording comes after its first event. 0: no room, and there will be none. */
int tk_raw_define(const tk_definition *definition, const char *function, const char *file_name) {
    int before = errno;
    int has_text = definition->code.kind != TK_STACK;
    size_t text = has_text ? definition->code.function_bytes + definition->code.file_bytes : 0;
    size_t count = 1 + (text + sizeof *definition - 1) / sizeof *definition;
    if (!tk_out.header || file.full)
        return 0;
    if (!file.definitions || file.definitions->count + count > most_in_chunk(sizeof *definition)) {
        tk_chunk *chunk = new_chunk(TK_DEFINITIONS, file.definition_chunks);
        errno = before;
        if (!chunk)
            return 0;
        leave_chunk(file.definitions);
        file.definitions = chunk;
        file.definition_chunks++;
    }
    tk_definition *place = (tk_definition *)(file.definitions + 1) + file.definitions->count;
    *place = *definition;
    if (has_text) {
        memcpy(place + 1, function, definition->code.function_bytes);
        if (file_name)
            memcpy((char *)(place + 1) + definition->code.function_bytes, file_name, definition->code.file_bytes);
    }
    __atomic_store_n(&file.definitions->count, file.definitions->count + count, __ATOMIC_RELEASE);
    return 1;
}

/* In a forked child, which shares nothing of the file. Its own is opened when it has an event. */
void tk_raw_forked(void) {
    tk_out = (tk_raw){0};
    tk_room_forked(&tk_the_room);
    file.threads = file.definitions = NULL;
    forget_kept(0);
    file.forked = 1;
    file.full = file.needed = 0;
    file.parent = (uint32_t)getppid();
}

/* How the next recording belongs to others. own: it was started by one of them; starts: what it starts is noted. */
void tk_raw_belongs(uint64_t session, int own, int starts) {
    belongs.session = session;
    belongs.own = own;
    belongs.starts = starts;
}

/* The recorded process that this one is, or that has forked it. */
uint32_t tk_raw_owner(void) {
    return tk_out.header && !file.removed ? tk_out.header->pid : file.parent;
}

/* This process forks, so that others name it as theirs. */
void tk_raw_forks(void) {
    file.needed = 1;
}

/* Whether this is a forked child that has done nothing with the GIL. */
int tk_raw_is_idle(void) {
    const tk_chunk *events = tk_out.chunk;
    return file.forked && !file.needed && events && file.event_chunks == 1 &&
           events->count - events->attributes <= NO_EVENTS &&
           tk_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) < NO_CPU_MS * 1000000u;
}

/* NULL: not noted. */
tk_start_record *tk_raw_started(uint32_t pid, const char *text, size_t length) {
    enum { MOST = (TK_CHUNK_BYTES - sizeof(tk_chunk)) / sizeof(tk_start_record) };
    tk_chunk *starts = file.starts;
    file.needed = 1;
    if (!starts)
        return NULL;
    uint64_t place = __atomic_fetch_add(&starts->count, 1, __ATOMIC_RELAXED);
    if (place >= MOST) {
        __atomic_fetch_sub(&starts->count, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&starts->attributes, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    tk_start_record *record = (tk_start_record *)(starts + 1) + place;
    record->length = (uint32_t)length;
    memcpy(record->text, text, length);
    __atomic_store_n(&record->pid, pid, __ATOMIC_RELEASE);
    return record;
}

void tk_raw_not_started(tk_start_record *record) {
    if (record)
        record->pid = 0;
}

/* What regions are called by this number. 0: no room. */
int tk_raw_name_regions(uint32_t number, const char *name, size_t length) {
    tk_definition told = {.region = {.kind = TK_REGION_NAME, .number = number, .name_bytes = (uint32_t)length}};
    return tk_raw_define(&told, name, NULL);
}

void tk_raw_region_is(uint32_t region, uint32_t name) {
    if (tk_out.next == tk_out.ready && !tk_raw_advance())
        return;
    *tk_out.next++ = (tk_record){.stamp = (uint64_t)region << 8 | TK_REGION_IS, .thread = name};
    tk_out.chunk->attributes++;
    tk_out.chunk->regions_named++;
    __atomic_store_n(&tk_out.chunk->count, tk_out.chunk->count + 1, __ATOMIC_RELEASE);
}

/* From now on the process may have no right to open the file, or no descriptor to do it with. Under the guard. */
void tk_raw_reserve(void) {
    if (!tk_out.header)
        tk_raw_advance();
    if (tk_out.header && !file.full)
        tk_room_reserve(&tk_the_room, place_of(tk_out.header->chunks));
}

/* The process becomes another program, or after all does not. locked: under the guard. */
void tk_raw_leave(int leaves, int locked) {
    tk_out.header->stopped = leaves ? TK_REPLACED : 0;
    if (leaves && locked)
        tk_raw_note_clock(tk_out.header, tk_out.zero);
    if (leaves && file.forked && file.event_chunks < 2 && (!tk_out.chunk || tk_out.chunk->count <= FEW_EVENTS))
        file.removed = !unlink(tk_the_room.path);
}

/* base: the recording goes to BASE.raw, a forked child's to BASE.PID.raw. max_bytes: of a ring, or 0. */
const char *tk_raw_open(const char *base, const char *metadata, size_t metadata_bytes, uint64_t max_bytes, int old_gil) {
    if (strlen(base) >= sizeof file.base)
        return strerror(ENAMETOOLONG);
    memset(&file, 0, sizeof file);
    strcpy(file.base, base);
    size_t room = TK_HEADER_BYTES - sizeof(tk_header);
    file.metadata_bytes = metadata_bytes < room ? metadata_bytes : room;
    file.old_gil = old_gil;
    file.ring_size = max_bytes / TK_CHUNK_BYTES;
    if (max_bytes && file.ring_size < 2)
        file.ring_size = 2;
    file.ring = file.ring_size ? calloc(file.ring_size, sizeof *file.ring) : NULL;
    file.metadata = malloc(file.metadata_bytes + 1);
    if (!file.metadata || (file.ring_size && !file.ring))
        return strerror(ENOMEM);
    memcpy(file.metadata, metadata, file.metadata_bytes);
    file.session = belongs.session;
    if (!file.session && getrandom(&file.session, sizeof file.session, 0) != sizeof file.session)
        file.session = tk_nanoseconds(CLOCK_REALTIME) ^ (uint64_t)getpid() << 40;
    if (belongs.own)
        name_by_pid();
    else
        snprintf(tk_the_room.path, sizeof tk_the_room.path, "%s.raw", base);
    if (open_file() && next_events() && tk_raw_advance())
        return NULL;
    const char *why = strerror(errno);
    tk_raw_discard();
    return why;
}

void tk_raw_discard(void) {
    if (tk_out.header)
        unlink(tk_the_room.path);
    tk_raw_close(0);
}

void tk_raw_close(int stopped) {
    tk_raw old = tk_out;
    tk_chunk *threads = file.threads, *definitions = file.definitions;
    if (!old.header)
        return;
    tk_raw_note_clock(old.header, tk_out.zero);
    old.header->stopped = stopped ? TK_STOPPED : 0;
    tk_out = (tk_raw){0};
    if (file.starts && !file.forked) {
        leave_chunk(file.starts);
        file.starts = NULL;
    }
    file.threads = file.definitions = NULL;
    forget_kept(1);
    file.full = 1;
    leave_chunk(old.chunk);
    leave_chunk(threads);
    leave_chunk(definitions);
    tk_room_end(&tk_the_room, place_of(old.header->chunks));
    munmap(old.header, file.header_bytes);
    free(file.ring);
    free(file.metadata);
    file.ring = NULL;
    file.metadata = NULL;
}
