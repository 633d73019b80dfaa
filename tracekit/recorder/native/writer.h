/* Where records go. All but tk_raw_open and what concerns started programs under the guard. */
#ifndef TK_WRITER_H
#define TK_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "raw.h"
#include "room.h"

typedef struct {
    tk_record *next, *ready;   /* up to `ready` there is memory */
    tk_chunk *chunk;
    tk_header *header;
    uint64_t zero, checks;
} tk_raw;

extern tk_raw tk_out;
extern tk_room tk_the_room;
const char *tk_raw_open(const char *base, const char *metadata, size_t metadata_bytes, uint64_t max_bytes, int old_gil);
int tk_raw_advance(void);
tk_thread_record *tk_raw_thread(uint32_t kind, uint32_t number, uint32_t tid, const char *text, size_t length);
uint64_t tk_raw_ring_chunks(void);
uint64_t tk_raw_event_chunks(void);
int tk_raw_name_regions(uint32_t number, const char *name, size_t length);
void tk_raw_region_is(uint32_t region, uint32_t name);
int tk_raw_define(const tk_definition *definition, const char *function, const char *file);
void tk_raw_forks(void);
void tk_raw_forked(void);
int tk_raw_is_idle(void);
void tk_raw_belongs(uint64_t session, int own, int starts);
uint32_t tk_raw_owner(void);
tk_start_record *tk_raw_started(uint32_t pid, const char *text, size_t length);
void tk_raw_not_started(tk_start_record *record);
void tk_raw_leave(int leaves, int locked);
void tk_raw_reserve(void);
void tk_raw_note_clock(tk_header *header, uint64_t zero);
void tk_raw_not_recorded(const char *what, const char *why);
tk_header *tk_raw_open_other(tk_room *room, uint32_t number, uint64_t zero, uint32_t chunk_bytes);
void tk_raw_close(int stopped);
void tk_raw_discard(void);

#endif
