/* Random and half-valid traces through the native core, to be built with a sanitizer: test_sanitized.py.

       fuzz SEED ROUNDS SECONDS

   Round r is made from the seed SEED + r alone: `fuzz N 1 0` repeats the one that a failure names. SECONDS (0: no
   limit) ends the rounds early. Each round makes a trace, reads it once in the plainest way, checks that result in
   itself, and compares it with what other block sizes, numbers of workers and ways of feeding make of it. */
#define _GNU_SOURCE
#include "core.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint64_t round_seed;

__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static void name_round(void) { fprintf(stderr, "in the round with seed %llu\n", (unsigned long long)round_seed); }

static _Noreturn void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "FAILED: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, ", ");
    va_end(arguments);
    name_round();
    _exit(1);
}

#define CHECK(condition) ((condition) ? (void)0 : die("line %d: %s", __LINE__, #condition))

/* ---- randomness ---- */

static uint64_t state;

static uint64_t any(void) {
    uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

static int64_t below(int64_t limit) { return (int64_t)(any() % (uint64_t)limit); }
static bool one_in(int64_t chances) { return below(chances) == 0; }
/* From 1 to `most`, each power of two as likely as the next. */
static int64_t some(int64_t most) {
    int bits = 0;
    while (most >> (bits + 1)) bits++;
    int64_t value = 1 + below((int64_t)1 << below(bits + 1));
    return value < most ? value : most;
}

/* ---- bytes ---- */

typedef struct { uint8_t *items; size_t count, room; } bytes;

static void put(bytes *out, const void *text, size_t length) {
    CHECK(tk_grow(&out->items, &out->room, 1, out->count + length + 1));
    if (length) memcpy(out->items + out->count, text, length);
    out->count += length;
}

static void put_word(bytes *out, const char *word) { put(out, word, strlen(word)); }

__attribute__((format(printf, 2, 3))) static void put_format(bytes *out, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(out, text, (size_t)length);
}

static void put_many(bytes *out, char c, size_t count) {
    CHECK(tk_grow(&out->items, &out->room, 1, out->count + count + 1));
    memset(out->items + out->count, c, count);
    out->count += count;
}

/* ---- traces ---- */

static const char *const EVENT_WORDS[TK_EVENTS] = {"ENTRY", "ACQUIRE", "RELEASE", "BUSY", "RETRY"};

typedef struct {
    int64_t threads, holder, checks, time, step, queued[4]; /* step: of the time, at most */
    /* damage: a line in so many is mutated; attributes: one in so many has some */
    int queue_at, queue_end, damage, style, values, attributes;
    bool plausible, timed, crlf;
} writer;

static void put_name(bytes *out, int64_t thread, int style) {
    switch ((thread + style) % 7) {
    case 0: put_format(out, "a-name-of-more-than-16-bytes-%lld", (long long)thread); break;
    case 1: put_format(out, "sixteen-bytes-%02lld", (long long)(thread % 100)); break;
    case 2: put_format(out, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8d%lld", (long long)thread); break;
    case 3: put_format(out, "%lld", (long long)thread * 7919); break;
    case 4: put_format(out, "same-16-bytes---%lld", (long long)thread); break;
    default: put_format(out, "t%lld", (long long)thread);
    }
}

static void put_integer(bytes *out, const writer *w, int64_t value) {
    static const char *const odd[] = {
        "-", "-1", "0", "-0", "007", "1000000000000", "1000000000001", "-1000000000000", "-1000000000001",
        "9223372036854775807", "18446744073709551615", "18446744073709551617",
        "9223372036854775808", "-9223372036854775808", "99999999999999999999999999999999",
        "4611686018427387904", "4611686018427387905", "00000000000000000000000000000000000000000000000000000001",
        "--1", "-", "+1", "1.5", "0x10", "12a", "12345678", "123456789", "123456789012", "1234567890123",
        "123456789012345678", "1234567890123456789", "\xd9\xa1", "1_000", "-12345678", "-1234567",
    };
    if (w->values && one_in(w->values)) put_word(out, odd[below(sizeof odd / sizeof *odd)]);
    else put_format(out, "%lld", (long long)value);
}

static void put_blanks(bytes *out, const writer *w) {
    if (w->style < 2 || one_in(2)) put_word(out, w->style == 1 ? "\t" : " ");
    else
        for (int64_t i = some(w->style == 2 ? 4 : 40); i > 0; i--) put_word(out, one_in(3) ? "\t" : " ");
}

static void next_event(writer *w, int64_t *thread, int64_t *event) {
    if (w->queue_at < w->queue_end) {
        *thread = w->holder;
        *event = w->queued[w->queue_at++];
    } else if (!w->plausible || one_in(50)) {
        *thread = below(w->threads);
        *event = below(TK_EVENTS);
    } else if (w->holder >= 0 && one_in(2)) { /* gives it up, and often takes it again at once */
        *thread = w->holder;
        *event = TK_RELEASE;
        w->queue_at = w->queue_end = 0;
        if (one_in(2)) {
            w->queued[w->queue_end++] = TK_ENTRY;
            if (!one_in(20)) w->queued[w->queue_end++] = TK_ACQUIRE;
        } else {
            w->holder = -1;
        }
    } else if (w->holder >= 0) {
        *thread = below(w->threads);
        *event = one_in(3) ? TK_ENTRY : one_in(2) ? TK_BUSY : TK_RETRY;
    } else {
        w->holder = *thread = below(w->threads);
        *event = TK_ACQUIRE;
    }
}

static void put_attribute(bytes *out, writer *w) {
    static const char *const keys[] = {"cpu", "stack", "sample", "region", "lock", "unlocks", "zz", "Cpu", "s-t", ""};
    put_blanks(out, w);
    int64_t key = below(one_in(20) ? 10 : 6);
    put_format(out, "%s=", keys[key]);
    put_integer(out, w, below(2000000));
    for (int64_t i = key == 5 ? below(9) : 0; i > 0; i--) {
        put_word(out, ",");
        put_integer(out, w, 1 + below(50));
    }
}

static void put_event(bytes *out, writer *w) {
    int64_t thread, event;
    next_event(w, &thread, &event);
    w->checks += one_in(5) ? below(3) : 0;
    w->time += below(w->step);
    if (one_in(300)) w->checks -= below(1000);
    if (w->style > 1 && one_in(4)) put_blanks(out, w);
    put_name(out, thread, w->style);
    put_blanks(out, w);
    put_integer(out, w, below(102) - 1);
    put_blanks(out, w);
    put_integer(out, w, w->checks);
    put_blanks(out, w);
    for (const char *c = EVENT_WORDS[event]; *c; c++) put_format(out, "%c", one_in(2) && w->style == 3 ? *c | 32 : *c);
    if (w->timed && !one_in(40)) {
        put_blanks(out, w);
        put_integer(out, w, w->time);
    }
    if (w->attributes && one_in(w->attributes))
        for (int64_t i = some(6); i > 0; i--) put_attribute(out, w);
    if (one_in(12)) put_word(out, one_in(2) ? " <- ACQUIRE : GIL acquired" : "\t\xe2\x86\x90 note\xff");
    if (one_in(30)) put_blanks(out, w);
}

static void put_long_line(bytes *out, writer *w) {
    size_t length = (size_t)(TK_LINE_LIMIT - 4 + below(10));
    if (one_in(4)) length += (size_t)below(1 << 20);
    size_t start = out->count;
    switch (below(6)) {
    case 0: put_word(out, "# key: "); break;
    case 1: put_event(out, w); put_word(out, " "); break;
    case 2: put_many(out, ' ', length); put_word(out, one_in(2) ? "#" : "t 1 2 BUSY"); break;
    case 3: put_many(out, 'n', length); put_word(out, " 1 2 BUSY"); break;
    case 4: put_word(out, "t "); put_many(out, '1', length); put_word(out, " 2 BUSY"); break;
    }
    if (out->count - start < length) put_many(out, one_in(2) ? ' ' : 'x', length - (out->count - start));
}

static void mutate(bytes *out, size_t start) {
    size_t length = out->count - start;
    if (!length) return;
    size_t at = start + (size_t)below((int64_t)length);
    switch (below(6)) {
    case 0: out->items[at] = (uint8_t)any(); break;
    case 1: out->items[at] = "\0\t \n\r#-\xff\xc0\x80\x01"[below(11)]; break;
    case 2: out->count = at; break; /* cut short */
    case 3: memmove(out->items + at, out->items + at + 1, out->count - at - 1); out->count--; break;
    case 4: put(out, "\0", 1); break;
    default: out->items[at] ^= (uint8_t)(1 << below(8));
    }
}

static void make_trace(bytes *out) {
    static const char *const others[] = {
        "", " ", "\t \t", "#", "# stack: 1 = 0 1 2", "# python: 3.13.0", "  # check-interval: 7", "# lost: 3", "# thread: t1 = Main", "#:",
        "# x:", "#key:", "# \xff: y", "# thread: = ", "t 1 2", "t 1 2 NO", "\r", "\r\r", "t\0x 1 2 BUSY",
    };
    if (one_in(12)) { /* anything at all */
        for (int64_t i = some(5000); i > 0; i--) put_format(out, "%c", one_in(9) ? '\n' : (int)below(256));
        return;
    }
    writer w = {0};
    w.threads = one_in(15) ? some(3000) : some(12);
    w.holder = -1;
    w.checks = one_in(8) ? below(2000000000000) - 1000000000000 : below(6000);
    w.time = one_in(8) ? (1LL << 62) - below(100000) : below(1000000);
    w.step = one_in(3) ? 1000000 : 1000;
    w.damage = one_in(3) ? 0 : (int)some(300);
    w.values = one_in(2) ? 0 : (int)some(300);
    w.attributes = one_in(2) ? 0 : (int)some(10);
    w.style = (int)below(4);
    w.plausible = !one_in(3);
    w.timed = one_in(2);
    w.crlf = one_in(3);
    int other = one_in(3) ? 0 : (int)some(60);
    if (one_in(8)) put_word(out, "\xEF\xBB\xBF");
    int64_t lines = one_in(25) ? 20000 + below(20000) : some(3000);
    int64_t long_lines = one_in(15) ? 1 + below(3) : 0, long_at = below(lines + 1);
    if (long_lines && lines > 300) lines = 300;
    for (int64_t i = 0; i < lines; i++) {
        size_t start = out->count;
        if (long_lines && i >= long_at % lines) {
            long_lines--;
            put_long_line(out, &w);
        } else if (other && one_in(other)) {
            int64_t which = below(sizeof others / sizeof *others);
            put(out, others[which], which == 18 ? 12 : strlen(others[which]));
        } else {
            put_event(out, &w);
        }
        if (w.damage && one_in(w.damage)) mutate(out, start);
        put_word(out, w.crlf && !one_in(20) ? "\r\n" : "\n");
    }
    if (out->count && one_in(3)) out->count -= (size_t)some(out->count < 4 ? 1 : 3);
}

/* ---- what came out ---- */

typedef struct { int64_t ticks, checks, time, line, thread, event; } row;

/* EVENTS and ATTRIBUTES only where batches were fetched; HOLDS to FAULTS only where the timeline kept rows. */
enum { LINES, EVENTS, ATTRIBUTES, COMMENTS, BAD, BAD_TEXTS, NAMES, NAME_ENDS, TOTALS, THREADS, BLAME, CAUSES, STACKS, SHARED, HOLDS, WAITS, SWITCHES,
       FAULTS, DRAWN, PARTS };
static const char *const PART_NAMES[PARTS] = {
    "lines", "events", "attributes", "comments", "bad lines", "bad texts", "names", "name ends", "totals", "threads", "blame", "causes", "stacks", "shared waits",
    "holds", "waits", "switches", "faults", "picture",
};

typedef struct { bytes parts[PARTS]; tk_progress progress; bool batches, kept; } result;

static void free_result(result *r) {
    for (int i = 0; i < PARTS; i++) free(r->parts[i].items);
}

typedef struct {
    int32_t workers;
    size_t block_bytes, head;
    int64_t interval, keep_bad_lines; /* of those without text too, where all batches are kept */
    bool keep;
    bool keep_rows, batches, strict, piped;
    int stop_after; /* batches or steps of waiting; -1: the end */
} options;

typedef struct { int fd; const uint8_t *text; size_t length, piece; } pump;

static void *fill(void *argument) {
    pump *p = argument;
    while (p->length) {
        ssize_t put_in = write(p->fd, p->text, p->length < p->piece ? p->length : p->piece);
        if (put_in < 0) break;
        p->text += put_in;
        p->length -= (size_t)put_in;
    }
    close(p->fd);
    return NULL;
}

static void drain_comments(tk_pipeline *p, result *r) {
    int64_t size = tk_pipeline_comments(p, NULL, 0);
    if (!size) return;
    uint8_t *text = malloc((size_t)size);
    int64_t got = tk_pipeline_comments(p, text, size);
    if (got <= size) put(&r->parts[COMMENTS], text, (size_t)got);
    free(text);
}

static void take_names(tk_pipeline *p, result *r, int32_t threads) {
    bytes *ends = &r->parts[NAME_ENDS], *names = &r->parts[NAMES];
    int32_t known = (int32_t)(ends->count / 8), more = threads - known;
    if (more <= 0) return;
    uint64_t *new_ends = malloc((size_t)more * 8), start = names->count;
    size_t length = (size_t)tk_pipeline_names(p, known, more, NULL, NULL);
    uint8_t *text = malloc(length + 1);
    CHECK(tk_pipeline_names(p, known, more, text, new_ends) == (int64_t)length);
    CHECK(new_ends[more - 1] == length);
    for (int32_t i = 0; i < more; i++) new_ends[i] += start;
    put(names, text, length);
    put(ends, new_ends, (size_t)more * 8);
    free(new_ends);
    free(text);
}

typedef struct { tk_batch batch; uint64_t sum; } fetched;

/* A batch's columns at full width, with TK_NULL where its bitmap says so. */
typedef struct { int64_t *ticks, *checks, *time; int32_t *thread; } wide;

static int64_t value_at(const void *values, int32_t width, int64_t i) {
    switch (width) {
    case 1: return ((const int8_t *)values)[i];
    case 2: return ((const int16_t *)values)[i];
    case 4: return ((const int32_t *)values)[i];
    }
    CHECK(width == 8);
    return ((const int64_t *)values)[i];
}

static int64_t *widen(const void *values, int32_t width, int64_t events, int64_t nulls, const uint8_t *valid) {
    int64_t *out = malloc((size_t)events * 8 + 1), found = 0;
    for (int64_t i = 0; i < events; i++) {
        bool null = nulls < 0 || (nulls > 0 && !(valid[i >> 3] >> (i & 7) & 1));
        out[i] = null ? TK_NULL : value_at(values, width, i);
        found += null;
        CHECK(null || out[i] != TK_NULL);
    }
    CHECK(found == (nulls < 0 ? events : nulls));
    return out;
}

static wide widen_all(const tk_batch *b) {
    wide w = {widen(b->ticks, b->ticks_width, b->events, b->null_ticks, b->valid_ticks),
              widen(b->checks, b->checks_width, b->events, b->null_checks, b->valid_checks),
              widen(b->time, b->time_width, b->events, b->null_time, b->valid_time),
              malloc((size_t)b->events * 4 + 1)};
    for (int64_t i = 0; i < b->events; i++) w.thread[i] = (int32_t)value_at(b->thread, b->thread_width, i);
    return w;
}

static void free_wide(wide *w) {
    free(w->ticks);
    free(w->checks);
    free(w->time);
    free(w->thread);
}

static uint64_t checksum(const tk_batch *b) {
    uint64_t sum = 0;
    wide w = widen_all(b);
    for (int64_t i = 0; i < b->events; i++) {
        sum = (sum ^ (uint64_t)w.ticks[i]) * 0x100000001B3ULL + (uint64_t)w.checks[i];
        sum = sum * 31 + (uint64_t)w.thread[i] * 8 + b->event[i] + (uint64_t)w.time[i];
    }
    free_wide(&w);
    return sum;
}

static void give_back(tk_pipeline *p, fetched *one) {
    CHECK(checksum(&one->batch) == one->sum);
    tk_pipeline_give_back(p, one->batch.block);
}

static void take_batch(const tk_batch *b, tk_timeline *timeline, result *r) {
    bytes *events = &r->parts[EVENTS];
    int64_t line = b->first_line, gap = 0;
    wide w = widen_all(b);
    CHECK(b->events > 0 && b->lines >= b->events);
    if (events->count) CHECK(line > ((row *)(events->items + events->count))[-1].line);
    const int64_t before = (int64_t)(events->count / sizeof(row));
    for (int64_t i = 0; i < b->attribute_count; i++) {
        const tk_attribute *a = &b->attributes[i];
        CHECK(a->row < b->events && a->key < TK_ATTRIBUTES && a->value >= (a->key != TK_CPU));
        CHECK(i == 0 || a->row > a[-1].row || a->key > a[-1].key || (a->key == TK_UNLOCKS && a->row == a[-1].row));
        int64_t one[3] = {before + a->row, a->key, a->value};
        put(&r->parts[ATTRIBUTES], one, sizeof one);
    }
    for (int64_t i = 0; i < b->events; i++) {
        if (gap < b->gap_count && b->gaps[gap].event == i) line += b->gaps[gap++].count;
        CHECK(w.thread[i] >= 0 && w.thread[i] < b->threads && b->event[i] < TK_EVENTS);
        row one = {w.ticks[i], w.checks[i], w.time[i], line++, w.thread[i], b->event[i]};
        put(events, &one, sizeof one);
    }
    if (gap < b->gap_count) line += b->gaps[gap++].count;
    CHECK(gap == b->gap_count && line == b->first_line + b->lines);

    size_t size = (size_t)b->events * 8;
    int64_t *clock = malloc(size), *tick_clock = malloc(size);
    tk_columns columns = {b->events, w.thread, w.ticks, w.checks, w.time, b->event, NULL, clock, tick_clock,
                          b->attributes, b->attribute_count};
    CHECK(tk_timeline_feed(timeline, &columns, b->threads));
    for (int64_t i = 0; i < b->events; i++) CHECK(clock[i] >= (i ? clock[i - 1] : 0));
    free(clock);
    free(tick_clock);
    free_wide(&w);
}

static int by_cause(const void *a, const void *b) {
    const tk_cause *x = a, *y = b;
    return x->thread != y->thread ? (x->thread > y->thread) - (x->thread < y->thread)
           : x->holder != y->holder ? (x->holder > y->holder) - (x->holder < y->holder)
                                    : (x->cause > y->cause) - (x->cause < y->cause);
}

static int by_holder(const void *a, const void *b) {
    const tk_blame *x = a, *y = b;
    return x->waiter != y->waiter ? (x->waiter > y->waiter) - (x->waiter < y->waiter)
                                  : (x->holder > y->holder) - (x->holder < y->holder);
}

#define TAKE(part, function, type)                                            \
    do {                                                                      \
        int64_t count;                                                        \
        const type *rows = function(timeline, &count);                        \
        CHECK(count >= 0);                                                    \
        put(&r->parts[part], rows, (size_t)count * sizeof *rows);             \
    } while (0)

static void take_timeline(tk_timeline *timeline, result *r) {
    tk_totals totals;
    CHECK(tk_timeline_finish(timeline));
    tk_timeline_totals(timeline, &totals);
    if (!r->kept) totals.first_tick_clock = totals.tick_clock_known = 0;
    put(&r->parts[TOTALS], &totals, sizeof totals);
    TAKE(THREADS, tk_timeline_threads, tk_thread_totals);
    TAKE(BLAME, tk_timeline_blame, tk_blame);
    if (r->parts[BLAME].count)
        qsort(r->parts[BLAME].items, r->parts[BLAME].count / sizeof(tk_blame), sizeof(tk_blame), by_holder);
    TAKE(CAUSES, tk_timeline_causes, tk_cause);
    if (r->parts[CAUSES].count)
        qsort(r->parts[CAUSES].items, r->parts[CAUSES].count / sizeof(tk_cause), sizeof(tk_cause), by_cause);
    TAKE(STACKS, tk_timeline_stack_blame, tk_stack_blame);
    TAKE(SHARED, tk_timeline_shared_waits, tk_shared_waits);
    TAKE(HOLDS, tk_timeline_holds, tk_hold);
    TAKE(WAITS, tk_timeline_waits, tk_wait);
    TAKE(SWITCHES, tk_timeline_switches, tk_switch);
    TAKE(FAULTS, tk_timeline_faults, tk_fault);
    TAKE(DRAWN, tk_timeline_picture_cells, tk_cell);
    TAKE(DRAWN, tk_timeline_picture_holds, tk_picture_hold);
    TAKE(DRAWN, tk_timeline_picture_waits, tk_picture_wait);
    TAKE(DRAWN, tk_timeline_picture_retries, tk_retry);
    TAKE(DRAWN, tk_timeline_picture_windows, tk_window);
    TAKE(DRAWN, tk_timeline_picture_knots, tk_knot);
}

static void take_progress(tk_pipeline *p, const options *o, result *r) {
    drain_comments(p, r);
    tk_pipeline_progress(p, &r->progress);
    take_names(p, r, r->progress.threads);
    int64_t count = tk_pipeline_bad_lines(p, NULL), length = tk_pipeline_bad_texts(p, NULL);
    CHECK(count <= o->keep_bad_lines && length <= count * TK_TEXT_LIMIT);
    tk_bad_line *bad = malloc((size_t)count * sizeof *bad + 1);
    uint8_t *texts = malloc((size_t)length + 1);
    tk_pipeline_bad_lines(p, bad);
    tk_pipeline_bad_texts(p, texts);
    for (int64_t i = 0; i < count; i++) {
        CHECK(bad[i].offset + bad[i].length <= (uint64_t)length && bad[i].line >= 1);
        CHECK(bad[i].code >= 0 && bad[i].code < TK_LINE_CODES && (i == 0 || bad[i].line > bad[i - 1].line));
    }
    put(&r->parts[BAD], bad, (size_t)count * sizeof *bad);
    put(&r->parts[BAD_TEXTS], texts, (size_t)length);
    int64_t lines[4] = {r->progress.lines, r->progress.events, r->progress.bad_attributes,
                        r->progress.bad_attribute_line};
    put(&r->parts[LINES], lines, sizeof lines);
    free(bad);
    free(texts);
}

/* False: it was stopped before the end, so there is nothing to compare. */
static bool read_trace(const bytes *trace, const options *o, result *r) {
    const size_t head = o->head < trace->count ? o->head : trace->count;
    int ends[2] = {-1, -1};
    pump source;
    pthread_t pumping;
    if (o->piped) {
        CHECK(!pipe(ends));
        source = (pump){ends[1], trace->items + head, trace->count - head, (size_t)some(1 << 17) + trace->count / 300};
        CHECK(!pthread_create(&pumping, NULL, fill, &source));
    } else {
        CHECK((ends[0] = memfd_create("trace", MFD_CLOEXEC)) >= 0);
        for (size_t at = 0; at < trace->count;) {
            ssize_t put_in = write(ends[0], trace->items + at, trace->count - at);
            CHECK(put_in > 0);
            at += (size_t)put_in;
        }
        CHECK(lseek(ends[0], (off_t)head, SEEK_SET) == (off_t)head);
    }
    *r = (result){.batches = o->batches, .kept = o->keep_rows};
    uint8_t *copy = malloc(head + 1); /* not longer than it says, for the sanitizer to see */
    if (head) memcpy(copy, trace->items, head);
    tk_pipeline *p =
        tk_pipeline_new(ends[0], copy, head, o->workers, o->block_bytes, o->strict, o->keep);
    free(copy);
    const tk_options options = {.min_rounds = 2, .min_cycles = 2, .max_gap = 1, .min_frozen = 2, .min_timeouts = 1,
                                .long_hold = 1000, .ratio = 1.5, .worst = 3, .distinct_values = 20};
    tk_timeline *timeline = tk_timeline_new(o->interval, o->keep_rows ? 63 : 0, &options);
    CHECK(p && timeline);
    const tk_picture_limits limits = {.bins = 100, .cells = 80, .rows = 40, .edge_rows = 15, .window_rows = 10, .windows = 3,
                                      .window_waiters = 5, .rival_switches = 3};
    CHECK(tk_timeline_draw(timeline, &limits));
    fetched late[8];
    int held = 0, steps = 0;
    bool whole = false;
    if (o->stop_after == 0 && one_in(3)) goto done;
    while (!tk_pipeline_prologue(p)) {}
    if (one_in(2)) drain_comments(p, r);
    if (o->stop_after == 0 && one_in(2)) goto done;
    CHECK(tk_pipeline_start(p, o->batches ? NULL : timeline));
    if (!o->batches) {
        while (!(whole = tk_pipeline_wait(p, o->stop_after < 0 ? 50 : 0)) && steps++ != o->stop_after)
            drain_comments(p, r);
    } else {
        tk_batch batch;
        for (int got;; ) {
            if (steps++ == o->stop_after) break;
            got = tk_pipeline_next(p, &batch, 50);
            if (got < 0) {
                whole = true;
                break;
            }
            if (!got) continue;
            take_batch(&batch, timeline, r);
            take_names(p, r, batch.threads);
            if (one_in(3)) drain_comments(p, r);
            fetched now = {batch, checksum(&batch)};
            if (held == 8) give_back(p, &late[--held]);
            if (one_in(2)) late[held++] = now;
            else give_back(p, &now);
        }
    }
done:
    if (one_in(2) && held) give_back(p, &late[--held]);
    tk_pipeline_stop(p);
    if (one_in(2)) tk_pipeline_stop(p);
    if (whole) {
        take_progress(p, o, r);
        CHECK(!r->progress.error && r->progress.done);
        whole = !r->progress.strict_stop;
    }
    while (held) give_back(p, &late[--held]);
    tk_pipeline_free(p);
    close(ends[0]);
    if (o->piped) pthread_join(pumping, NULL);
    if (whole) take_timeline(timeline, r);
    tk_timeline_free(timeline);
    return whole;
}

/* ---- what must hold ---- */

static size_t rows_of(const result *r, int part, size_t size) {
    CHECK(r->parts[part].count % size == 0);
    return r->parts[part].count / size;
}

static void check_rows(const result *r, const tk_totals *t, const tk_thread_totals *threads) {
    const tk_hold *holds = (void *)r->parts[HOLDS].items;
    const tk_wait *waits = (void *)r->parts[WAITS].items;
    size_t hold_count = rows_of(r, HOLDS, sizeof *holds), wait_count = rows_of(r, WAITS, sizeof *waits);
    tk_thread_totals *sums = calloc((size_t)t->threads + 1, sizeof *sums);
    for (size_t i = 0; i < hold_count; i++) {
        const tk_hold *h = &holds[i];
        CHECK(0 <= h->start && h->start <= h->end && h->end <= t->duration && h->start_seq < t->events);
        CHECK(i == 0 || (holds[i - 1].end <= h->start && holds[i - 1].end_seq <= h->start_seq));
        CHECK(h->waited == TK_NULL || h->waited >= 0);
        CHECK(!h->open || i == hold_count - 1);
        sums[h->thread].held += h->end - h->start;
        sums[h->thread].check_releases += h->release == 1;
        sums[h->thread].blocking_releases += h->release == 2;
    }
    for (size_t i = 0; i < wait_count; i++) {
        const tk_wait *w = &waits[i];
        CHECK(0 <= w->start && w->start <= w->end && w->end <= t->duration && w->truncated == (w->entry_seq < 0));
        CHECK(w->contended == (w->busy_seq >= 0) && (!w->contended || (w->start <= w->busy && w->busy <= w->end)));
        CHECK((w->rival < 0) == (w->passes == 0) && w->passes >= 0 && w->rival < t->threads);
        CHECK(w->lost_rounds + w->timeouts + w->hand_overs <= w->failed_retries);
        sums[w->thread].waited += w->end - w->start;
        sums[w->thread].contended_waits += w->contended;
    }
    for (int32_t i = 0; i < t->threads; i++) {
        CHECK(sums[i].held == threads[i].held && sums[i].waited == threads[i].waited);
        CHECK(sums[i].contended_waits == threads[i].contended_waits);
        CHECK(sums[i].check_releases == threads[i].check_releases);
        CHECK(sums[i].blocking_releases == threads[i].blocking_releases);
    }
    free(sums);
    int64_t faults = 0;
    for (int code = 0; code < TK_ROW_CODES; code++) faults += t->counts[code][0] + t->counts[code][1];
    CHECK(faults == (int64_t)rows_of(r, FAULTS, sizeof(tk_fault)));
    CHECK(t->switches == (int64_t)rows_of(r, SWITCHES, sizeof(tk_switch)));
}

/* By stacks the same is lost behind each holder, if the trace tells any, and waits share rows of one cause. */
static void check_stacks(const result *r) {
    const tk_stack_blame *rows = (void *)r->parts[STACKS].items;
    const tk_shared_waits *shared = (void *)r->parts[SHARED].items;
    const tk_cause *causes = (void *)r->parts[CAUSES].items;
    const size_t count = rows_of(r, STACKS, sizeof *rows);
    uint64_t held = 0, by_stack = 0; /* of many waiters in a trace of 2^62 ns: they may wrap, and are equal all the same */
    for (size_t i = 0; i < rows_of(r, CAUSES, sizeof *causes); i++)
        held += causes[i].holder >= 0 ? (uint64_t)causes[i].duration : 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(rows[i].duration > 0 && rows[i].waits > 0 && rows[i].waits <= rows[i].duration);
        CHECK(rows[i].cause > 0 && rows[i].cause < 7 && rows[i].holder >= 0 && rows[i].waiter >= 0);
        by_stack += (uint64_t)rows[i].duration;
    }
    CHECK(!count || by_stack == held);
    for (size_t i = 0; i < rows_of(r, SHARED, sizeof *shared); i++) {
        CHECK(shared[i].waits > 0 && shared[i].row >= 0 && (size_t)shared[i].row < count);
        CHECK(shared[i].waits <= rows[shared[i].row].waits || rows[shared[i].row].waiter_stack == 0);
        if (i && shared[i].set == shared[i - 1].set)
            CHECK(shared[i].row != shared[i - 1].row && rows[shared[i].row].cause == rows[shared[i - 1].row].cause);
    }
}

static void check_result(const result *r) {
    const tk_totals *t = (void *)r->parts[TOTALS].items;
    const tk_thread_totals *threads = (void *)r->parts[THREADS].items;
    const tk_blame *blame = (void *)r->parts[BLAME].items;
    CHECK(rows_of(r, THREADS, sizeof *threads) == (size_t)t->threads && t->threads == r->progress.threads);
    CHECK(t->events == r->progress.events && t->duration >= 0);
    int64_t events = 0, held = 0, bad = 0, *charged = calloc((size_t)t->threads + 1, sizeof *charged);
    for (size_t i = 0; i < rows_of(r, BLAME, sizeof *blame); i++) {
        CHECK(blame[i].duration > 0 && blame[i].waiter < t->threads && blame[i].holder < t->threads);
        CHECK(i == 0 || by_holder(&blame[i - 1], &blame[i]) < 0);
        charged[blame[i].waiter] += blame[i].duration;
    }
    /* Sorted alike, so the causes of each row of blame stand together, and sum to it. */
    const tk_cause *cause = (void *)r->parts[CAUSES].items;
    const tk_cause *const last_cause = cause + rows_of(r, CAUSES, sizeof *cause);
    for (size_t i = 0; i < rows_of(r, BLAME, sizeof *blame); i++) {
        int64_t sum = 0;
        for (; cause < last_cause && cause->thread == blame[i].waiter && cause->holder == blame[i].holder; cause++) {
            CHECK(cause->duration > 0 && cause->waits > 0 && (cause->holder < 0) == (cause->cause == 0));
            sum += cause->duration;
        }
        CHECK(sum == blame[i].duration);
    }
    CHECK(cause == last_cause);
    check_stacks(r);
    for (int32_t i = 0; i < t->threads; i++) {
        for (int kind = 0; kind < TK_EVENTS; kind++) events += threads[i].counts[kind];
        held += threads[i].held;
        CHECK(charged[i] == threads[i].waited && threads[i].waited <= t->duration && threads[i].held >= 0);
        CHECK(threads[i].first_seq >= 0 && threads[i].failed_retries == threads[i].counts[TK_RETRY]);
        CHECK(threads[i].check_releases + threads[i].blocking_releases <= threads[i].counts[TK_RELEASE]);
    }
    free(charged);
    for (int code = 0; code < TK_LINE_CODES; code++) {
        CHECK(!r->progress.bad_counts[code] == !r->progress.bad_first[code]);
        bad += r->progress.bad_counts[code];
    }
    CHECK(events == t->events && held <= t->duration && events + bad <= r->progress.lines);
    if (r->kept) check_rows(r, t, threads);
}

static void compare(const result *a, const result *b, const options *o) {
    for (int part = 0; part < PARTS; part++) {
        const bytes *x = &a->parts[part], *y = &b->parts[part];
        size_t count = x->count;
        if ((part == EVENTS || part == ATTRIBUTES) && !b->batches) continue;
        if (part >= HOLDS && part != DRAWN && !b->kept) continue;
        if (part == BAD && y->count < count) count = y->count;
        if (part == BAD_TEXTS && y->count < count) count = y->count;
        if (part == TOTALS && a->kept && !b->kept) { /* the second clock is only read where rows are kept */
            tk_totals whole = *(tk_totals *)x->items;
            whole.first_tick_clock = whole.tick_clock_known = 0;
            CHECK(!memcmp(&whole, y->items, sizeof whole));
            continue;
        }
        if (count != y->count || (count && memcmp(x->items, y->items, count)))
            die("%s differ (%zu and %zu bytes): workers %d, block %zu, head %zu, %s, %s, rows %d", PART_NAMES[part],
                x->count, y->count, o->workers, o->block_bytes, o->head, o->piped ? "pipe" : "file",
                o->batches ? "batches" : "fed", o->keep_rows);
    }
    CHECK(!memcmp(a->progress.bad_counts, b->progress.bad_counts, sizeof a->progress.bad_counts));
    CHECK(!memcmp(a->progress.bad_first, b->progress.bad_first, sizeof a->progress.bad_first));
    CHECK(a->progress.bytes == b->progress.bytes);
    CHECK(rows_of(b, BAD, sizeof(tk_bad_line)) ==
          (size_t)(o->keep_bad_lines < (int64_t)rows_of(a, BAD, sizeof(tk_bad_line))
                       ? o->keep_bad_lines : (int64_t)rows_of(a, BAD, sizeof(tk_bad_line))));
    if (b->batches) return;
    /* The lines of the first faults, from the events' lines. */
    const row *events = (void *)a->parts[EVENTS].items;
    const tk_totals *t = (void *)a->parts[TOTALS].items;
    for (int code = 0; code < TK_ROW_CODES; code++)
        for (int error = 0; error < 2; error++)
            CHECK(b->progress.fault_lines[code][error] ==
                  (t->counts[code][error] ? events[t->first_seq[code][error]].line : 0));
}

static void check_strict(const result *plain, const result *strict) {
    const tk_bad_line *a = (void *)plain->parts[BAD].items, *b = (void *)strict->parts[BAD].items;
    CHECK(strict->progress.strict_stop == (plain->parts[BAD].count > 0));
    if (plain->parts[BAD].count) CHECK(a->line == b->line && a->code == b->code);
}

static void one_round(void) {
    bytes trace = {0};
    make_trace(&trace);
    static const int64_t intervals[] = {1, 100, 1000000};
    options o = {1, trace.count + (1 << 16), 0, intervals[below(3)], INT64_MAX, true, true, true, false, false, -1};
    result plain;
    CHECK(read_trace(&trace, &o, &plain));
    check_result(&plain);
    for (int variant = 0; variant < 4; variant++) {
        o.workers = 1 + (int32_t)below(3);
        o.block_bytes = (size_t)some(1 << 16) + trace.count / 400; /* in large steps through large traces */
        o.head = one_in(2) ? (size_t)some(1 << 16) : 0;
        o.keep = one_in(2);
        o.keep_bad_lines = o.keep ? INT64_MAX : TK_BAD_TEXTS;
        o.batches = one_in(2);
        o.keep_rows = one_in(2);
        o.piped = one_in(2);
        o.strict = one_in(6);
        o.stop_after = one_in(4) ? (int)below(6) : -1;
        result other;
        bool whole = read_trace(&trace, &o, &other);
        if (whole) {
            check_result(&other);
            compare(&plain, &other, &o);
        }
        if (o.strict && o.stop_after < 0) check_strict(&plain, &other);
        free_result(&other);
    }
    free_result(&plain);
    free(trace.items);
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: fuzz SEED ROUNDS SECONDS\n");
        return 2;
    }
    const uint64_t seed = strtoull(arguments[1], NULL, 10), rounds = strtoull(arguments[2], NULL, 10);
    const double seconds = strtod(arguments[3], NULL);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(name_round);
    signal(SIGPIPE, SIG_IGN);
    uint64_t done = 0;
    for (; done < rounds; done++) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (seconds > 0 && (double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec) > seconds)
            break;
        round_seed = state = seed + done;
        state *= 0x2545F4914F6CDD1DULL;
        one_round();
    }
    printf("%llu rounds\n", (unsigned long long)done);
    return 0;
}
