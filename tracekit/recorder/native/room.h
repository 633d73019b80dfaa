/* Parts of the recording's file as memory. */
#ifndef TK_ROOM_H
#define TK_ROOM_H

#include <stddef.h>
#include <sys/types.h>

enum { TK_ROOM_PIECE = 1 << 16 };  /* parts begin and end at multiples of it */

extern char tk_room_path[4096 + 48];
void *tk_room_first(size_t bytes);
void *tk_room_part(off_t offset, size_t bytes, int new);
void tk_room_leave(void *part, size_t bytes);
void tk_room_reserve(off_t used);
void tk_room_end(off_t used);
void tk_room_forked(void);

#endif
