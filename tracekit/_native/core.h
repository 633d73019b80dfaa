/* The native core: text to columns (scan.c), columns to holds, waits and blame
   (timeline.c), and the workers that do both at once on every core (pipeline.c).

   No Python API: one build serves every Python version, and ctypes lets go of
   the GIL around each call. The executable specification of all of it is the
   plain Python beside it: parsers/text.py and timeline.py. */
#ifndef TRACEKIT_CORE_H
#define TRACEKIT_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the scanner reads eight characters as one little-endian number"
#endif

#define TK_EXPORT __attribute__((visibility("default")))
#define TK_NULL INT64_MIN        /* a `-` in a column */
#define TK_LINE_LIMIT (1 << 20)  /* bytes; a longer line is bad */
#define TK_ID_LIMIT (1 << 12)    /* bytes of a thread's id; a longer one makes its line bad */
#define TK_IDS_LIMIT (1 << 26)   /* bytes of all ids together */
#define TK_THREAD_LIMIT (1 << 20)
#define TK_TOO_MANY_PAIRS (-2)   /* and: of threads that wait and threads that hold */
#define TK_TOO_MANY_THREADS (-1) /* an `error` of a pipeline, beside the system's: more of these, or of their ids */
#define TK_PADDING 64            /* readable bytes behind every block of text */
#define TK_TEXT_LIMIT 480        /* bytes kept of a bad line: 120 characters */
#define TK_BAD_TEXTS 1000        /* bad lines kept with their text */

enum { TK_ENTRY, TK_ACQUIRE, TK_RELEASE, TK_BUSY, TK_RETRY, TK_EVENTS };

/* In the order in which they are tested. */
enum {
    TK_LINE_TOO_LONG, TK_NUL_BYTE, TK_TOO_FEW_COLUMNS, TK_BAD_ENCODING, TK_ID_TOO_LONG,
    TK_BAD_TICKS, TK_BAD_CHECKS, TK_UNKNOWN_EVENT, TK_INTEGER_RANGE, TK_LINE_CODES
};

enum {
    TK_ENTRY_WHILE_HOLDING, TK_ENTRY_WHILE_WAITING, TK_MISSING_ENTRY,
    TK_OVERLAPPING_HOLD, TK_RELEASE_WITHOUT_ACQUIRE, TK_ROW_CODES
};

/* `count` lines that are no events stand before the event at `event` (counted from the block's first). */
typedef struct { uint32_t event, count; } tk_gap;
typedef struct { uint32_t line, code, offset, length; } tk_bad;
typedef struct { uint32_t event, line, offset, length; } tk_comment;

/* What a row may tell beside its columns (model/attributes.py), one of it: its value. Only what counts: in range, on an
   event that it belongs to, the last of its key. An id may be one that no definition explains. */
enum { TK_CPU, TK_STACK, TK_SAMPLE, TK_REGION, TK_LOCK, TK_UNLOCKS, TK_ATTRIBUTES };
typedef struct {
    uint32_t row; /* of the batch */
    uint32_t key; /* TK_UNLOCKS comes once for each lock, up to 8 times */
    int64_t value;
} tk_attribute;

#define TK_VECTOR(type) struct { type *items; size_t count, room; }

/* What is known of a column's values: some may be null; all others fit into so many bits, sign aside. */
typedef struct { bool nulls; uint64_t bits; } tk_range;
/* `count` -1: every value is null; a bitmap only where the count is positive. */
typedef struct { int64_t count; uint8_t *valid; size_t room; } tk_nulls;

typedef struct tk_arena tk_arena;

/* A block of whole lines and the columns read from it. */
typedef struct tk_block {
    uint8_t *text;
    size_t length, room;
    int64_t index, first_line, lines;
    int64_t events, events_room;
    int64_t *ticks, *checks, *time;      /* time: NULL while no line has one */
    int32_t *thread;                     /* the scanner's codes until pipeline.c renumbers them */
    uint8_t *event;
    uint8_t *columns;                    /* the one allocation behind the five */
    tk_arena *arena;                     /* whose it is, if not the block's own */
    TK_VECTOR(tk_gap) gaps;
    TK_VECTOR(tk_bad) bad;
    TK_VECTOR(tk_comment) comments;
    TK_VECTOR(tk_attribute) attributes;
    int64_t bad_attributes, attribute_keys; /* keys: a bit for each that occurs */
    uint32_t bad_attribute_line; /* of the first of them, counted from the block's first */
    tk_range ticks_range, checks_range, time_range;
    tk_nulls null_ticks, null_checks, null_time;
    int32_t ticks_width, checks_width, time_width, thread_width; /* bytes a value, once handed out */
    int64_t order;                                               /* among the blocks handed out */
    struct tk_block *next;
} tk_block;

