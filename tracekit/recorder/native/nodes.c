#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "layout.h"
#include "memory.h"
#include "nodes.h"
#include "state.h"
#include "writer.h"

enum {
    MOST_CODES = 1 << 16,
    MOST_STACKS = 1 << 17,
    MOST_LINES = 1 << 13,
    CODE_BUCKETS = 1 << 12,
    STACK_BUCKETS = 1 << 15,
    MOST_HIDDEN = 8,
    DEALLOC_OFFSET = 48, NAME_OFFSET = 24,  /* in the type of code objects */
};

/* Living code objects by address. number: of its definition, which others may share; 0: not told. */
typedef struct {
    uintptr_t address, table;
    int32_t first_line;
    uint32_t number, serial, next;
} code_entry;

/* A stack: of its caller's, a code's number and a line. */
typedef struct {
    uint32_t parent, code;
    int32_t line;
    uint32_t next;
} node;

/* The line of an instruction of a code with this serial. Others may take its place. */
typedef struct {
    uint32_t serial;
    int32_t instruction, line;
} known_line;

/* Entry 0 is none. */
static code_entry codes[MOST_CODES];
static node stacks[MOST_STACKS];
static known_line lines[MOST_LINES];
static uint64_t texts[MOST_CODES];
static uint32_t next_text[MOST_CODES], text_buckets[CODE_BUCKETS];
static uint32_t code_buckets[CODE_BUCKETS], stack_buckets[STACK_BUCKETS];
static uint32_t code_entries, code_numbers, serials, free_entry, stack_count;
static int stale;              /* they are of the process that forked this one */
static uint64_t epoch = 1;     /* codes that a trail of an older one knows may be gone */
static uint64_t hidden_files[MOST_HIDDEN];  /* hashes of their names */
static size_t hidden_count;
static void (*free_code)(void *);

static uint32_t mixed(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t hash = (a * 0x9e3779b97f4a7c15u ^ b) * 0xc2b2ae3d27d4eb4fu ^ c;
    hash *= 0x165667b19e3779f9u;
    return (uint32_t)(hash >> 32);
}

static uint32_t *code_place(uintptr_t address) {
    uint32_t *place = &code_buckets[mixed(address, 0, 0) % CODE_BUCKETS];
    while (*place && codes[*place].address != address)
        place = &codes[*place].next;
    return place;
}

/* A code object ends: who comes to lie at its address is another. Called with the GIL held. */
static void hook_free(void *code) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    if (TK_LOAD(code_entries) && guard && !pthread_mutex_lock(guard)) {
        uint32_t *place = code_place((uintptr_t)code), entry = *place;
        if (entry) {
            *place = codes[entry].next;
            codes[entry] = (code_entry){.next = free_entry};
            free_entry = entry;
            epoch++;
        }
        pthread_mutex_unlock(guard);
    }
    free_code(code);
}

static void **free_slot(void) {
    return (void **)(tk_the_layout.type + DEALLOC_OFFSET);
}

const char *tk_codes_can_be_followed(void) {
    Dl_info type, function;
    char name[5];
    const char *at = NULL;
    if (!tk_memory_read(&at, tk_the_layout.type + NAME_OFFSET, sizeof at) ||
        !tk_memory_read(name, (uintptr_t)at, sizeof name) || memcmp(name, "code", sizeof name) ||
        !dladdr((void *)tk_the_layout.type, &type) || !dladdr(*free_slot(), &function) ||
        (type.dli_fbase != function.dli_fbase && *free_slot() != (void *)hook_free))
        return "it cannot be seen when its code objects are freed";
    return NULL;
}

static void anew(void) {
    memset(code_buckets, 0, sizeof code_buckets);
    memset(text_buckets, 0, sizeof text_buckets);
    memset(stack_buckets, 0, sizeof stack_buckets);
    memset(lines, 0, sizeof lines);
    stale = 0;
    code_entries = code_numbers = serials = free_entry = stack_count = 0;
    epoch++;
}

/* In a forked child: most never take a stack, and to clear the tables copies them. */
void tk_nodes_forked(void) {
    stale = 1;
}

void tk_nodes_begin(void) {
    anew();
    if (*free_slot() != (void *)hook_free) {
        free_code = (void (*)(void *))*free_slot();
        TK_STORE(*free_slot(), (void *)hook_free);
    }
}

void tk_nodes_end(void) {
    if (free_code && *free_slot() == (void *)hook_free)
        TK_STORE(*free_slot(), (void *)free_code);
}

