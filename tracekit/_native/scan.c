/* Text to columns. docs/format.md is the grammar; parsers/text.py says the same in Python.

   Two paths. The fast one takes the lines that recorders write: it compares a
   line's first 32 bytes with the line before, keeps the columns that are the
   same and reads the rest eight characters at a time. Whatever it does not
   recognise at once goes to `exact_line`, which tests everything in order. */
#include "core.h"

#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define TICKS_LIMIT 1000000000000LL    /* ticks and checks: within +-10^12 */
#define TIME_LIMIT (1LL << 62)
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

bool tk_grow(void *items_pointer, size_t *room, size_t item_size, size_t least) {
    if (least <= *room) return true;
    size_t wanted = *room < 16 ? 16 : *room * 2;
    if (wanted < least) wanted = least;
    void *items;
    memcpy(&items, items_pointer, sizeof items);
    items = realloc(items, wanted * item_size);
    if (!items) return false;
    memcpy(items_pointer, &items, sizeof items);
    *room = wanted;
    return true;
}

#define PUSH(vector, ...)                                                                         \
    (tk_grow(&(vector).items, &(vector).room, sizeof *(vector).items, (vector).count + 1)         \
         ? ((vector).items[(vector).count++] = __VA_ARGS__, true)                                 \
         : false)

/* ---- names ---- */

bool tk_names_init(tk_names *names) {
    memset(names, 0, sizeof *names);
    names->mask = 63;
    names->slots = calloc(names->mask + 1, sizeof *names->slots);
    return names->slots != NULL;
}

void tk_names_free(tk_names *names) {
    free(names->slots);
    free(names->text);
    free(names->ends);
    memset(names, 0, sizeof *names);
}

const uint8_t *tk_name(const tk_names *names, int32_t code, uint32_t *length) {
    uint64_t start = code ? names->ends[code - 1] : 0;
    *length = (uint32_t)(names->ends[code] - start);
    return names->text + start;
}

