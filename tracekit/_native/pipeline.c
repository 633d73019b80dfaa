/* Reading and scanning on every core, in order.

   Each worker does the same: take the next block of whole lines (one at a time,
   under `reading`), scan it, wait for its turn, and hand it on in order: to the
   timeline, or as a batch. A block stays in the cache of the core that scanned
   it, and the buffers are used again. */
#define _GNU_SOURCE
#include "core.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ARENA_BYTES ((size_t)1 << 24)
#define MANY_COMMENTS ((size_t)1 << 22) /* bytes: then reading waits until they are fetched */
#define READ_PATIENCE 50 /* ms between looks at `stop` while a pipe is silent */

/* Memory for the columns of several kept batches. */
struct tk_arena {
    atomic_int users;
    size_t used, size;
    uint8_t *memory;
};

typedef struct {
    tk_pipeline *pipeline;
    pthread_t thread;
    bool started;
    tk_scanner scanner;
    int32_t *codes; /* the scanner's codes -> the trace's */
    size_t codes_room;
    uint8_t *text; /* the block's text; its columns may outlive it */
    size_t text_room;
    tk_block *block;
    tk_arena *arena;
} worker;

struct tk_pipeline {
    int fd, worker_count;
    size_t block_bytes;
    bool strict, whole;
    worker *workers;
    tk_timeline *timeline;
    atomic_bool stop;

    /* Reading. */
    pthread_mutex_t reading;
    uint8_t *carry; /* the beginning of the next block: a line whose end is not read yet */
    size_t carry_length, carry_room;
    size_t searched;      /* so much of it is known to have no LF */
    bool skipping;        /* inside a line that is already too long */
    bool started_reading, at_end;
    int64_t blocks_read;

    /* Handing on, in order. */
    pthread_mutex_t handing;
    pthread_cond_t turn_passed, batch_ready, finished;
    atomic_llong turn;
    tk_names names;
    tk_progress progress;
    TK_VECTOR(tk_bad_line) bad_lines;
    TK_VECTOR(uint8_t) bad_texts;
    TK_VECTOR(uint8_t) comments;
    int running; /* workers that have not ended */

    /* Batches: those that wait to be fetched, by their order, and the free ones. */
    tk_block *first_ready, *free_blocks;
    int ready, free_count;
    int64_t ordered, fetched;
};


static void leave_arena(tk_arena *arena) {
    if (!arena || atomic_fetch_sub(&arena->users, 1) > 1) return;
    free(arena->memory);
    free(arena);
}

/* A place for a block's columns in the worker's arena, or in a new one. */
static bool take_place(worker *w, tk_block *block, size_t size) {
    size = (size + 63) & ~(size_t)63;
    if (!w->arena || w->arena->size - w->arena->used < size) {
        leave_arena(w->arena);
        w->arena = calloc(1, sizeof *w->arena);
        if (!w->arena) return false;
        atomic_init(&w->arena->users, 1);
        w->arena->size = size > ARENA_BYTES ? size : ARENA_BYTES;
        w->arena->memory = malloc(w->arena->size);
        if (!w->arena->memory) return false;
    }
    atomic_fetch_add(&w->arena->users, 1);
    block->arena = w->arena;
    block->columns = w->arena->memory + w->arena->used;
    w->arena->used += size;
    return true;
}

static void free_block(tk_block *block) {
    if (!block) return;
    if (block->arena) leave_arena(block->arena);
    else free(block->columns);
    free(block->gaps.items);
    free(block->bad.items);
    free(block->comments.items);
    free(block->attributes.items);
    free(block->null_ticks.valid);
    free(block->null_checks.valid);
    free(block->null_time.valid);
    free(block);
}