/* Thread ids to codes, in the order of their first appearance. */
typedef struct {
    uint64_t low, high;  /* the first 16 bytes, padded with zeros */
    uint32_t length;
    int32_t code;
} tk_name_slot;

typedef struct {
    tk_name_slot *slots;
    uint32_t mask;
    int32_t count;
    uint8_t *text;          /* the names, one behind the other */
    size_t text_length, text_room;
    uint64_t *ends;         /* the end of each in `text`: ends[code] */
    size_t ends_room;
} tk_names;

bool tk_names_init(tk_names *names);
void tk_names_free(tk_names *names);
/* The code of a name, a new one if it is not there yet; -2 for no memory. */
int32_t tk_names_add(tk_names *names, const uint8_t *name, uint32_t length);
const uint8_t *tk_name(const tk_names *names, int32_t code, uint32_t *length);

/* The state of one scanner; it outlives its blocks. */
typedef struct {
    tk_names names;
    int32_t known;  /* names that had been given a code before this block */
    double bytes_per_event; /* of the block before; 0: none */
} tk_scanner;

bool tk_scan_block(tk_scanner *scanner, tk_block *block);
bool tk_grow(void *items_pointer, size_t *room, size_t item_size, size_t least);

/* ---- timeline.c and findings.c ---- */

/* Thresholds of docs/analyses.md, and how much to keep. */
typedef struct {
    int64_t min_rounds, min_cycles, max_gap, min_frozen, min_timeouts, long_hold;
    double ratio;
    int64_t worst;           /* findings kept of each kind */
    int64_t distinct_values; /* durations kept apart in all distributions together */
} tk_options;

#define TK_MORE 4 /* numbers of a finding that mean something else in each kind */
enum { TK_BATTLES, TK_CONVOYS, TK_FROZEN_SIGNALS, TK_LONG_HOLDS, TK_KINDS };

/* cost: what the kept ones are chosen by. More by kind: battles: rounds, failed retries, passes; convoys: cycles,
   waited, held; frozen signals: checks; long holds: timeouts, CPU time, whether that is known, whether it
   answered. other: the rival or hog. */
typedef struct {
    int64_t cost, start_seq, end_seq, start, end, more[TK_MORE];
    int32_t thread, other;
} tk_finding;

/* All findings of one kind about the same two threads: sums, and where the costliest is. span: end - start. */
typedef struct {
    int64_t count, cost, span, more[TK_MORE], worst_cost, start_seq, end_seq;
    int32_t thread, other;
} tk_finding_group;

typedef struct { int64_t count, kept; } tk_finding_totals;

enum { TK_WAIT, TK_CONTENDED_WAIT, TK_HOLD, TK_SWITCH_LATENCY, TK_DISTRIBUTIONS };
typedef struct {
    int64_t count, p50, p90, p99, max;
    int32_t thread, kind;
} tk_distribution;
typedef struct { int64_t count; int32_t from, to; } tk_handoff;
typedef struct { int64_t waiters, duration; } tk_waiting;
/* kind: 0 none, 1 lost round, 2 timeout, 3 hand-over. sample: the holder's stack that the row tells; 0: none */
typedef struct { int64_t seq, clock, sample; int32_t thread, holder, kind, padding; } tk_retry;

typedef struct {
    int64_t counts[TK_EVENTS];
    int64_t contended_waits, failed_retries, lost_rounds, timeouts, hand_overs;
    int64_t check_releases, blocking_releases, held, waited, retried_waited, not_running, first_seq;
} tk_thread_totals;

typedef struct {
    int64_t events, duration, first_clock, first_tick_clock, switches, checks_least, checks_most;
    int64_t counts[TK_ROW_CODES][2], first_seq[TK_ROW_CODES][2]; /* [code][0: info, 1: error] */
    int64_t held, free_wanted, regions_dropped;
    tk_finding_totals findings[TK_KINDS];
    int32_t timed, clock_known, tick_clock_known, threads, exact, has_ticks;
} tk_totals;