static inline uint64_t load(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

/* The first `length` bytes at p as a number; p must be readable for 8. */
static inline uint64_t load_padded(const uint8_t *p, uint32_t length) {
    return length >= 8 ? load(p) : load(p) & ((1ULL << (8 * length)) - 1);
}

static inline uint32_t name_hash(uint64_t low, uint64_t high, uint32_t length) {
    uint64_t hash = (low ^ (high * 0x9E3779B97F4A7C15ULL) ^ length) * 0xD6E8FEB86659FD93ULL;
    return (uint32_t)(hash >> 32) ^ (uint32_t)(hash >> 17);
}

/* `low` and `high` are the name's first 16 bytes; of a longer one, `high` also mixes in the rest. */
static int32_t find_name(const tk_names *names, const uint8_t *name, uint64_t low, uint64_t high,
                         uint32_t length, uint32_t *slot) {
    uint32_t at = name_hash(low, high, length) & names->mask;
    for (;; at = (at + 1) & names->mask) {
        const tk_name_slot *s = &names->slots[at];
        if (!s->length) break;
        if (s->low == low && s->high == high && s->length == length) {
            uint32_t unused;
            if (length <= 16 || !memcmp(tk_name(names, s->code, &unused), name, length)) return s->code;
        }
    }
    *slot = at;
    return -1;
}

static void name_key(const uint8_t *name, uint32_t length, uint64_t *low, uint64_t *high) {
    uint8_t start[16] = {0};
    memcpy(start, name, length < 16 ? length : 16);
    *low = load(start);
    *high = load(start + 8);
    for (uint32_t i = 16; i < length; i++) *high = (*high ^ name[i]) * 0x100000001B3ULL;
}

int32_t tk_names_add(tk_names *names, const uint8_t *name, uint32_t length) {
    if ((uint32_t)names->count * 2 >= names->mask) {
        uint32_t mask = names->mask * 2 + 1;
        tk_name_slot *slots = calloc((size_t)mask + 1, sizeof *slots);
        if (!slots) return -2;
        for (uint32_t i = 0; i <= names->mask; i++) {
            const tk_name_slot *s = &names->slots[i];
            if (!s->length) continue;
            uint32_t at = name_hash(s->low, s->high, s->length) & mask;
            while (slots[at].length) at = (at + 1) & mask;
            slots[at] = *s;
        }
        free(names->slots);
        names->slots = slots;
        names->mask = mask;
    }
    uint64_t low, high;
    uint32_t slot = 0;
    name_key(name, length, &low, &high);
    int32_t code = find_name(names, name, low, high, length, &slot);
    if (code >= 0) return code;
    if (!tk_grow(&names->text, &names->text_room, 1, names->text_length + length + 8) ||
        !tk_grow(&names->ends, &names->ends_room, sizeof *names->ends, (size_t)names->count + 1))
        return -2;
    memcpy(names->text + names->text_length, name, length);
    names->text_length += length;
    names->ends[names->count] = names->text_length;
    names->slots[slot] = (tk_name_slot){low, high, length, names->count};
    return names->count++;
}

/* ---- blocks ---- */

static int64_t *time_column(const tk_block *block) {
    return (int64_t *)(block->columns + (size_t)block->events_room * 21);
}

/* Room for so many events; those that are there stay. The time column is last, so that without times it costs
   no memory. */
static bool reserve(tk_block *block, int64_t events) {
    if (events <= block->events_room) return true;
    events = (events + 63) & ~(int64_t)63;
    const size_t wide = (size_t)events * 8, size = wide * 3 + (size_t)events * 5, kept = (size_t)block->events;
    uint8_t *columns = malloc(size);
    if (!columns) return false;
    tk_block old = *block;
    block->columns = columns;
    block->events_room = events;
    block->ticks = (int64_t *)columns;
    block->checks = (int64_t *)(columns + wide);
    block->thread = (int32_t *)(columns + 2 * wide);
    block->event = columns + 2 * wide + (size_t)events * 4;
    if (kept) {
        memcpy(block->ticks, old.ticks, kept * 8);
        memcpy(block->checks, old.checks, kept * 8);
        memcpy(block->thread, old.thread, kept * 4);
        memcpy(block->event, old.event, kept);
    }
    if (old.time) {
        block->time = time_column(block);
        memcpy(block->time, old.time, kept * 8);
    }
    free(old.columns);
    return true;
}

/* ---- one line, exactly ---- */

static inline bool is_blank(uint8_t c) { return c == ' ' || c == '\t'; }

static bool valid_utf8(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        uint8_t c = *p++;
        if (c < 0x80) continue;
        int more = c >= 0xC2 && c <= 0xDF ? 1 : (c & 0xF0) == 0xE0 ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : 0;
        if (!more || end - p < more) return false;
        if ((c == 0xE0 && *p < 0xA0) || (c == 0xED && *p > 0x9F) || (c == 0xF0 && *p < 0x90) ||
            (c == 0xF4 && *p > 0x8F))
            return false;
        for (; more; more--, p++)
            if ((*p & 0xC0) != 0x80) return false;
    }
    return true;
}

enum { NO_INTEGER, INTEGER, OUT_OF_RANGE };

/* -?[0-9]+ */
static int parse_integer(const uint8_t *p, const uint8_t *end, int64_t least, int64_t most, int64_t *value) {
    bool negative = p < end && *p == '-';
    if (negative) p++;
    if (p == end) return NO_INTEGER;
    uint64_t sum = 0;
    bool huge = false;
    for (; p < end; p++) {
        uint8_t digit = (uint8_t)(*p - '0');
        if (digit > 9) return NO_INTEGER;
        if (sum > (1ULL << 62) / 10) huge = true;
        else sum = sum * 10 + digit;
    }
    if (huge || sum > (1ULL << 62)) return OUT_OF_RANGE;
    *value = negative ? -(int64_t)sum : (int64_t)sum;
    return *value < least || *value > most ? OUT_OF_RANGE : INTEGER;
}

static int event_of(const uint8_t *p, size_t length) {
    static const char *const words[TK_EVENTS] = {"entry", "acquire", "release", "busy", "retry"};
    for (int event = 0; event < TK_EVENTS; event++) {
        if (strlen(words[event]) != length) continue;
        size_t i = 0;
        while (i < length && (p[i] | 0x20) == (uint8_t)words[event][i]) i++;
        if (i == length) return event;
    }
    return -1;
}

/* ---- attributes ---- */

#define UNLOCKS 8

/* Those of one row. `seen`: a bit for each key. */
typedef struct {
    uint32_t seen, unlock_count;
    int64_t value[TK_UNLOCKS], unlocks[UNLOCKS];
} row_attributes;