tk_pipeline *tk_pipeline_new(int32_t fd, const uint8_t *head, size_t head_length, int32_t workers,
                             size_t block_bytes, int32_t strict, int32_t whole) {
    tk_pipeline *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->fd = fd;
    p->worker_count = workers;
    p->block_bytes = block_bytes;
    p->strict = strict;
    p->whole = whole;
    pthread_mutex_init(&p->reading, NULL);
    pthread_mutex_init(&p->handing, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
#ifndef __APPLE__
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&p->turn_passed, NULL);
    pthread_cond_init(&p->batch_ready, &attributes);
    pthread_cond_init(&p->finished, &attributes);
    pthread_condattr_destroy(&attributes);
    bool fine = tk_names_init(&p->names) && (p->workers = calloc((size_t)workers, sizeof *p->workers));
    for (int i = 0; fine && i < workers; i++) {
        p->workers[i].pipeline = p;
        fine = tk_names_init(&p->workers[i].scanner.names);
    }
    fine = fine && tk_grow(&p->carry, &p->carry_room, 1, head_length + block_bytes + 1 + TK_PADDING);
    if (!fine) {
        tk_pipeline_free(p);
        return NULL;
    }
    if (head_length) memcpy(p->carry, head, head_length);
    p->carry_length = head_length;
    p->progress.bytes = (int64_t)head_length;
    return p;
}

void tk_pipeline_stop(tk_pipeline *p) {
    atomic_store(&p->stop, true);
    pthread_mutex_lock(&p->handing);
    pthread_cond_broadcast(&p->turn_passed);
    pthread_mutex_unlock(&p->handing);
    for (int i = 0; p->workers && i < p->worker_count; i++) {
        if (p->workers[i].started) pthread_join(p->workers[i].thread, NULL);
        p->workers[i].started = false;
    }
}

void tk_pipeline_free(tk_pipeline *p) {
    if (!p) return;
    tk_pipeline_stop(p);
    for (int i = 0; p->workers && i < p->worker_count; i++) {
        worker *w = &p->workers[i];
        tk_names_free(&w->scanner.names);
        free(w->codes);
        free(w->text);
        free_block(w->block);
        leave_arena(w->arena);
    }
    for (tk_block *lists[2] = {p->first_ready, p->free_blocks}, **list = lists; list < lists + 2; list++)
        for (tk_block *block = *list, *next; block; block = next) {
            next = block->next;
            free_block(block);
        }
    tk_names_free(&p->names);
    free(p->workers);
    free(p->carry);
    free(p->bad_lines.items);
    free(p->bad_texts.items);
    free(p->comments.items);
    pthread_mutex_destroy(&p->reading);
    pthread_mutex_destroy(&p->handing);
    pthread_cond_destroy(&p->turn_passed);
    pthread_cond_destroy(&p->batch_ready);
    pthread_cond_destroy(&p->finished);
    free(p);
}

/* ---- reading ---- */

enum { READ_FAILED = -1, READ_LATER, READ_BLOCK, READ_END };

static int fail(tk_pipeline *p, int error) {
    pthread_mutex_lock(&p->handing);
    if (!p->progress.error) p->progress.error = error;
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->turn_passed);
    pthread_mutex_unlock(&p->handing);
    return READ_FAILED;
}

/* Some more bytes behind the carry. */
static int read_more(tk_pipeline *p, size_t room) {
    /* Room for the LF that the last line may lack, and for the scanner to look past it. */
    if (!tk_grow(&p->carry, &p->carry_room, 1, p->carry_length + room + 1 + TK_PADDING)) return fail(p, ENOMEM);
    struct pollfd ready = {p->fd, POLLIN, 0};
    int polled = poll(&ready, 1, READ_PATIENCE);
    if (polled == 0 || (polled < 0 && errno == EINTR)) return READ_LATER;
    ssize_t got = read(p->fd, p->carry + p->carry_length, room);
    if (got < 0) return errno == EINTR || errno == EAGAIN ? READ_LATER : fail(p, errno);
    p->carry_length += (size_t)got;
    if (!got) p->at_end = true;
    pthread_mutex_lock(&p->handing);
    p->progress.bytes += got;
    pthread_mutex_unlock(&p->handing);
    return READ_BLOCK;
}

