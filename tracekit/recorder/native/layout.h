/* Where in this interpreter's memory a thread's Python frames are: learned at start from what Python says of frames that
   it runs for that purpose, and verified. So there is no table of versions, and no header of Python is needed. */
#ifndef TK_LAYOUT_H
#define TK_LAYOUT_H

#include <stdint.h>

#include "lines.h"

enum { TK_FRAME_BYTES = 168, TK_CODE_BYTES = 320, TK_TABLE_BYTES = 1 << 17, TK_TEXT_BYTES = 1024 };

typedef struct {
    uint16_t length, data, wide_data, state;
    uint8_t kind_shift, ascii_bit;
    uint8_t is_bytes;          /* strings of Python 2 */
} tk_text_layout;

typedef struct {
    uint16_t top, inner;       /* thread state -> frame, or -> something -> frame */
    uint8_t indirect;
    uint16_t back, code, instruction;
    uint8_t is_address;        /* the instruction is an address, not an index of `scale` bytes each */
    uint8_t scale;
    int32_t code_start;        /* of the instructions, in a code object */
    uint16_t low, high;        /* the part of a frame that matters */
    uint16_t code_type, code_first_line, code_file, code_name, code_table, code_bytes;
    tk_lines_kind lines;
    tk_text_layout text, bytes;
    uintptr_t type;            /* of code objects */
    uintptr_t none;
} tk_layout;

extern tk_layout tk_the_layout;

/* Words of objects may have tags in the bits that alignment leaves. */
static inline uintptr_t tk_object(uintptr_t word) {
    return word & ~(uintptr_t)7;
}

/* A frame's instruction as an offset in its code, in bytes. */
static inline int64_t tk_instruction(const tk_layout *layout, const char *frame, uintptr_t code) {
    if (layout->is_address)
        return (int64_t)(*(const uintptr_t *)(frame + layout->instruction) - code - (uintptr_t)layout->code_start);
    return (int64_t)*(const int32_t *)(frame + layout->instruction) * layout->scale;
}

void tk_want_text(const tk_text_layout *layout, uintptr_t object);
void tk_want_bytes(const tk_text_layout *layout, uintptr_t object);
int32_t tk_text(const tk_text_layout *layout, uintptr_t object, char *into);
enum { TK_UNREADABLE = -1, TK_TOO_MANY = -2 };
int64_t tk_bytes(const tk_text_layout *layout, uintptr_t object, uint8_t *into, size_t most);
/* 0: it has none. -1: it cannot be read now. */
int32_t tk_code_line(const tk_layout *layout, uintptr_t table, int32_t first_line, int32_t instruction);

#endif