static uint64_t hash_of(uint64_t hash, const char *text, int32_t bytes) {
    for (int32_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3u;
    return (hash ^ (uint32_t)bytes) * 0x9e3779b97f4a7c15u;
}

/* Code of this file, a Python text, is not shown in stacks. Before Python 3.8 each function has a text of its own for it. */
TK_PUBLIC void tk_stacks_hide(int64_t file) {
    static char text[TK_TEXT_BYTES];
    int32_t bytes = tk_text(&tk_the_layout.text, (uintptr_t)file, text);
    uint64_t hash = hash_of(0, text, bytes);
    for (size_t i = 0; i < MOST_HIDDEN; i++)
        if (bytes < 0 || hidden_files[i] == hash)
            return;
    hidden_files[hidden_count++ % MOST_HIDDEN] = hash;  /* the oldest are of recordings that ended */
}

static int is_hidden(uint64_t file, const char *function, int32_t bytes) {
    static const char shim[] = "<shim>", trampoline[] = "<interpreter trampoline>";
    for (size_t i = 0; i < MOST_HIDDEN; i++)
        if (hidden_files[i] == file)
            return 1;
    return (bytes == sizeof shim - 1 && !memcmp(function, shim, sizeof shim - 1)) ||
           (bytes == sizeof trampoline - 1 && !memcmp(function, trampoline, sizeof trampoline - 1));
}

static uint32_t lost(void) {
    if (tk_out.header)
        tk_out.header->stacks_lost++;
    return 0;
}

/* The number of a definition, which is told if it is new. 0: no room. */
static uint32_t code_number(int32_t first_line, const char *function, int32_t function_bytes, const char *file,
                            int32_t file_bytes) {
    uint64_t text = hash_of(hash_of((uint32_t)first_line, function, function_bytes), file, file_bytes);
    uint32_t *bucket = &text_buckets[(text >> 32) % CODE_BUCKETS], number = *bucket;
    while (number && texts[number] != text)
        number = next_text[number];
    if (number)
        return number;
    tk_definition told = {.code = {TK_CODE, first_line > 0 ? (uint32_t)first_line : 0, (uint32_t)function_bytes,
                                   (uint32_t)file_bytes}};
    if (code_numbers + 1 == MOST_CODES || !tk_raw_define(&told, function, file))
        return 0;
    texts[++code_numbers] = text;
    next_text[code_numbers] = *bucket;
    return *bucket = code_numbers;
}

/* Reads a code object that is seen for the first time. Returns its entry, 0: it is none, or there is no room. */
static uint32_t first_sight(uintptr_t address, uint32_t *place) {
    static char words[TK_CODE_BYTES], function[TK_TEXT_BYTES], file[TK_TEXT_BYTES];
    const tk_layout *layout = &tk_the_layout;
    uintptr_t file_object, name_object, type, table;
    int32_t first_line;
    if (!tk_memory_read(words, address, layout->code_bytes))
        return 0;
    memcpy(&type, words + layout->code_type, sizeof type);
    memcpy(&file_object, words + layout->code_file, sizeof file_object);
    memcpy(&name_object, words + layout->code_name, sizeof name_object);
    memcpy(&table, words + layout->code_table, sizeof table);
    memcpy(&first_line, words + layout->code_first_line, sizeof first_line);
    if (type != layout->type)
        return 0;
    int32_t function_bytes = tk_text(&layout->text, name_object, function);
    int32_t file_bytes = tk_text(&layout->text, file_object, file);
    if (function_bytes < 0 || file_bytes < 0)
        return 0;
    uint32_t number = 0;
    if (!is_hidden(hash_of(0, file, file_bytes), function, function_bytes) &&
        !(number = code_number(first_line, function, function_bytes, file, file_bytes)))
        return lost();
    uint32_t entry = free_entry;
    if (entry)
        free_entry = codes[entry].next;
    else if (code_entries + 1 < MOST_CODES)
        entry = code_entries + 1;
    else
        return lost();
    if (entry > code_entries)
        TK_STORE(code_entries, entry);
    codes[entry] = (code_entry){address, table, first_line, number, ++serials, *place};
    *place = entry;
    return entry;
}

static known_line *line_place(const code_entry *code, int32_t instruction) {
    return &lines[mixed(code->serial, (uint32_t)instruction, 0) % MOST_LINES];
}

static int is_known(const code_entry *code, int32_t instruction) {
    const known_line *known = line_place(code, instruction);
    return known->serial == code->serial && known->instruction == instruction;
}

/* 0: it has none. -1: it cannot be read now. */
static int32_t line_of(const code_entry *code, int32_t instruction) {
    known_line *known = line_place(code, instruction);
    if (is_known(code, instruction))
        return known->line;
    int32_t line = tk_code_line(&tk_the_layout, code->table, code->first_line, instruction);
    if (line >= 0)
        *known = (known_line){code->serial, instruction, line};
    return line;
}

/* 0: no room, or it cannot be read now. */
static uint32_t stack_called(uint32_t parent, const code_entry *code, int32_t instruction) {
    int32_t line = line_of(code, instruction);
    if (line < 0)
        return 0;
    uint32_t *bucket = &stack_buckets[mixed(parent, code->number, (uint32_t)line) % STACK_BUCKETS], stack = *bucket;
    while (stack && (stacks[stack].parent != parent || stacks[stack].code != code->number || stacks[stack].line != line))
        stack = stacks[stack].next;
    if (stack)
        return stack;
    tk_definition told = {.stack = {TK_STACK, parent, code->number, (uint32_t)line}};
    if (stack_count + 1 == MOST_STACKS || !tk_raw_define(&told, NULL, NULL))
        return lost();
    stacks[++stack_count] = (node){parent, code->number, line, *bucket};
    return *bucket = stack_count;
}

static int32_t instruction_of(const tk_frame *frame) {
    return frame->instruction < 0 ? 0 : (int32_t)frame->instruction;
}

/* Fetches at once what is not known yet of the code of these frames: what is read one by one takes many times as long. */
static void fetch(const tk_frame *frames, size_t count) {
    const tk_layout *layout = &tk_the_layout;
    uintptr_t unknown[TK_MOST_FRAMES];
    size_t unknown_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (frames[i].code == layout->none ||
            (i && frames[i].code == frames[i - 1].code && frames[i].instruction == frames[i - 1].instruction))
            continue;
        uint32_t entry = *code_place(frames[i].code);
        if (!entry)
            tk_memory_want(unknown[unknown_count++] = frames[i].code, layout->code_bytes);
        else if (codes[entry].number && !is_known(&codes[entry], instruction_of(&frames[i])))
            tk_want_bytes(&layout->bytes, codes[entry].table);
    }
    tk_memory_fetch();
    for (size_t i = 0; i < unknown_count; i++) {
        const char *words = tk_memory_fetched(unknown[i], layout->code_bytes);
        uintptr_t object;
        if (!words)
            continue;
        memcpy(&object, words + layout->code_file, sizeof object);
        tk_want_text(&layout->text, object);
        memcpy(&object, words + layout->code_name, sizeof object);
        tk_want_text(&layout->text, object);
        memcpy(&object, words + layout->code_table, sizeof object);
        tk_want_bytes(&layout->bytes, object);
    }
    tk_memory_fetch();
}