/* Of a line that is too long its first LIMIT + 2 bytes are kept (the second for a CR): enough to see that it
   is, and for its diagnostic. */
static void cut_long_line(tk_pipeline *p) {
    const size_t keep = TK_LINE_LIMIT + 2;
    uint8_t *line_feed = memchr(p->carry + keep, '\n', p->carry_length - keep);
    if (line_feed) {
        size_t rest = (size_t)(p->carry + p->carry_length - line_feed);
        memmove(p->carry + keep, line_feed, rest);
        p->carry_length = keep + rest;
        p->skipping = false;
    } else {
        p->carry_length = keep;
        p->skipping = true;
    }
    p->searched = keep;
}

/* Moves the next block of whole lines into the worker's text buffer. Only under `reading`. */
static int next_block(tk_pipeline *p, worker *w) {
    for (;;) {
        if (atomic_load_explicit(&p->stop, memory_order_relaxed)) return READ_FAILED;
        if (!p->started_reading && (p->carry_length >= 3 || p->at_end)) {
            p->started_reading = true;
            if (p->carry_length >= 3 && !memcmp(p->carry, "\xEF\xBB\xBF", 3))
                memmove(p->carry, p->carry + 3, p->carry_length -= 3);
        }
        if (p->skipping) cut_long_line(p);
        if (p->at_end) {
            if (!p->carry_length) return READ_END;
            if (p->carry[p->carry_length - 1] != '\n') p->carry[p->carry_length++] = '\n';
            p->skipping = false;
        }
        bool full = p->started_reading && (p->carry_length >= p->block_bytes || p->at_end);
        if (full && !p->skipping) {
            size_t length = p->carry_length;
            while (length > p->searched && p->carry[length - 1] != '\n') length--;
            if (length > p->searched) {
                /* The two buffers change places; the unfinished line moves to the new carry. */
                uint8_t *text = p->carry;
                size_t text_room = p->carry_room, rest = p->carry_length - length;
                if (!tk_grow(&w->text, &w->text_room, 1, rest + p->block_bytes + 1 + TK_PADDING))
                    return fail(p, ENOMEM);
                p->carry = w->text;
                p->carry_room = w->text_room;
                memcpy(p->carry, text + length, rest);
                p->carry_length = p->searched = rest;
                memset(text + length, 0, TK_PADDING);
                w->text = text;
                w->text_room = text_room;
                w->block->text = text;
                w->block->length = length;
                w->block->index = p->blocks_read++;
                return READ_BLOCK;
            }
            p->searched = p->carry_length;
            if (p->carry_length > TK_LINE_LIMIT + 2) cut_long_line(p);
        }
        size_t wanted = p->carry_length < p->block_bytes ? p->block_bytes - p->carry_length : p->block_bytes;
        int got = read_more(p, wanted);
        if (got != READ_BLOCK) return got;
    }
}

/* ---- handing on ---- */

/* How many values are null; -1: all. A validity bitmap only where it takes one to tell which. */
static bool column_nulls(const int64_t *values, int64_t count, const tk_range *range, tk_nulls *nulls) {
    nulls->count = 0;
    if (values && range->nulls)
        for (int64_t i = 0; i < count; i++) nulls->count += values[i] == TK_NULL;
    if (!values || nulls->count == count) nulls->count = -1;
    if (nulls->count <= 0) return true;
    size_t bytes = (size_t)(count + 7) / 8;
    if (!tk_grow(&nulls->valid, &nulls->room, 1, bytes)) return false;
    memset(nulls->valid, 0, bytes);
    for (int64_t i = 0; i < count; i++) nulls->valid[i >> 3] |= (uint8_t)((values[i] != TK_NULL) << (i & 7));
    return true;
}

static bool find_nulls(tk_block *block) {
    block->ticks_width = block->checks_width = block->time_width = 8;
    block->thread_width = 4;
    return column_nulls(block->ticks, block->events, &block->ticks_range, &block->null_ticks) &&
           column_nulls(block->checks, block->events, &block->checks_range, &block->null_checks) &&
           column_nulls(block->time, block->events, &block->time_range, &block->null_time);
}