/* On which events a key counts, a bit for each. */
static const uint8_t belongs[TK_ATTRIBUTES] = {
    [TK_CPU] = 1 << TK_RELEASE,
    [TK_STACK] = 1 << TK_BUSY | 1 << TK_RETRY | 1 << TK_RELEASE,
    [TK_SAMPLE] = 1 << TK_BUSY | 1 << TK_RETRY,
    [TK_REGION] = 1 << TK_ENTRY | 1 << TK_RELEASE,
    [TK_LOCK] = 1 << TK_RELEASE,
    [TK_UNLOCKS] = 1 << TK_RELEASE,
};

/* The key and the = from p on, their length in `length`; -1: another word. */
static inline int known_key(const uint8_t *p, uint32_t *length) {
    static const struct { char word[9]; uint8_t length; } keys[TK_ATTRIBUTES] = {
        {"cpu=", 4}, {"stack=", 6}, {"sample=", 7}, {"region=", 7}, {"lock=", 5}, {"unlocks=", 8},
    };
    const uint64_t word = load(p);
    int key;
    switch (word & 0xFF) {
    case 'c': key = TK_CPU; break;
    case 's': key = p[1] == 't' ? TK_STACK : TK_SAMPLE; break;
    case 'r': key = TK_REGION; break;
    case 'l': key = TK_LOCK; break;
    case 'u': key = TK_UNLOCKS; break;
    default: return -1;
    }
    *length = keys[key].length;
    return (word ^ load((const uint8_t *)keys[key].word)) << (64 - 8 * *length) ? -1 : key;
}

/* [0-9]+ from `least` to 2^62 */
static bool parse_natural(const uint8_t *p, const uint8_t *end, int64_t least, int64_t *value) {
    return p < end && *p != '-' && parse_integer(p, end, least, TIME_LIMIT, value) == INTEGER;
}

/* Up to UNLOCKS ids with commas between; how many, 0: it is of another form. */
static uint32_t parse_unlocks(const uint8_t *p, const uint8_t *end, int64_t *ids) {
    for (uint32_t count = 0; count < UNLOCKS; p++) {
        const uint8_t *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
        if (!parse_natural(p, stop, 1, &ids[count++])) return 0;
        if (!comma) return count;
        p = comma;
    }
    return 0;
}

/* The words from p to end, as far as they are KEY=VALUE. Returns how many values are of another form than their key's. */
static uint32_t exact_attributes(const uint8_t *p, const uint8_t *end, int event, row_attributes *found) {
    uint32_t bad = 0;
    while (p < end) {
        const uint8_t *word = p;
        while (p < end && !is_blank(*p)) p++;
        const uint8_t *stop = p, *equals = word;
        while (p < end && is_blank(*p)) p++;
        while (equals < stop && ((uint8_t)(*equals - 'a') < 26 || (*equals == '-' && equals > word))) equals++;
        if (equals == word || equals == stop || *equals != '=' || equals + 1 == stop) break;
        uint32_t length, count = 0;
        int key = known_key(word, &length);
        if (key < 0) continue;
        int64_t value, ids[UNLOCKS];
        if (key == TK_UNLOCKS ? !(count = parse_unlocks(equals + 1, stop, ids))
                              : !parse_natural(equals + 1, stop, key != TK_CPU, &value)) {
            bad++;
        } else if (belongs[key] >> event & 1) {
            found->seen |= 1U << key;
            if (key != TK_UNLOCKS) found->value[key] = value;
            else memcpy(found->unlocks, ids, (found->unlock_count = count) * sizeof *ids);
        }
    }
    return bad;
}

static bool keep_attributes(tk_block *block, uint32_t row, const row_attributes *found) {
    size_t count = block->attributes.count;
    if (!tk_grow(&block->attributes.items, &block->attributes.room, sizeof(tk_attribute), count + TK_UNLOCKS + UNLOCKS))
        return false;
    tk_attribute *items = block->attributes.items;
    for (uint32_t left = found->seen & ((1U << TK_UNLOCKS) - 1); left; left &= left - 1) {
        uint32_t key = (uint32_t)__builtin_ctz(left);
        items[count++] = (tk_attribute){row, key, found->value[key]};
    }
    if (found->seen >> TK_UNLOCKS)
        for (uint32_t i = 0; i < found->unlock_count; i++)
            items[count++] = (tk_attribute){row, TK_UNLOCKS, found->unlocks[i]};
    block->attributes.count = count;
    block->attribute_keys |= found->seen;
    return true;
}

