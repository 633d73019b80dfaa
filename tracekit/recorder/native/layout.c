#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "layout.h"
#include "memory.h"
#include "state.h"

enum {
    STATE_BYTES = 512,         /* of a thread state, this much is searched, */
    INNER_BYTES = 128,         /* and of what it points to */
    OBJECT_BYTES = 512,        /* of an object, this much is read at once */
    MOST_FACTS = 64,
    MOST_SAMPLES = 12,
    MOST_SHIMS = 2,            /* frames of no Python code between two that are */
};

tk_layout tk_the_layout;

/* What Python says of a frame that is suspended: facts[0] is the innermost, whose instruction and line change meanwhile. */
typedef struct {
    int64_t code, instruction, line, first_line, file, name, table, unused;
} fact;

/* What Python says of a text, or of bytes. */
typedef struct {
    int64_t object, length, kind, is_ascii;
    const char *utf8;
    int64_t utf8_bytes;
} sample;

static fact facts[MOST_FACTS];
static size_t fact_count;
static sample texts[MOST_SAMPLES], byte_strings[MOST_SAMPLES];
static size_t text_count, bytes_count;
static uint8_t table_bytes[TK_TABLE_BYTES];

static uintptr_t word_at(const char *bytes, size_t offset) {
    uintptr_t word;
    memcpy(&word, bytes + offset, sizeof word);
    return word;
}

static int32_t int_at(const char *bytes, size_t offset) {
    int32_t value;
    memcpy(&value, bytes + offset, sizeof value);
    return value;
}

static int plausible(uintptr_t address) {
    return address >= 4096 && address < (uintptr_t)1 << 56 && !(address & 7);
}

/* As much as can be read, at most `bytes`. */
static size_t read_up_to(char *into, uintptr_t from, size_t bytes) {
    if (!plausible(from))
        return 0;
    for (; bytes >= 32; bytes -= 16)
        if (tk_memory_read(into, from, bytes))
            return bytes;
    return 0;
}

/* So much of an object is read in one go: most are small, and what lies on the same page can be read. */
static size_t part_of(uintptr_t object, size_t head_bytes) {
    size_t on_page = 4096 - (object & 4095);
    size_t bytes = on_page < OBJECT_BYTES ? on_page : OBJECT_BYTES;
    return bytes < head_bytes ? head_bytes : bytes;
}

static void want_object(uintptr_t object, size_t head_bytes) {
    if (plausible(object))
        tk_memory_want(object, part_of(object, head_bytes));
}

/* Returns 0: it cannot be read. */
static int read_object(char *into, uintptr_t object, size_t head_bytes, size_t *got) {
    *got = part_of(object, head_bytes);
    return plausible(object) && tk_memory_read(into, object, *got);
}

/* Texts. */

static int put_utf8(char *into, int32_t *at, uint32_t c) {
    char bytes[4];
    int n = 0;
    if (c < 0x80) {
        bytes[n++] = (char)c;
    } else if (c < 0x800) {
        bytes[n++] = (char)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        bytes[n++] = (char)(0xe0 | c >> 12);
        bytes[n++] = (char)(0x80 | (c >> 6 & 63));
    } else {
        bytes[n++] = (char)(0xf0 | (c >> 18 & 7));
        bytes[n++] = (char)(0x80 | (c >> 12 & 63));
        bytes[n++] = (char)(0x80 | (c >> 6 & 63));
    }
    if (c >= 0x80)
        bytes[n++] = (char)(0x80 | (c & 63));
    if (*at + n > TK_TEXT_BYTES)
        return 0;
    memcpy(into + *at, bytes, (size_t)n);
    *at += n;
    return 1;
}

static size_t head_of(const tk_text_layout *layout) {
    return (layout->is_bytes || layout->length > layout->state ? layout->length + 4u : layout->state) + 4u;
}

/* tk_text will be called for this. */
void tk_want_text(const tk_text_layout *layout, uintptr_t object) {
    want_object(object, head_of(layout));
}

