#include "lines.h"

static int32_t by_steps(const uint8_t *table, size_t bytes, int64_t line, int64_t instruction, int is_signed) {
    int64_t address = 0;
    for (size_t i = 0; i + 1 < bytes; i += 2) {
        address += table[i];
        if (address > instruction)
            break;
        line += is_signed ? (int8_t)table[i + 1] : table[i + 1];
    }
    return (int32_t)line;
}

static int32_t by_ranges(const uint8_t *table, size_t bytes, int64_t line, int64_t instruction) {
    int64_t end = 0;
    for (size_t i = 0; i + 1 < bytes && end <= instruction; i += 2) {
        end += table[i];
        if ((int8_t)table[i + 1] != -128)  /* a range of no line keeps the one before */
            line += (int8_t)table[i + 1];
    }
    return (int32_t)line;
}

static int64_t signed_number(const uint8_t *table, size_t bytes) {
    uint64_t value = 0;
    unsigned shift = 0;
    for (size_t i = 0; i < bytes && shift < 36; i++, shift += 6) {
        value |= (uint64_t)(table[i] & 63) << shift;
        if (!(table[i] & 64))
            break;
    }
    return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* Each entry: a byte with the high bit, in which are a kind and a length, then bytes without it. */
static int32_t by_locations(const uint8_t *table, size_t bytes, int64_t line, int64_t instruction) {
    enum { ONE_LINE = 10, NO_COLUMNS = 13, LONG = 14 };
    int64_t end = 0;
    for (size_t i = 0; i < bytes && end <= instruction;) {
        int kind = table[i] >> 3 & 15;
        end += 2 * ((table[i] & 7) + 1);
        i++;
        if (kind == LONG || kind == NO_COLUMNS)
            line += signed_number(table + i, bytes - i);
        else if (kind >= ONE_LINE && kind < NO_COLUMNS)
            line += kind - ONE_LINE;
        while (i < bytes && !(table[i] & 128))
            i++;
    }
    return (int32_t)line;
}

/* instruction: its offset in bytes. */
int32_t tk_line(tk_lines_kind kind, const uint8_t *table, size_t bytes, int32_t first_line, int32_t instruction) {
    switch (kind) {
    case TK_LINES_RANGES:
        return by_ranges(table, bytes, first_line, instruction);
    case TK_LINES_LOCATIONS:
        return by_locations(table, bytes, first_line, instruction);
    default:
        return by_steps(table, bytes, first_line, instruction, kind == TK_LINES_SIGNED);
    }
}