typedef struct {
    const uint8_t *thread;
    uint32_t thread_length;
    int event;
    int64_t ticks, checks, time;
    uint32_t bad_attributes;
    row_attributes attributes;
} parsed_line;

enum { IS_EVENT = -1, IS_BLANK = -2, IS_COMMENT = -3 };

/* What the line from p to end (without its LF and CR) is: IS_..., or its bad-line code. */
static int exact_line(const uint8_t *p, const uint8_t *end, parsed_line *line) {
    const uint8_t *start[5], *stop[5];
    int words = 0;
    const uint8_t *line_start = p;
    size_t length = (size_t)(end - p);
    while (p < end && is_blank(*p)) p++;
    if (p == end && length <= TK_LINE_LIMIT) return IS_BLANK;
    /* What follows a whole MiB of blanks may have been cut off. */
    if (p < end && *p == '#' && p - line_start <= TK_LINE_LIMIT) return IS_COMMENT;
    if (length > TK_LINE_LIMIT) return TK_LINE_TOO_LONG;
    if (memchr(line_start, 0, length)) return TK_NUL_BYTE;
    while (p < end && words < 5) {
        start[words] = p;
        while (p < end && !is_blank(*p)) p++;
        stop[words++] = p;
        while (p < end && is_blank(*p)) p++;
    }
    if (words < 4) return TK_TOO_FEW_COLUMNS;
    if (!valid_utf8(start[0], stop[3])) return TK_BAD_ENCODING;
    line->thread = start[0];
    if (stop[0] - start[0] > TK_ID_LIMIT) return TK_ID_TOO_LONG;
    line->thread_length = (uint32_t)(stop[0] - start[0]);
    for (int column = 1; column <= 2; column++) {
        int64_t *value = column == 1 ? &line->ticks : &line->checks;
        *value = TK_NULL;
        if (stop[column] - start[column] == 1 && *start[column] == '-') continue;
        switch (parse_integer(start[column], stop[column], -TICKS_LIMIT, TICKS_LIMIT, value)) {
        case NO_INTEGER: return column == 1 ? TK_BAD_TICKS : TK_BAD_CHECKS;
        case OUT_OF_RANGE: return TK_INTEGER_RANGE;
        }
    }
    line->event = event_of(start[3], (size_t)(stop[3] - start[3]));
    if (line->event < 0) return TK_UNKNOWN_EVENT;
    line->time = TK_NULL;
    line->attributes.seen = line->bad_attributes = 0;
    if (words == 5) {
        int64_t time;
        switch (parse_integer(start[4], stop[4], 0, TIME_LIMIT, &time)) {
        case OUT_OF_RANGE: return TK_INTEGER_RANGE;
        case INTEGER:
            line->time = time;
            line->bad_attributes = exact_attributes(p, end, line->event, &line->attributes);
        }
    }
    return IS_EVENT;
}

/* `# key:` -- only such comments are handed on. */
static bool may_be_metadata(const uint8_t *p, const uint8_t *end) {
    while (p < end && is_blank(*p)) p++;
    p++; /* the # */
    while (p < end && is_blank(*p)) p++;
    if (p == end || (uint8_t)((*p | 0x20) - 'a') > 25) return false;
    while (p < end && ((uint8_t)((*p | 0x20) - 'a') < 26 || (uint8_t)(*p - '0') < 10 || *p == '_' || *p == '-'))
        p++;
    return p < end && *p == ':';
}

static bool skip_line(tk_block *block) {
    uint32_t event = (uint32_t)block->events;
    if (block->gaps.count && block->gaps.items[block->gaps.count - 1].event == event) {
        block->gaps.items[block->gaps.count - 1].count++;
        return true;
    }
    return PUSH(block->gaps, (tk_gap){event, 1});
}

static void start_time_column(tk_block *block) {
    block->time = time_column(block);
    for (int64_t i = 0; i < block->events; i++) block->time[i] = TK_NULL;
    block->time_range.nulls = block->events > 0;
}

static inline void note(tk_range *range, int64_t value) {
    if (value == TK_NULL) range->nulls = true;
    else range->bits |= (uint64_t)(value ^ (value >> 63));
}

/* ---- the fast path ---- */