/* tk_bytes will. */
void tk_want_bytes(const tk_text_layout *layout, uintptr_t object) {
    want_object(object, layout->data);
}

/* A text as UTF-8, cut where it is too long. Returns its bytes, -1: cannot be read. */
int32_t tk_text(const tk_text_layout *layout, uintptr_t object, char *into) {
    static char data[TK_TEXT_BYTES * 4], head[OBJECT_BYTES];  /* threads may have little room of their own */
    int32_t at = 0;
    size_t got;
    if (!read_object(head, object, head_of(layout), &got))
        return -1;
    uint64_t length = word_at(head, layout->length);
    uint32_t state = layout->is_bytes ? 0 : (uint32_t)int_at(head, layout->state);
    uint32_t kind = layout->is_bytes ? 1 : state >> layout->kind_shift & 7;
    int narrow = layout->is_bytes || state >> layout->ascii_bit & 1;
    if (length > 1 << 28 || (kind != 1 && kind != 2 && kind != 4))
        return -1;
    if (length > TK_TEXT_BYTES)
        length = TK_TEXT_BYTES;
    size_t place = narrow ? layout->data : layout->wide_data;
    if (place + length * kind <= got)
        memcpy(data, head + place, length * kind);
    else if (!tk_memory_read(data, object + place, length * kind))
        return -1;
    if (narrow) {
        memcpy(into, data, length);
        return (int32_t)length;
    }
    for (size_t i = 0; i < length; i++) {
        uint32_t c = kind == 1 ? (uint8_t)data[i] : kind == 2 ? ((uint16_t *)data)[i] : ((uint32_t *)data)[i];
        if (!put_utf8(into, &at, c))
            break;
    }
    return at;
}

/* The content of bytes. Returns how many, TK_UNREADABLE, or TK_TOO_MANY. */
int64_t tk_bytes(const tk_text_layout *layout, uintptr_t object, uint8_t *into, size_t most) {
    static char head[OBJECT_BYTES];
    size_t got;
    if (!read_object(head, object, layout->data, &got))
        return TK_UNREADABLE;
    uint64_t length = word_at(head, layout->length);
    if (length > most)
        return TK_TOO_MANY;
    if (layout->data + length <= got)
        memcpy(into, head + layout->data, length);
    else if (!tk_memory_read(into, object + layout->data, length))
        return TK_UNREADABLE;
    return (int64_t)length;
}

static int has_content(const sample *wanted, size_t offset, size_t size) {
    char data[256];
    return size <= sizeof data && tk_memory_read(data, (uintptr_t)wanted->object + offset, size) &&
           !memcmp(data, wanted->utf8, size);
}

static int learn_bytes(tk_text_layout *layout, const sample *samples, size_t count) {
    for (layout->length = 8; layout->length < 64; layout->length += 8) {
        size_t i = 0;
        uint64_t length;
        while (i < count && tk_memory_read(&length, (uintptr_t)samples[i].object + layout->length, sizeof length) &&
               length == (uint64_t)samples[i].length)
            i++;
        if (i < count)
            continue;
        for (layout->data = (uint16_t)(layout->length + 8); layout->data < 96; layout->data += 4) {
            for (i = 0; i < count && has_content(&samples[i], layout->data, (size_t)samples[i].utf8_bytes); i++) {
            }
            if (i == count && count)
                return 1;
        }
    }
    return 0;
}

static int texts_are_right(const tk_text_layout *layout) {
    char utf8[TK_TEXT_BYTES];
    for (size_t i = 0; i < text_count; i++) {
        int32_t got = tk_text(layout, (uintptr_t)texts[i].object, utf8);
        if (got != texts[i].utf8_bytes || memcmp(utf8, texts[i].utf8, (size_t)got))
            return 0;
    }
    return text_count > 0;
}