/* ---- narrow columns for batches that are kept ---- */

static int32_t width_of(uint64_t bits) {
    return bits < 1ULL << 7 ? 1 : bits < 1ULL << 15 ? 2 : bits < 1ULL << 31 ? 4 : 8;
}

#define NARROW(type, value)                                         \
    do {                                                            \
        type *narrow = out;                                         \
        for (int64_t i = 0; i < count; i++) narrow[i] = (type)(value); \
    } while (0)

static void pack_values(void *out, const int64_t *values, int64_t count, int32_t width) {
    switch (width) {
    case 1: NARROW(int8_t, values[i]); break;
    case 2: NARROW(int16_t, values[i]); break;
    case 4: NARROW(int32_t, values[i]); break;
    default: memcpy(out, values, (size_t)count * 8);
    }
}

static void pack_threads(void *out, const int32_t *threads, const int32_t *codes, int64_t count, int32_t width) {
    switch (width) {
    case 1: NARROW(int8_t, codes[threads[i]]); break;
    case 2: NARROW(int16_t, codes[threads[i]]); break;
    default: NARROW(int32_t, codes[threads[i]]);
    }
}

/* A block of its own size with the columns of `from`; of a column that is all null nothing. */
static tk_block *pack(worker *w, int32_t threads) {
    tk_block *const from = w->block;
    tk_block *block = calloc(1, sizeof *block);
    if (!block) return NULL;
    const int64_t count = from->events;
    const int64_t *const values[3] = {from->ticks, from->checks, from->time};
    const uint64_t bits[3] = {from->ticks_range.bits, from->checks_range.bits, from->time_range.bits};
    const int64_t nulls[3] = {from->null_ticks.count, from->null_checks.count, from->null_time.count};
    int32_t widths[3];
    size_t starts[3], size = 0;
    for (int column = 0; column < 3; column++) {
        widths[column] = width_of(bits[column]);
        starts[column] = size;
        if (nulls[column] >= 0) size += ((size_t)count * (size_t)widths[column] + 63) & ~(size_t)63;
    }
    const size_t thread_start = size;
    block->thread_width = width_of((uint64_t)threads);
    size += ((size_t)count * (size_t)block->thread_width + 63) & ~(size_t)63;
    if (!take_place(w, block, size + (size_t)count)) {
        free(block);
        return NULL;
    }
    for (int column = 0; column < 3; column++)
        if (nulls[column] >= 0) pack_values(block->columns + starts[column], values[column], count, widths[column]);
    pack_threads(block->columns + thread_start, from->thread, w->codes, count, block->thread_width);
    memcpy(block->columns + size, from->event, (size_t)count);
    block->ticks = (int64_t *)(block->columns + starts[0]);
    block->checks = (int64_t *)(block->columns + starts[1]);
    block->time = (int64_t *)(block->columns + starts[2]);
    block->thread = (int32_t *)(block->columns + thread_start);
    block->event = block->columns + size;
    block->ticks_width = widths[0];
    block->checks_width = widths[1];
    block->time_width = widths[2];
    block->events = count;
    block->first_line = from->first_line;
    block->lines = from->lines;
    block->order = from->order;
    /* What belongs to the batch and is not needed for the next scan. */
    block->gaps.items = from->gaps.items;
    block->gaps.count = from->gaps.count;
    block->gaps.room = from->gaps.room;
    memset(&from->gaps, 0, sizeof from->gaps);
    block->attributes.items = from->attributes.items;
    block->attributes.count = from->attributes.count;
    block->attributes.room = from->attributes.room;
    memset(&from->attributes, 0, sizeof from->attributes);
    block->null_ticks = from->null_ticks;
    block->null_checks = from->null_checks;
    block->null_time = from->null_time;
    memset(&from->null_ticks, 0, sizeof from->null_ticks);
    memset(&from->null_checks, 0, sizeof from->null_checks);
    memset(&from->null_time, 0, sizeof from->null_time);
    return block;
}