/* How many of the first 32 bytes at a and b are the same. */
static inline uint32_t common_prefix(const uint8_t *a, const uint8_t *b) {
#if defined(__SSE2__)
    uint32_t same = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)a),
                                                               _mm_loadu_si128((const __m128i *)b)));
    if (same != 0xFFFF) return (uint32_t)__builtin_ctz(~same);
    same = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(a + 16)),
                                                      _mm_loadu_si128((const __m128i *)(b + 16))));
    return 16 + (uint32_t)__builtin_ctz(~same | 0x10000);
#else
    for (uint32_t i = 0; i < 32; i += 8) {
        uint64_t differ = load(a + i) ^ load(b + i);
        if (differ) return i + ((uint32_t)__builtin_ctzll(differ) >> 3);
    }
    return 32;
#endif
}

/* How many of the eight characters are digits, from the first on. */
static inline uint32_t leading_digits(uint64_t word) {
    uint64_t no_digit = (word ^ 0x3030303030303030ULL);
    no_digit = ((no_digit + 0x7676767676767676ULL) | no_digit) & 0x8080808080808080ULL;
    return no_digit ? (uint32_t)__builtin_ctzll(no_digit) >> 3 : 8;
}

/* The first `count` (1 to 8) characters, all digits, as a number. */
static inline uint64_t digits_value(uint64_t word, uint32_t count) {
    word = (word << (64 - 8 * count)) & 0x0F0F0F0F0F0F0F0FULL;
    word = (word * 10 + (word >> 8)) & 0x00FF00FF00FF00FFULL;
    word = (word * 100 + (word >> 16)) & 0x0000FFFF0000FFFFULL;
    return (word * 10000 + (word >> 32)) & 0xFFFFFFFFULL;
}

/* Reads `-` or an integer of up to 12 digits, which is always in range. The end of it, or NULL: see exact_line. */
static inline const uint8_t *fast_integer(const uint8_t *p, int64_t *value) {
    uint64_t word = load(p);
    uint32_t count = leading_digits(word);
    if (UNLIKELY(count == 0)) {
        if (*p != '-') return NULL;
        if (is_blank(p[1])) {
            *value = TK_NULL;
            return p + 1;
        }
        word = load(++p);
        count = leading_digits(word);
        if (count == 0 || count == 8) return NULL;
        *value = -(int64_t)digits_value(word, count);
        return p + count;
    }
    *value = (int64_t)digits_value(word, count);
    if (LIKELY(count < 8)) return p + count;
    p += 8;
    for (int more = 0; (uint8_t)(*p - '0') < 10; p++) {
        if (++more > 4) return NULL;
        *value = *value * 10 + (*p - '0');
    }
    return p;
}