static int learn_state(tk_text_layout *layout) {
    enum { STATE_END = 64 };
    char heads[MOST_SAMPLES][STATE_END];
    size_t head_bytes = STATE_END;
    for (size_t i = 0; i < text_count; i++) {
        size_t got = read_up_to(heads[i], (uintptr_t)texts[i].object, STATE_END);
        head_bytes = got < head_bytes ? got : head_bytes;
    }
    for (layout->state = 16; layout->state + 4u <= head_bytes; layout->state += 4)
        for (layout->kind_shift = 0; layout->kind_shift < 30; layout->kind_shift++)
            for (layout->ascii_bit = 0; layout->ascii_bit < 32; layout->ascii_bit++) {
                size_t i = 0;
                for (; i < text_count; i++) {
                    uint32_t state = (uint32_t)int_at(heads[i], layout->state);
                    if ((state >> layout->kind_shift & 7) != (uint32_t)texts[i].kind ||
                        (state >> layout->ascii_bit & 1) != (uint32_t)texts[i].is_ascii)
                        break;
                }
                if (i < text_count)
                    continue;
                for (layout->data = 24; layout->data < 96; layout->data += 8)
                    for (layout->wide_data = layout->data; layout->wide_data < 96; layout->wide_data += 8)
                        if (texts_are_right(layout))
                            return 1;
            }
    return 0;
}

static int learn_texts(tk_layout *layout) {
    if (!learn_bytes(&layout->bytes, byte_strings, bytes_count))
        return 0;
    layout->text = layout->bytes;
    layout->text.is_bytes = 1;
    if (texts_are_right(&layout->text))
        return 1;
    layout->text.is_bytes = 0;
    for (layout->text.length = 8; layout->text.length < 40; layout->text.length += 8) {
        size_t i = 0;
        uint64_t length;
        while (i < text_count && tk_memory_read(&length, (uintptr_t)texts[i].object + layout->text.length, sizeof length) &&
               length == (uint64_t)texts[i].length)
            i++;
        if (i == text_count && learn_state(&layout->text))
            return 1;
    }
    return 0;
}

/* Code objects. */

static int code_has(size_t offset, size_t bytes, const ptrdiff_t of_fact) {
    for (size_t i = 0; i < fact_count; i++) {
        uint64_t found = 0;
        int64_t wanted;
        memcpy(&wanted, (const char *)&facts[i] + of_fact, sizeof wanted);
        if (!tk_memory_read(&found, (uintptr_t)facts[i].code + offset, bytes) ||
            found != (bytes == 4 ? (uint64_t)(uint32_t)wanted : (uint64_t)wanted))
            return 0;
    }
    return 1;
}

static int find_in_code(uint16_t *offset, size_t bytes, const ptrdiff_t of_fact) {
    for (*offset = 8; *offset < TK_CODE_BYTES - 8; *offset += (uint16_t)bytes)
        if (code_has(*offset, bytes, of_fact))
            return 1;
    return 0;
}

static int find_type(tk_layout *layout) {
    for (layout->code_type = 0; layout->code_type < 64; layout->code_type += 8) {
        size_t i = 0;
        uintptr_t type;
        while (i < fact_count && tk_memory_read(&type, (uintptr_t)facts[i].code + layout->code_type, sizeof type) &&
               type == layout->type)
            i++;
        if (i == fact_count)
            return 1;
    }
    return 0;
}

int32_t tk_code_line(const tk_layout *layout, uintptr_t table, int32_t first_line, int32_t instruction) {
    int64_t bytes = tk_bytes(&layout->bytes, table, table_bytes, sizeof table_bytes);
    if (bytes < 0)
        return bytes == TK_TOO_MANY ? 0 : -1;
    int32_t line = tk_line(layout->lines, table_bytes, (size_t)bytes, first_line, instruction);
    return line > 0 ? line : 0;
}

static int lines_are_right(const tk_layout *layout) {
    char words[TK_CODE_BYTES];
    size_t checked = 0;
    for (size_t i = 1; i < fact_count; i++) {
        if (facts[i].line < 0)
            continue;
        if (!tk_memory_read(words, (uintptr_t)facts[i].code, layout->code_bytes) ||
            tk_code_line(layout, word_at(words, layout->code_table), int_at(words, layout->code_first_line),
                         (int32_t)facts[i].instruction) != facts[i].line)
            return 0;
        checked++;
    }
    return checked >= 3;
}

