/* Line tables of code objects: which line an instruction belongs to. */
#ifndef TK_LINES_H
#define TK_LINES_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    TK_LINES_SIGNED,           /* co_lnotab of 3.6 to 3.9 */
    TK_LINES_UNSIGNED,         /* co_lnotab of 2.7 */
    TK_LINES_RANGES,           /* co_linetable of 3.10 */
    TK_LINES_LOCATIONS,        /* co_linetable of 3.11 and later */
    TK_LINES_KINDS
} tk_lines_kind;

int32_t tk_line(tk_lines_kind kind, const uint8_t *table, size_t bytes, int32_t first_line, int32_t instruction);

#endif