/* The line of an event, from the lines between the events. */
static int64_t line_of(const tk_block *block, int64_t event) {
    int64_t line = block->first_line + event;
    for (size_t i = 0; i < block->gaps.count && block->gaps.items[i].event <= event; i++)
        line += block->gaps.items[i].count;
    return line;
}

static bool append(uint8_t **bytes, size_t *count, size_t *room, const uint8_t *text, size_t length) {
    if (!tk_grow(bytes, room, 1, *count + length)) return false;
    memcpy(*bytes + *count, text, length);
    *count += length;
    return true;
}

/* Names that this scanner met for the first time, in the order of the trace. */
static bool number_new_names(tk_pipeline *p, worker *w) {
    const tk_names *names = &w->scanner.names;
    if (!tk_grow(&w->codes, &w->codes_room, sizeof *w->codes, (size_t)names->count)) return false;
    for (int32_t code = w->scanner.known; code < names->count; code++) {
        uint32_t length;
        const uint8_t *name = tk_name(names, code, &length);
        if ((w->codes[code] = tk_names_add(&p->names, name, length)) < 0) return false;
    }
    if (names->count > w->scanner.known &&
        (p->names.count > TK_THREAD_LIMIT || p->names.text_length > TK_IDS_LIMIT)) {
        p->progress.error = TK_TOO_MANY_THREADS;
        return false;
    }
    return true;
}

static bool take_comments(tk_pipeline *p, const tk_block *block) {
    for (size_t i = 0; i < block->comments.count; i++) {
        const tk_comment *comment = &block->comments.items[i];
        uint8_t end = '\n';
        uint64_t at[2] = {(uint64_t)p->progress.events + comment->event, (uint64_t)(block->first_line + comment->line)};
        if (!append(&p->comments.items, &p->comments.count, &p->comments.room, (const uint8_t *)at, sizeof at) ||
            !append(&p->comments.items, &p->comments.count, &p->comments.room, block->text + comment->offset,
                    comment->length) ||
            !append(&p->comments.items, &p->comments.count, &p->comments.room, &end, 1))
            return false;
    }
    return true;
}

static bool take_bad_lines(tk_pipeline *p, const tk_block *block) {
    for (size_t i = 0; i < block->bad.count; i++) {
        const tk_bad *bad = &block->bad.items[i];
        int64_t line = block->first_line + bad->line;
        if (!p->progress.bad_counts[bad->code]++) p->progress.bad_first[bad->code] = line;
        if (!p->whole && p->bad_lines.count >= TK_BAD_TEXTS) continue;
        uint32_t length = p->bad_lines.count < TK_BAD_TEXTS ? bad->length : 0;
        if (!tk_grow(&p->bad_lines.items, &p->bad_lines.room, sizeof *p->bad_lines.items, p->bad_lines.count + 1))
            return false;
        p->bad_lines.items[p->bad_lines.count++] =
            (tk_bad_line){line, (int32_t)bad->code, length, p->bad_texts.count};
        if (!append(&p->bad_texts.items, &p->bad_texts.count, &p->bad_texts.room, block->text + bad->offset, length))
            return false;
    }
    return true;
}

static bool feed_timeline(tk_pipeline *p, worker *w) {
    const tk_block *block = w->block;
    tk_columns columns = {block->events, block->thread, block->ticks, block->checks, block->time, block->event,
                          w->codes, NULL, NULL, block->attributes.items, (int64_t)block->attributes.count};
    if (tk_timeline_feed(p->timeline, &columns, p->names.count)) return true;
    if (tk_timeline_full(p->timeline)) p->progress.error = TK_TOO_MANY_PAIRS;
    return false;
}