static int learn_code(tk_layout *layout) {
    layout->type = (uintptr_t)dlsym(RTLD_DEFAULT, "PyCode_Type");
    if (!layout->type || !find_type(layout) || !find_in_code(&layout->code_first_line, 4, offsetof(fact, first_line)) ||
        !find_in_code(&layout->code_file, 8, offsetof(fact, file)) ||
        !find_in_code(&layout->code_name, 8, offsetof(fact, name)) ||
        !find_in_code(&layout->code_table, 8, offsetof(fact, table)))
        return 0;
    const uint16_t last[] = {layout->code_first_line, layout->code_file, layout->code_name, layout->code_table,
                             layout->code_type};
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (layout->code_bytes < last[i] + 8)
            layout->code_bytes = (uint16_t)(last[i] + 8);
    for (layout->lines = 0; layout->lines < TK_LINES_KINDS; layout->lines++)
        if (lines_are_right(layout))
            return 1;
    return 0;
}

/* Frames. */

/* Whether these are the frames, one called by the next; `frames`, if any, gets their addresses. */
static int is_chain(const tk_layout *layout, uintptr_t frame, uintptr_t *frames) {
    char words[TK_FRAME_BYTES];
    int shims = 0;
    for (size_t i = 0; i < fact_count;) {
        if (!plausible(frame) || !tk_memory_read(words, frame, layout->high))
            return 0;
        if (tk_object(word_at(words, layout->code)) == (uintptr_t)facts[i].code) {
            if (frames)
                frames[i] = frame;
            i++;
            shims = 0;
        } else if (++shims > MOST_SHIMS) {
            return 0;
        }
        frame = word_at(words, layout->back);
    }
    return 1;
}

/* At this address is the innermost frame: finds where its code and its caller are. */
static int learn_frame(tk_layout *layout, uintptr_t frame) {
    char words[TK_FRAME_BYTES];
    size_t bytes = read_up_to(words, frame, sizeof words);
    for (size_t code = 0; code + 8 <= bytes; code += 8) {
        if (tk_object(word_at(words, code)) != (uintptr_t)facts[0].code)
            continue;
        for (size_t back = 0; back + 8 <= bytes; back += 8) {
            layout->code = (uint16_t)code;
            layout->back = (uint16_t)back;
            layout->high = (uint16_t)((code > back ? code : back) + 8);
            if (back != code && is_chain(layout, frame, NULL))
                return 1;
        }
    }
    return 0;
}

static int learn_chain(tk_layout *layout, uintptr_t state) {
    char words[STATE_BYTES], inner[INNER_BYTES];
    size_t bytes = read_up_to(words, state, sizeof words);
    layout->indirect = 0;
    for (layout->top = 0; layout->top + 8u <= bytes; layout->top += 8)
        if (learn_frame(layout, word_at(words, layout->top)))
            return 1;
    layout->indirect = 1;
    for (layout->top = 0; layout->top + 8u <= bytes; layout->top += 8) {
        size_t inner_bytes = read_up_to(inner, word_at(words, layout->top), sizeof inner);
        for (layout->inner = 0; layout->inner + 8u <= inner_bytes; layout->inner += 8)
            if (learn_frame(layout, word_at(inner, layout->inner)))
                return 1;
    }
    return 0;
}

static uintptr_t top_frame(const tk_layout *layout, uintptr_t state) {
    uintptr_t frame = 0;
    if (!tk_memory_read(&frame, state + layout->top, sizeof frame))
        return 0;
    if (layout->indirect && (!plausible(frame) || !tk_memory_read(&frame, frame + layout->inner, sizeof frame)))
        return 0;
    return frame;
}

static int instructions_are_right(const tk_layout *layout, const uintptr_t *frames) {
    char words[TK_FRAME_BYTES + 8];
    for (size_t i = 1; i < fact_count; i++)
        if (!tk_memory_read(words, frames[i], layout->instruction + (layout->is_address ? 8u : 4u)) ||
            tk_instruction(layout, words, (uintptr_t)facts[i].code) != facts[i].instruction)
            return 0;
    return 1;
}