/* A time of up to 18 digits. */
static inline const uint8_t *fast_time(const uint8_t *p, int64_t *value) {
    uint64_t word = load(p);
    uint32_t count = leading_digits(word);
    if (UNLIKELY(count == 0)) return NULL;
    uint64_t sum = digits_value(word, count);
    p += count;
    if (count == 8) {
        word = load(p);
        count = leading_digits(word);
        if (count) {
            static const uint32_t powers[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
            sum = sum * powers[count] + digits_value(word, count);
            p += count;
            if (count == 8)
                for (int more = 0; (uint8_t)(*p - '0') < 10; p++) {
                    if (++more > 2) return NULL;
                    sum = sum * 10 + (uint64_t)(*p - '0');
                }
        }
    }
    *value = (int64_t)sum;
    return p;
}

static inline const uint8_t *skip_blanks(const uint8_t *p) {
    if (LIKELY(*p == ' ' && !is_blank(p[1]))) return p + 1;
    while (is_blank(*p)) p++;
    return p;
}

#define WORD5(a, b, c, d, e)                                                                      \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | (uint64_t)(e) << 32)
#define WORD7(a, b, c, d, e, f, g) (WORD5(a, b, c, d, e) | (uint64_t)(f) << 40 | (uint64_t)(g) << 48)
#define LOWER 0x2020202020202020ULL
#define FIRST(n) ((1ULL << (8 * (n))) - 1)

/* The event at p and its length; -1: none, or something after it that makes another word. */
static inline int fast_event(const uint8_t *p, uint32_t *length) {
    uint64_t word = load(p) | LOWER;
    if ((word & FIRST(7)) == WORD7('a', 'c', 'q', 'u', 'i', 'r', 'e')) { *length = 7; return TK_ACQUIRE; }
    if ((word & FIRST(7)) == WORD7('r', 'e', 'l', 'e', 'a', 's', 'e')) { *length = 7; return TK_RELEASE; }
    if ((word & FIRST(5)) == WORD5('e', 'n', 't', 'r', 'y')) { *length = 5; return TK_ENTRY; }
    if ((word & FIRST(5)) == WORD5('r', 'e', 't', 'r', 'y')) { *length = 5; return TK_RETRY; }
    if ((word & FIRST(4)) == WORD5('b', 'u', 's', 'y', 0)) { *length = 4; return TK_BUSY; }
    return -1;
}

/* What stands behind the time, from the blank at p on: the end of the line, or NULL: see exact_line. */
static const uint8_t *fast_attributes(const uint8_t *p, int event, row_attributes *found) {
    found->seen = 0;
    for (;;) {
        while (is_blank(*p)) p++;
        if (*p == '\n') return p;
        if (*p == '\r') return p[1] == '\n' ? p + 1 : NULL;
        uint32_t length;
        const int key = known_key(p, &length);
        if (UNLIKELY(key < 0)) return NULL;
        p += length;
        int64_t value;
        if (key == TK_UNLOCKS) {
            for (uint32_t count = 0;; p++) {
                p = fast_time(p, &value);
                if (UNLIKELY(!p || !value || count == UNLOCKS)) return NULL;
                found->unlocks[count++] = value;
                found->unlock_count = count;
                if (*p != ',') break;
            }
        } else {
            p = fast_time(p, &value);
            if (UNLIKELY(!p || (!value && key != TK_CPU))) return NULL;
            found->value[key] = value;
        }
        if (UNLIKELY(!is_blank(*p) && *p != '\n' && *p != '\r')) return NULL;
        found->seen |= (uint32_t)(belongs[key] >> event & 1) << key;
    }
}

/* How many events the block may have: from the lines read so far, in it or in the block before. */
static int64_t room_for(const tk_scanner *scanner, const tk_block *block, const uint8_t *line) {
    double bytes = (double)(line - block->text), left = (double)block->length - bytes;
    double per_event = block->events ? bytes / (double)block->events : scanner->bytes_per_event;
    return block->events + (int64_t)(left / (per_event > 11 ? per_event : 11) * 1.02) + 64;
}

bool tk_scan_block(tk_scanner *scanner, tk_block *block) {
    static const uint8_t nothing[TK_PADDING] = {0};
    const uint8_t *const text = block->text;
    const uint8_t *const text_end = text + block->length;
    tk_names *names = &scanner->names;
    /* The line before, and where its columns began. Offsets of 64 never match. */
    const uint8_t *before = nothing;
    uint32_t ticks_at = 64, checks_at = 64, event_at = 64;
    int64_t ticks = TK_NULL, checks = TK_NULL, line_number = 0, n = 0;
    int32_t thread = 0;

    block->events = 0;
    block->time = NULL;
    block->gaps.count = block->bad.count = block->comments.count = block->attributes.count = 0;
    block->bad_attributes = block->attribute_keys = 0;
    block->ticks_range = block->checks_range = block->time_range = (tk_range){0};
    int64_t *ticks_out = block->ticks, *checks_out = block->checks, room = block->events_room;
    int32_t *thread_out = block->thread;
    uint8_t *event_out = block->event;
    scanner->known = names->count;

    for (const uint8_t *line = text; line < text_end; line_number++) {
        const uint8_t *p;
        int event;
        uint32_t length;
        if (UNLIKELY(n == room)) {
            block->events = n;
            if (!reserve(block, room_for(scanner, block, line))) return false;
            room = block->events_room;
            ticks_out = block->ticks;
            checks_out = block->checks;
            thread_out = block->thread;
            event_out = block->event;
        }
        const uint32_t same = common_prefix(line, before);
        if (same >= event_at) {
            p = line + event_at;
        } else {
            /* The offsets are of this line from here on; a line that is refused below resets them. */
            if (same >= checks_at) {
                p = line + checks_at;
            } else {
                if (same >= ticks_at) {
                    p = line + ticks_at;
                } else {
                    p = line;
                    while (is_blank(*p)) p++;
                    const uint8_t *name = p;
                    if (UNLIKELY(*p == '#')) goto slow;
                    while (*p > ' ') p++;
                    length = (uint32_t)(p - name);
                    if (UNLIKELY(!is_blank(*p) || length == 0 || length > 16)) goto slow;
                    uint64_t low = load_padded(name, length);
                    uint64_t high = length > 8 ? load_padded(name + 8, length - 8) : 0;
                    uint32_t slot;
                    thread = find_name(names, name, low, high, length, &slot);
                    if (UNLIKELY(thread < 0)) goto slow;
                    p = skip_blanks(p);
                    ticks_at = (uint32_t)(p - line);
                }
                p = fast_integer(p, &ticks);
                if (UNLIKELY(!p || !is_blank(*p))) goto slow;
                note(&block->ticks_range, ticks);
                p = skip_blanks(p);
                checks_at = (uint32_t)(p - line);
            }
            p = fast_integer(p, &checks);
            if (UNLIKELY(!p || !is_blank(*p))) goto slow;
            note(&block->checks_range, checks);
            p = skip_blanks(p);
            event_at = (uint32_t)(p - line);
        }
        event = fast_event(p, &length);
        if (UNLIKELY(event < 0)) goto slow;
        p += length;
        if (LIKELY(*p == '\n')) {
            if (block->time) {
                block->time[n] = TK_NULL;
                block->time_range.nulls = true;
            }
        } else {
            if (*p == ' ') {
                int64_t time;
                p = skip_blanks(p);
                p = fast_time(p, &time);
                if (UNLIKELY(!p)) goto slow;
                if (UNLIKELY(!block->time)) {
                    block->events = n;
                    start_time_column(block);
                }
                block->time[n] = time;
                note(&block->time_range, time);
            } else if (block->time) {
                block->time[n] = TK_NULL;
                block->time_range.nulls = true;
            }
            if (*p == '\r') p++;
            if (UNLIKELY(*p != '\n')) {
                if (!is_blank(*p) || p[-1] == '\r' || !block->time || block->time[n] == TK_NULL) goto slow;
                row_attributes found;
                p = fast_attributes(p, event, &found);
                if (UNLIKELY(!p || p - line > TK_LINE_LIMIT)) goto slow;
                if (found.seen && !keep_attributes(block, (uint32_t)n, &found)) return false;
            }
        }
        thread_out[n] = thread;
        ticks_out[n] = ticks;
        checks_out[n] = checks;
        event_out[n] = (uint8_t)event;
        n++;
        before = line;
        line = p + 1;
        continue;

    slow:;
        const uint8_t *next = memchr(line, '\n', (size_t)(text_end - line));
        const uint8_t *end = next;
        if (end > line && end[-1] == '\r') end--;
        parsed_line parsed;
        int what = exact_line(line, end, &parsed);
        block->events = n;
        before = nothing;
        ticks_at = checks_at = event_at = 64;
        if (what == IS_EVENT) {
            thread = tk_names_add(names, parsed.thread, parsed.thread_length);
            if (thread < 0) return false;
            if (parsed.time != TK_NULL && !block->time) start_time_column(block);
            if (block->time) {
                block->time[n] = parsed.time;
                note(&block->time_range, parsed.time);
            }
            note(&block->ticks_range, parsed.ticks);
            note(&block->checks_range, parsed.checks);
            if (parsed.attributes.seen && !keep_attributes(block, (uint32_t)n, &parsed.attributes)) return false;
            if (UNLIKELY(parsed.bad_attributes)) {
                if (!block->bad_attributes) block->bad_attribute_line = (uint32_t)line_number;
                block->bad_attributes += parsed.bad_attributes;
            }
            thread_out[n] = thread;
            ticks_out[n] = parsed.ticks;
            checks_out[n] = parsed.checks;
            event_out[n] = (uint8_t)parsed.event;
            n++;
        } else {
            uint32_t offset = (uint32_t)(line - text);
            size_t size = (size_t)(end - line);
            if (!skip_line(block)) return false;
            if (what == IS_COMMENT) {
                if (size <= TK_LINE_LIMIT && may_be_metadata(line, end) &&
                    !PUSH(block->comments, (tk_comment){(uint32_t)n, (uint32_t)line_number, offset, (uint32_t)size}))
                    return false;
            } else if (what != IS_BLANK) {
                uint32_t kept = size < TK_TEXT_LIMIT ? (uint32_t)size : TK_TEXT_LIMIT;
                if (!PUSH(block->bad, (tk_bad){(uint32_t)line_number, (uint32_t)what, offset, kept})) return false;
            }
        }
        line = next + 1;
    }
    block->events = n;
    block->lines = line_number;
    if (n) scanner->bytes_per_event = (double)block->length / (double)n;
    return true;
}