static void note_fault_lines(tk_pipeline *p, const tk_block *block) {
    const tk_totals *totals = tk_timeline_peek(p->timeline);
    for (int code = 0; code < TK_ROW_CODES; code++)
        for (int error = 0; error < 2; error++)
            if (totals->counts[code][error] && !p->progress.fault_lines[code][error])
                p->progress.fault_lines[code][error] =
                    line_of(block, totals->first_seq[code][error] - p->progress.events);
}

/* The block becomes a batch. No longer in turn: the queue has its order. */
static bool hand_out(tk_pipeline *p, worker *w, int32_t threads) {
    tk_block *block = w->block;
    if (p->whole) {
        if (!(block = pack(w, threads))) return false;
    } else {
        for (int64_t i = 0; i < block->events; i++) block->thread[i] = w->codes[block->thread[i]];
        w->block = NULL;
    }
    pthread_mutex_lock(&p->handing);
    tk_block **place = &p->first_ready;
    while (*place && (*place)->order < block->order) place = &(*place)->next;
    block->next = *place;
    *place = block;
    p->ready++;
    pthread_cond_signal(&p->batch_ready);
    pthread_mutex_unlock(&p->handing);
    return true;
}

/* What must happen in the order of the trace. Only in turn, so nobody else changes what it reads. */
static bool hand_on(tk_pipeline *p, worker *w) {
    tk_block *block = w->block;
    block->first_line = p->progress.lines + 1;
    pthread_mutex_lock(&p->handing);
    bool fine = number_new_names(p, w);
    pthread_mutex_unlock(&p->handing);
    if (p->timeline) fine = fine && feed_timeline(p, w);
    pthread_mutex_lock(&p->handing);
    fine = fine && take_comments(p, block) && take_bad_lines(p, block);
    if (fine && p->timeline) note_fault_lines(p, block);
    if (block->bad_attributes && !p->progress.bad_attributes)
        p->progress.bad_attribute_line = block->first_line + block->bad_attribute_line;
    p->progress.bad_attributes += block->bad_attributes;
    p->progress.attribute_keys |= block->attribute_keys;
    p->progress.lines += block->lines;
    p->progress.events += block->events;
    p->progress.blocks++;
    p->progress.threads = p->names.count;
    if (p->strict && block->bad.count) {
        p->progress.strict_stop = true;
        atomic_store(&p->stop, true);
    }
    const int32_t threads = p->names.count;
    const bool batch = !p->timeline && block->events;
    if (batch) block->order = p->ordered++;
    atomic_fetch_add(&p->turn, 1);
    pthread_cond_broadcast(&p->turn_passed);
    pthread_mutex_unlock(&p->handing);
    return fine && (!batch || hand_out(p, w, threads));
}

static bool wait_for_turn(tk_pipeline *p, int64_t index) {
    for (int spin = 0; spin < 4000; spin++) {
        if (atomic_load_explicit(&p->turn, memory_order_acquire) == index) return !atomic_load(&p->stop);
#if defined(__SSE2__)
        __builtin_ia32_pause();
#endif
    }
    pthread_mutex_lock(&p->handing);
    while (atomic_load(&p->turn) != index && !atomic_load(&p->stop))
        pthread_cond_wait(&p->turn_passed, &p->handing);
    pthread_mutex_unlock(&p->handing);
    return !atomic_load(&p->stop);
}

static bool many_comments(const tk_pipeline *p) { return p->comments.count > MANY_COMMENTS; }

/* A block to scan into; waits while too many batches lie unfetched, or comments. */
static bool take_free_block(tk_pipeline *p, worker *w) {
    pthread_mutex_lock(&p->handing);
    while (((!w->block && p->ready >= 2 * p->worker_count) || (p->running && many_comments(p))) &&
           !atomic_load(&p->stop)) {
        pthread_cond_signal(&p->finished);
        pthread_cond_signal(&p->batch_ready);
        pthread_cond_wait(&p->turn_passed, &p->handing);
    }
    if (!w->block && (w->block = p->free_blocks)) {
        p->free_blocks = w->block->next;
        p->free_count--;
    }
    pthread_mutex_unlock(&p->handing);
    if (!w->block) w->block = calloc(1, sizeof *w->block);
    return w->block != NULL;
}