typedef struct { int64_t duration; int32_t waiter, holder; } tk_blame;
/* cause: 0 scheduling, 1 preemption, 2 battle, 3 long hold, 4 convoy, 5 saturation, 6 queueing */
typedef struct { int64_t duration, waits; int32_t thread, holder, cause, padding; } tk_cause;
/* The stacks by the trace's own ids; 0: none is told. */
typedef struct { int64_t duration, waits, holder_stack, waiter_stack; int32_t waiter, holder, cause, padding; } tk_stack_blame;
/* So many waits have time in each of the rows of tk_stack_blame that are in the same set. */
typedef struct { int64_t waits; int32_t set, row; } tk_shared_waits;
/* Waits for one lock (0: one of too many) that one thread (-1: not known) ended. releaser_waited: of that, how long it
   waited for the GIL itself, before the hold in which it unlocked. */
typedef struct { int64_t lock, duration, waits, releaser_waited; int32_t waiter, releaser; } tk_lock_wait;

/* What a region's rows span, and the thread of its first; waits: for the GIL. */
typedef struct { int64_t region, start, end, held, waited, waits; int32_t thread, padding; } tk_region;
/* Of what it waited: so long for the holder (-1: nobody held) at this stack, by the trace's own id; 0: not told. */
typedef struct { int64_t region, duration, stack; int32_t holder, padding; } tk_region_blame;

enum { TK_UNKNOWN_RELEASE, TK_CHECK_RELEASE, TK_BLOCKING_RELEASE };

/* release: one of the above. A `seq` of -1 is none. Clocks count from the trace's first, tick
   clocks from its first tick clock. */
typedef struct {
    int64_t start_seq, end_seq, start, end, start_ticks, end_ticks, waited; /* waited: TK_NULL without a wait */
    int64_t cpu;                                                                   /* TK_NULL: not told */
    int32_t thread;
    uint8_t release, open, truncated, padding;
} tk_hold;

typedef struct {
    int64_t entry_seq, busy_seq, end_seq, start, busy, end, start_ticks, busy_ticks, end_ticks;
    int64_t failed_retries, lost_rounds, timeouts, hand_overs, passes;
    int64_t stack; /* the first that its rows tell; 0: none */
    int32_t thread, rival;
    uint8_t contended, open, truncated, padding[5];
} tk_wait;

typedef struct { int64_t seq, gap, clock, ticks; int32_t from, to; } tk_switch;
typedef struct { int64_t seq; int32_t thread; uint8_t code, error, padding[2]; } tk_fault;

/* The columns of one batch. `codes` turns `thread` into the trace's codes; NULL: they are. */
typedef struct {
    int64_t events;
    const int32_t *thread;
    const int64_t *ticks, *checks, *time;
    const uint8_t *event;
    const int32_t *codes;
    int64_t *clock, *tick_clock;  /* filled when not NULL */
    /* Sorted by row, then by key. Most batches have none (count 0): a row costs nothing more then, and else one
       comparison with the row of the next attribute. */
    const tk_attribute *attributes;
    int64_t attribute_count;
} tk_columns;

/* ---- picture.c ---- */

/* bins: at most so many. cells: so many of all threads, unless the bins get too few. rows: up to so many holds,
   contended waits and failed retries each the picture has all of them; else `window_rows` of each around so many
   (`windows`) findings of each kind, and `edge_rows` where the trace begins and ends, unless more than `window_waiters`
   wait there. rival_switches: then a wait over more of them that is no battle has no rival. */
typedef struct { int64_t bins, cells, rows, edge_rows, window_rows, windows, window_waiters, rival_switches; } tk_picture_limits;

/* What one thread did in one bin: clock units in each state, the longest hold and wait that reach into it (their
   whole length), and how often it failed and released. */
typedef struct {
    int64_t held, entering, busy, retried, longest_hold, longest_wait;
    int32_t bin, thread, retries, checks, blocking, padding;
} tk_cell;

/* after_check: of the wait before it. */
typedef struct {
    int64_t start_seq, end_seq, start, end, waited, cpu, stack;
    int32_t thread;
    uint8_t release, open, truncated, is_long, after_check, padding[7];
} tk_picture_hold;

typedef struct {
    int64_t entry_seq, busy_seq, end_seq, start, busy, end, failed_retries, lost_rounds, timeouts, hand_overs, passes;
    int32_t thread, rival;
    uint8_t contended, open, truncated, after_check, padding[4];
    int64_t retry; /* clock of the first failed one; -1 */
    int64_t stack, sample; /* sample: what its BUSY tells of the holder */
} tk_picture_wait;