/* How many of the outermost frames are as they were. */
static size_t unchanged(const tk_trail *trail, const tk_frame *frames, size_t count) {
    size_t same = 0;
    for (; trail->epoch == epoch && same < count && same < trail->depth; same++) {
        const tk_frame *frame = &frames[count - 1 - same];
        if (trail->steps[same].code != frame->code || trail->steps[same].instruction != instruction_of(frame))
            break;
    }
    return same;
}

/* The stack of these frames, the innermost first. 0: they are none, or there is no room. */
uint32_t tk_stack_number(tk_trail *trail, const tk_frame *frames, size_t count) {
    if (TK_RARE(stale))
        anew();
    size_t same = unchanged(trail, frames, count);
    uint32_t stack = 0;
    if (same < count)
        fetch(frames, count - same);
    for (size_t i = 0; i < count; i++) {
        const tk_frame *frame = &frames[count - 1 - i];
        if (i >= same) {
            if (frame->code != tk_the_layout.none) {
                uint32_t *place = code_place(frame->code), entry = *place ? *place : first_sight(frame->code, place);
                if (entry && codes[entry].number)
                    stack = stack_called(stack, &codes[entry], instruction_of(frame));
                if (!entry || (codes[entry].number && !stack)) {
                    trail->epoch = 0;
                    tk_memory_forget();
                    return 0;
                }
            }
            trail->steps[i].code = frame->code;
            trail->steps[i].instruction = instruction_of(frame);
            trail->steps[i].stack = stack;
        }
        stack = trail->steps[i].stack;
        trail->steps[i].frame = frame->frame;
    }
    tk_memory_forget();
    trail->depth = (uint32_t)count;
    trail->epoch = epoch;
    return stack;
}