static void *work(void *argument) {
    worker *w = argument;
    tk_pipeline *p = w->pipeline;
    while (!atomic_load(&p->stop)) {
        if (!take_free_block(p, w)) {
            fail(p, ENOMEM);
            break;
        }
        pthread_mutex_lock(&p->reading);
        int got = next_block(p, w);
        pthread_mutex_unlock(&p->reading);
        if (got == READ_LATER) continue;
        if (got != READ_BLOCK) break;
        bool fine = tk_scan_block(&w->scanner, w->block) && (p->timeline || find_nulls(w->block));
        if (!wait_for_turn(p, w->block->index)) break;
        if (!fine || !hand_on(p, w)) {
            fail(p, ENOMEM);
            break;
        }
    }
    pthread_mutex_lock(&p->handing);
    if (--p->running == 0) p->progress.done = true;
    pthread_cond_broadcast(&p->finished);
    pthread_cond_broadcast(&p->batch_ready);
    pthread_mutex_unlock(&p->handing);
    return NULL;
}

int32_t tk_pipeline_prologue(tk_pipeline *p) {
    worker *w = &p->workers[0];
    /* Blocks without an event are over at once; the first with one stays in the worker until it starts. */
    if (!take_free_block(p, w)) return fail(p, ENOMEM);
    int got = next_block(p, w);
    if (got == READ_LATER) return 0;
    if (got != READ_BLOCK) return 1;
    bool fine = tk_scan_block(&w->scanner, w->block);
    if (fine && w->block->events) {
        w->block->first_line = p->progress.lines + 1;
        if (!take_comments(p, w->block)) return fail(p, ENOMEM);
        w->block->comments.count = 0;
        return 1;
    }
    if (!fine || !hand_on(p, w)) return fail(p, ENOMEM);
    return p->progress.strict_stop;
}

int32_t tk_pipeline_start(tk_pipeline *p, tk_timeline *timeline) {
    p->timeline = timeline;
    worker *first = &p->workers[0];
    if (!atomic_load(&p->stop) && first->block && first->block->events &&
        !((timeline || find_nulls(first->block)) && hand_on(p, first))) {
        fail(p, ENOMEM);
        return false;
    }
    pthread_mutex_lock(&p->handing);
    for (int i = 0; i < p->worker_count; i++) {
        worker *w = &p->workers[i];
        w->started = !pthread_create(&w->thread, NULL, work, w);
        p->running += w->started;
    }
    bool some = p->running > 0;
    pthread_mutex_unlock(&p->handing);
    if (!some) fail(p, EAGAIN);
    return some;
}

static bool timed_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, int32_t milliseconds) {
    struct timespec until;
#ifdef __APPLE__
    clock_gettime(CLOCK_REALTIME, &until);
#else
    clock_gettime(CLOCK_MONOTONIC, &until);
#endif
    until.tv_sec += milliseconds / 1000;
    until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    return pthread_cond_timedwait(condition, mutex, &until) == 0;
}

int32_t tk_pipeline_wait(tk_pipeline *p, int32_t milliseconds) {
    pthread_mutex_lock(&p->handing);
    while (p->running && !many_comments(p) && timed_wait(&p->finished, &p->handing, milliseconds)) {}
    bool done = !p->running;
    pthread_mutex_unlock(&p->handing);
    return done;
}

static bool next_is_ready(const tk_pipeline *p) { return p->first_ready && p->first_ready->order == p->fetched; }