typedef struct { int64_t from, to; } tk_window; /* of the clock: in it every row is there */
typedef struct { int64_t clock, tick_clock; } tk_knot;
typedef struct { int64_t low, high, count; int32_t thread, kind; } tk_bucket; /* of durations from low to below high */

typedef struct tk_timeline tk_timeline;

/* kept: whose rows are kept, and whether the clocks of `tk_columns` will be asked for. */
enum { TK_KEEP_HOLDS = 1, TK_KEEP_WAITS = 2, TK_KEEP_SWITCHES = 4, TK_KEEP_FAULTS = 8, TK_KEEP_RETRIES = 16, TK_KEEP_CLOCKS = 32 };
TK_EXPORT tk_timeline *tk_timeline_new(int64_t interval, int32_t kept, const tk_options *options);
TK_EXPORT void tk_timeline_free(tk_timeline *timeline);
/* Collect a picture too. Call before the first feed. False: no memory. */
TK_EXPORT int32_t tk_timeline_draw(tk_timeline *timeline, const tk_picture_limits *limits);
/* 1 << this is the width of a bin in clock units. */
TK_EXPORT int32_t tk_timeline_picture_shift(const tk_timeline *timeline);
/* Whether it has every row of the trace; else only those in its windows. */
TK_EXPORT int32_t tk_timeline_picture_whole(const tk_timeline *timeline);
/* All threads' codes in the batch must be below `threads`. False: no memory. */
TK_EXPORT int32_t tk_timeline_feed(tk_timeline *timeline, const tk_columns *columns, int32_t threads);
TK_EXPORT int32_t tk_timeline_finish(tk_timeline *timeline);
/* Whether what failed did so because there are too many pairs of a thread that waits and one that holds. */
TK_EXPORT int32_t tk_timeline_full(const tk_timeline *timeline);
const tk_totals *tk_timeline_peek(const tk_timeline *timeline);
TK_EXPORT void tk_timeline_totals(const tk_timeline *timeline, tk_totals *totals);
/* The rows of a table and their number. They live until the next feed or free (blame: until the causes); those of the
   five tables that can be forgotten stay as they are from one `forget` to the next, so that another thread can read them
   meanwhile. */
