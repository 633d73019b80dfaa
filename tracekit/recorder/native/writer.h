/* Where records go. All but tk_raw_open under the guard. */
#ifndef TK_WRITER_H
#define TK_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "raw.h"

typedef struct {
    tk_record *next, *ready;   /* up to `ready` there is memory */
    tk_chunk *chunk;
    tk_header *header;
    uint64_t zero, checks;
} tk_raw;

extern tk_raw tk_out;
const char *tk_raw_open(const char *base, const char *metadata, size_t metadata_bytes, uint64_t max_bytes, int old_gil);
int tk_raw_advance(void);
void tk_raw_thread(uint32_t kind, uint32_t number, uint32_t tid, const char *text, size_t length);
int tk_raw_define(const tk_definition *definition, const char *function, const char *file);
void tk_raw_forked(void);
void tk_raw_close(int stopped);
void tk_raw_discard(void);

#endif
