/* Rows to columns: what the state machine keeps, a struct a row, as the buffers of Arrow arrays. */
#include "core.h"

#include <string.h>

#define BLOCK 256 /* rows that stay in the nearest cache while each column takes its part */

static inline int64_t read_field(const uint8_t *field, int32_t width) {
    int64_t wide;
    int32_t narrow;
    switch (width) {
    case 8: memcpy(&wide, field, 8); return wide;
    case 4: memcpy(&narrow, field, 4); return narrow;
    default: return *field;
    }
}

/* `first` and `last` count in the column; `order` tells which row that is. */
#define ROW(i) (rows + (size_t)(order ? order[i] : (i)) * size)

static void gather_int64(const uint8_t *rows, size_t size, const int64_t *order, int64_t first, int64_t last,
                         const tk_gathered *column) {
    int64_t *out = column->out;
    for (int64_t i = first; i < last; i++) {
        const uint8_t *row = ROW(i);
        int64_t value = read_field(row + column->offset, 8) + column->add;
        if (column->minus >= 0) value -= read_field(row + column->minus, 8);
        out[i] = value;
    }
}

static void gather_int32(const uint8_t *rows, size_t size, const int64_t *order, int64_t first, int64_t last,
                         const tk_gathered *column) {
    int32_t *out = column->out;
    const int32_t width = column->width;
    for (int64_t i = first; i < last; i++) out[i] = (int32_t)read_field(ROW(i) + column->offset, width);
}

/* `first` is a multiple of 8. */
static void gather_bits(const uint8_t *rows, size_t size, const int64_t *order, int64_t first, int64_t last,
                        const tk_gathered *column) {
    uint8_t *out = column->out;
    for (int64_t i = first; i < last; i++) {
        const uint8_t bit = (uint8_t)((ROW(i)[column->offset] != 0) << (i & 7));
        if (i & 7) out[i >> 3] |= bit;
        else out[i >> 3] = bit;
    }
}

static int64_t gather_valid(const uint8_t *rows, size_t size, const int64_t *order, int64_t first, int64_t last,
                            const tk_gathered *column) {
    int64_t nulls = 0;
    for (int64_t i = first; i < last; i++) {
        const bool valid = read_field(ROW(i) + column->null_offset, column->null_width) != column->null;
        nulls += !valid;
        const uint8_t bit = (uint8_t)(valid << (i & 7));
        if (i & 7) column->valid[i >> 3] |= bit;
        else column->valid[i >> 3] = bit;
    }
    return nulls;
}

void tk_gather(const uint8_t *rows, int64_t size, int64_t count, const int64_t *order, tk_gathered *columns,
               int32_t column_count) {
    for (int32_t c = 0; c < column_count; c++) columns[c].null_count = 0;
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t last = first + BLOCK < count ? first + BLOCK : count;
        for (int32_t c = 0; c < column_count; c++) {
            tk_gathered *column = &columns[c];
            switch (column->kind) {
            case TK_GATHER_INT64: gather_int64(rows, (size_t)size, order, first, last, column); break;
            case TK_GATHER_INT32: gather_int32(rows, (size_t)size, order, first, last, column); break;
            default: gather_bits(rows, (size_t)size, order, first, last, column);
            }
            if (column->valid) column->null_count += gather_valid(rows, (size_t)size, order, first, last, column);
        }
    }
}