int32_t tk_pipeline_next(tk_pipeline *p, tk_batch *batch, int32_t milliseconds) {
    pthread_mutex_lock(&p->handing);
    while (!next_is_ready(p) && p->running && !many_comments(p) && timed_wait(&p->batch_ready, &p->handing, milliseconds)) {}
    tk_block *block = next_is_ready(p) ? p->first_ready : NULL;
    bool running = p->running > 0;
    if (block) {
        p->first_ready = block->next;
        p->fetched++;
        p->ready--;
        pthread_cond_broadcast(&p->turn_passed);
    }
    int32_t threads = p->names.count;
    pthread_mutex_unlock(&p->handing);
    if (!block) return running ? 0 : -1;
    memset(batch, 0, sizeof *batch);
    batch->block = block;
    batch->events = block->events;
    batch->first_line = block->first_line;
    batch->lines = block->lines;
    batch->thread = block->thread;
    batch->ticks = block->ticks;
    batch->checks = block->checks;
    batch->time = block->time;
    batch->event = block->event;
    batch->null_ticks = block->null_ticks.count;
    batch->null_checks = block->null_checks.count;
    batch->null_time = block->null_time.count;
    batch->valid_ticks = block->null_ticks.valid;
    batch->valid_checks = block->null_checks.valid;
    batch->valid_time = block->null_time.valid;
    batch->gaps = block->gaps.items;
    batch->gap_count = (int64_t)block->gaps.count;
    batch->attributes = block->attributes.items;
    batch->attribute_count = (int64_t)block->attributes.count;
    batch->threads = threads;
    batch->ticks_width = block->ticks_width;
    batch->checks_width = block->checks_width;
    batch->time_width = block->time_width;
    batch->thread_width = block->thread_width;
    return 1;
}

void tk_pipeline_forget_attributes(void *block_pointer) {
    tk_block *block = block_pointer;
    free(block->attributes.items);
    memset(&block->attributes, 0, sizeof block->attributes);
}

void tk_pipeline_give_back(tk_pipeline *p, void *block_pointer) {
    tk_block *block = block_pointer;
    pthread_mutex_lock(&p->handing);
    bool wanted = p->running && !p->whole && p->free_count < 2 * p->worker_count;
    if (wanted) {
        block->next = p->free_blocks;
        p->free_blocks = block;
        p->free_count++;
    }
    pthread_mutex_unlock(&p->handing);
    if (!wanted) free_block(block);
}

void tk_pipeline_progress(tk_pipeline *p, tk_progress *progress) {
    pthread_mutex_lock(&p->handing);
    *progress = p->progress;
    pthread_mutex_unlock(&p->handing);
}

int64_t tk_pipeline_comments(tk_pipeline *p, uint8_t *out, int64_t room) {
    pthread_mutex_lock(&p->handing);
    int64_t count = (int64_t)p->comments.count;
    if (out && room >= count) {
        if (count) memcpy(out, p->comments.items, (size_t)count);
        p->comments.count = 0;
        pthread_cond_broadcast(&p->turn_passed);
    }
    pthread_mutex_unlock(&p->handing);
    return count;
}

int64_t tk_pipeline_bad_lines(tk_pipeline *p, tk_bad_line *out) {
    pthread_mutex_lock(&p->handing);
    int64_t count = (int64_t)p->bad_lines.count;
    if (out && count) memcpy(out, p->bad_lines.items, (size_t)count * sizeof *out);
    pthread_mutex_unlock(&p->handing);
    return count;
}

int64_t tk_pipeline_bad_texts(tk_pipeline *p, uint8_t *out) {
    pthread_mutex_lock(&p->handing);
    int64_t length = (int64_t)p->bad_texts.count;
    if (out && length) memcpy(out, p->bad_texts.items, (size_t)length);
    pthread_mutex_unlock(&p->handing);
    return length;
}

int64_t tk_pipeline_names(tk_pipeline *p, int32_t first, int32_t count, uint8_t *out, uint64_t *ends) {
    pthread_mutex_lock(&p->handing);
    uint64_t start = first ? p->names.ends[first - 1] : 0;
    int64_t length = count ? (int64_t)(p->names.ends[first + count - 1] - start) : 0;
    if (out) {
        memcpy(out, p->names.text + start, (size_t)length);
        for (int32_t i = 0; i < count; i++) ends[i] = p->names.ends[first + i] - start;
    }
    pthread_mutex_unlock(&p->handing);
    return length;
}
