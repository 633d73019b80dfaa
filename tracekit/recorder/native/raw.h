/* The raw recording: a header, then chunks of events and of threads. `tracekit/parsers/raw.py` reads it.

   All integers are little-endian. The file is written through shared mappings, so what was written once outlives the
   process. A chunk's `count` is stored after the record that it counts. */
#ifndef TK_RAW_H
#define TK_RAW_H

#include <stdint.h>

#define TK_MAGIC "TKGILRAW"
enum { TK_RAW_VERSION = 2, TK_HEADER_BYTES = 1 << 16, TK_CHUNK_BYTES = 1 << 18, TK_NAME_BYTES = 112 };
enum { TK_ENTRY = 1, TK_ACQUIRE, TK_RELEASE, TK_BUSY, TK_RETRY, TK_CHECK = 8 };  /* TK_CHECK: a bit of a RELEASE */
/* From version 2 on: attributes of the event before them, by the same thread; the value stands where events have the clock. */
enum { TK_ATTRIBUTE = 16, TK_CPU = TK_ATTRIBUTE, TK_STACKS, TK_LOCK, TK_UNLOCKS, TK_UNLOCKS_LATE, TK_REGION, TK_REGION_IS };
/* TK_STACKS: its own, and in `ticks` the holder's. TK_UNLOCKS: one lock each. TK_LOCK, TK_UNLOCKS_LATE: of its last RELEASE.
   TK_REGION: of a RELEASE; an ENTRY of the new GIL has it in `ticks`. TK_REGION_IS belongs to no event: what the region of
   this number is called, by the number of that name instead of a thread. So it leaves a ring with the region's events; where
   it is told twice the last counts. */
enum { TK_EVENTS = 1, TK_THREADS, TK_DEFINITIONS, TK_STARTS };
/* In a ring the record of a thread that ended long ago becomes that of another, of the same number. */
/* TK_RENAME: as TK_NAME, and when: its clock stands behind so many bytes of its text. */
enum { TK_NEW_THREAD = 1, TK_NAME = 2, TK_SYSTEM_NAME = 3, TK_RENAME = 4, TK_RENAME_BYTES = TK_NAME_BYTES - 8 };
enum { TK_CODE = 1, TK_STACK = 2, TK_REGION_NAME = 3 };
enum { TK_STOPPED = 1, TK_REPLACED };
enum { TK_START_BYTES = 248 };

typedef struct {
    char magic[8];
    uint32_t version, header_bytes, chunk_bytes, old_gil;
    uint32_t pid, parent;      /* parent: of a forked child, else 0 */
    uint64_t session;          /* the same in the files of a program and of its forked children */
    uint64_t started;          /* ns since 1970 */
    int64_t anchors[2][2];     /* two moments, each by the records' clock and in ns: they tell its rate */
    uint64_t lost;             /* events for which there was no room */
    uint64_t overwritten;      /* events that newer ones replaced, in a ring */
    uint32_t chunks, stopped;  /* stopped: TK_STOPPED, it did not end in mid-run; TK_REPLACED, by exec */
    uint32_t metadata_bytes;
    uint32_t lost_why;         /* errno when there was no room any more */
    /* From version 2 on: */
    uint64_t stacks_lost;      /* stacks for which there was no room */
    uint64_t stacks_cut;       /* stacks without their outermost frames */
    uint64_t stacks_missed;    /* of holders, that changed while they were read */
    uint64_t unused[5];
    char metadata[];           /* lines `key: value` */
} tk_header;

typedef struct {
    uint32_t kind, padding;
    uint64_t order;            /* of the chunks of a kind: a ring uses them again */
    uint64_t checks;           /* before its first record */
    uint64_t count;
    uint64_t attributes;       /* so many of its records are no events; of TK_STARTS: so many more had no room */
    uint64_t regions_named;    /* so many of its records are TK_REGION_IS */
    uint64_t unused[2];
} tk_chunk;

typedef struct {
    uint64_t stamp;            /* clock or value << 8 | code */
    uint32_t thread;
    int32_t ticks;
} tk_record;

/* A chunk of definitions counts in these. A code is followed by its function's name and its file's, and zeros to a whole
   number of them. Codes and stacks are numbered from 1 in their order. parent 0: of an outermost frame. */
typedef union {
    struct {
        uint32_t kind, first_line, function_bytes, file_bytes;
    } code;
    struct {
        uint32_t kind, parent, code, line;
    } stack;
    struct {
        uint32_t kind, number, name_bytes, none;
    } region;                  /* its name follows */
} tk_definition;

typedef struct {
    uint32_t kind, thread, tid, length;
    char text[TK_NAME_BYTES];
} tk_thread_record;

/* A program that this one, or a child that it forked, has started with exec. pid 0: it could not be, or not yet.
   Without a path: a forked child that could not be recorded, and why. */
typedef struct {
    uint32_t pid, length;
    char text[TK_START_BYTES]; /* its path and its arguments, a zero behind each */
} tk_start_record;

#endif