static int learn_instruction(tk_layout *layout, const uintptr_t *frames) {
    uintptr_t address;
    layout->is_address = 1;
    for (layout->instruction = 0; layout->instruction + 8 <= TK_FRAME_BYTES; layout->instruction += 8) {
        if (!tk_memory_read(&address, frames[1] + layout->instruction, sizeof address))
            continue;
        int64_t start = (int64_t)(address - (uintptr_t)facts[1].code) - facts[1].instruction;
        layout->code_start = (int32_t)start;
        if (start > 0 && start < 1024 && instructions_are_right(layout, frames))
            return 1;
    }
    layout->is_address = 0;
    layout->code_start = 0;
    for (layout->scale = 1; layout->scale <= 2; layout->scale++)
        for (layout->instruction = 0; layout->instruction + 8 <= TK_FRAME_BYTES; layout->instruction += 4)
            if (instructions_are_right(layout, frames))
                return 1;
    return 0;
}

static void note_span(tk_layout *layout) {
    const uint16_t places[] = {layout->back, layout->code, layout->instruction};
    layout->low = UINT16_MAX;
    layout->high = 0;
    for (size_t i = 0; i < 3; i++) {
        uint16_t end = (uint16_t)((places[i] | 7) + 1);
        if (layout->low > places[i])
            layout->low = places[i];
        if (layout->high < end)
            layout->high = end;
    }
    layout->low &= (uint16_t)~7;
}

/* A text as an example, or bytes (kind 0). Its object and `utf8` must live until all is learned. */
TK_PUBLIC void tk_stacks_example(int64_t object, int64_t length, int32_t kind, int32_t is_ascii, const char *utf8,
                                 int64_t utf8_bytes) {
    sample *samples = kind ? texts : byte_strings;
    size_t *count = kind ? &text_count : &bytes_count;
    if (*count < MOST_SAMPLES)
        samples[(*count)++] = (sample){object, length, kind, is_ascii, utf8, utf8_bytes};
}

/* Called from frames of which it is told all: learns from the first such call, verifies in the others. Returns NULL, or
   what could not be found. */
TK_PUBLIC const char *tk_stacks_learn(void *(*thread_state)(void), const int64_t *told, int32_t count, int64_t none,
                                      int32_t first) {
    tk_layout learned = tk_the_layout;
    uintptr_t frames[MOST_FACTS], state = (uintptr_t)thread_state();
    fact_count = count > MOST_FACTS ? MOST_FACTS : (size_t)count;
    memcpy(facts, told, fact_count * sizeof *facts);
    if (fact_count < 4)
        return "too few frames to learn from";
    if (first) {
        memset(&learned, 0, sizeof learned);
        learned.none = (uintptr_t)none;
        if (!learn_texts(&learned))
            return "its strings could not be read";
        if (!learn_chain(&learned, state))
            return "its frames could not be found";
        if (!is_chain(&learned, top_frame(&learned, state), frames) || !learn_instruction(&learned, frames))
            return "the instructions of its frames could not be found";
        if (!learn_code(&learned))
            return "its line tables could not be read";
        note_span(&learned);
        tk_the_layout = learned;
    }
    if (!is_chain(&learned, top_frame(&learned, state), frames) || !instructions_are_right(&learned, frames) ||
        !lines_are_right(&learned) || !find_type(&learned) || !texts_are_right(&learned.text) ||
        !code_has(learned.code_name, 8, offsetof(fact, name)) || !code_has(learned.code_file, 8, offsetof(fact, file)) ||
        !code_has(learned.code_first_line, 4, offsetof(fact, first_line)))
        return "what was learned of its frames is not so everywhere";
    return NULL;
}

TK_PUBLIC void tk_stacks_learn_anew(void) {
    text_count = bytes_count = 0;
    tk_memory_prepare();
}