TK_EXPORT const tk_thread_totals *tk_timeline_threads(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_blame *tk_timeline_blame(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_cause *tk_timeline_causes(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_stack_blame *tk_timeline_stack_blame(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_shared_waits *tk_timeline_shared_waits(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_hold *tk_timeline_holds(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_wait *tk_timeline_waits(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_switch *tk_timeline_switches(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_fault *tk_timeline_faults(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_retry *tk_timeline_retries(tk_timeline *timeline, int64_t *count);
/* Drops the rows of these five tables and the findings: for a trace of which not all rows fit in memory. */
TK_EXPORT void tk_timeline_forget(tk_timeline *timeline);
TK_EXPORT const tk_finding *tk_timeline_findings(tk_timeline *timeline, int32_t kind, int64_t *count);
TK_EXPORT const tk_finding_group *tk_timeline_groups(tk_timeline *timeline, int32_t kind, int64_t *count);
TK_EXPORT const tk_distribution *tk_timeline_distributions(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_lock_wait *tk_timeline_locks(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_region *tk_timeline_regions(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_region_blame *tk_timeline_region_blame(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_handoff *tk_timeline_handoffs(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_waiting *tk_timeline_waiting(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_bucket *tk_timeline_histograms(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_cell *tk_timeline_picture_cells(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_picture_hold *tk_timeline_picture_holds(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_picture_wait *tk_timeline_picture_waits(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_retry *tk_timeline_picture_retries(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_window *tk_timeline_picture_windows(tk_timeline *timeline, int64_t *count);
TK_EXPORT const tk_knot *tk_timeline_picture_knots(tk_timeline *timeline, int64_t *count);

/* ---- gather.c ---- */

enum { TK_GATHER_INT64, TK_GATHER_INT32, TK_GATHER_BITS };
/* A column of such rows: the field at `offset`, plus `add`, minus the one at `minus` (-1: none); the last two of
   TK_GATHER_INT64 only, whose fields have 8 bytes. `width`: of the field, 4 or 1, of TK_GATHER_INT32; the fields of
   TK_GATHER_BITS have 1. valid: NULL where nothing is null; else a bitmap: a row is null whose field at `null_offset`
   is `null`. null_count comes back. */
typedef struct {
    int32_t offset, minus, width, kind, null_offset, null_width;
    int64_t add, null, null_count;
    void *out;
    uint8_t *valid;
} tk_gathered;
/* order: which row comes at which place; NULL: as they stand. */
TK_EXPORT void tk_gather(const uint8_t *rows, int64_t size, int64_t count, const int64_t *order, tk_gathered *columns,
                         int32_t column_count);

/* ---- pipeline.c ---- */

typedef struct tk_pipeline tk_pipeline;

/* What has been read so far. Lines count from 1, 0 is none. */
typedef struct {
    int64_t bytes, lines, events, blocks;
    int64_t bad_counts[TK_LINE_CODES], bad_first[TK_LINE_CODES];
    int64_t fault_lines[TK_ROW_CODES][2];
    int64_t bad_attributes, bad_attribute_line, attribute_keys; /* keys: a bit for each that occurs */
    int32_t threads, done, error, strict_stop;
} tk_progress;

/* A batch of columns. Null counts of -1: that column is all null and has no values. */
typedef struct {
    void *block;
    int64_t events, first_line, lines;
    const void *thread, *ticks, *checks, *time;  /* of the widths below */
    const uint8_t *event;
    int64_t null_ticks, null_checks, null_time;
    const uint8_t *valid_ticks, *valid_checks, *valid_time;
    const tk_gap *gaps;
    int64_t gap_count;
    const tk_attribute *attributes;
    int64_t attribute_count;
    int32_t threads, ticks_width, checks_width, time_width, thread_width, padding;
} tk_batch;

typedef struct { int64_t line; int32_t code; uint32_t length; uint64_t offset; } tk_bad_line;

/* Reads the file descriptor `fd` to its end; `head` has been read from it before. whole: batches are to be kept, in
   columns no wider than they need, and so are all bad lines. */
TK_EXPORT tk_pipeline *tk_pipeline_new(int32_t fd, const uint8_t *head, size_t head_length,
                                       int32_t workers, size_t block_bytes, int32_t strict, int32_t whole);
/* Ends the workers; batches that were fetched stay valid until they are given back. */
TK_EXPORT void tk_pipeline_stop(tk_pipeline *pipeline);
TK_EXPORT void tk_pipeline_free(tk_pipeline *pipeline);
/* Reads up to the first event, so that all metadata is known. Call before anything else, until it returns
   non-zero. */
TK_EXPORT int32_t tk_pipeline_prologue(tk_pipeline *pipeline);
/* From here on the workers feed this timeline; no batches come out. */
TK_EXPORT int32_t tk_pipeline_start(tk_pipeline *pipeline, tk_timeline *timeline);
/* Waits at most so long for the end, or for many comments. 1: all is done. */
TK_EXPORT int32_t tk_pipeline_wait(tk_pipeline *pipeline, int32_t milliseconds);
/* The next batch in order. 1: here it is, 0: not yet, or many comments, -1: there is none left. */
TK_EXPORT int32_t tk_pipeline_next(tk_pipeline *pipeline, tk_batch *batch, int32_t milliseconds);
TK_EXPORT void tk_pipeline_give_back(tk_pipeline *pipeline, void *block);
/* Its attributes are not needed any more, though its columns are. */
TK_EXPORT void tk_pipeline_forget_attributes(void *block);
TK_EXPORT void tk_pipeline_progress(tk_pipeline *pipeline, tk_progress *progress);
/* The comments that may be metadata, each how many events stand before it and the number of its line in 8 bytes each, its
   text and LF. Then forgets them. Reading pauses while there are many, so ask for them now and then. */
TK_EXPORT int64_t tk_pipeline_comments(tk_pipeline *pipeline, uint8_t *out, int64_t room);
TK_EXPORT int64_t tk_pipeline_bad_lines(tk_pipeline *pipeline, tk_bad_line *out);
TK_EXPORT int64_t tk_pipeline_bad_texts(tk_pipeline *pipeline, uint8_t *out);
/* Names of the threads from code `first` on, one behind the other; `ends` gets the end of each. */
TK_EXPORT int64_t tk_pipeline_names(tk_pipeline *pipeline, int32_t first, int32_t count, uint8_t *out,
                                    uint64_t *ends);

/* ---- layouts.c ---- */

/* Where a struct below has a field, by Python's name for it; an empty one: the struct itself. A struct that Python knows
   is listed in layouts.c with all its fields. */
typedef struct { const char *structure, *field; int64_t offset, size; } tk_field;
TK_EXPORT const tk_field *tk_layouts(int64_t *count);

#endif
