/* Parts of a recording's file as memory. */
#ifndef TK_ROOM_H
#define TK_ROOM_H

#include <stddef.h>
#include <sys/types.h>

enum { TK_ROOM_PIECE = 1 << 16 };  /* parts begin and end at multiples of it */

typedef struct {
    char path[4096 + 48];
    dev_t device;
    ino_t inode;
    char *first;               /* what it began with: its first part is mapped throughout */
    size_t first_bytes;
    char *window;
    off_t window_bytes, filled;
} tk_room;

void *tk_room_first(tk_room *room, size_t bytes);
void *tk_room_part(tk_room *room, off_t offset, size_t bytes, int new);
void tk_room_leave(tk_room *room, void *part, size_t bytes);
void tk_room_reserve(tk_room *room, off_t used);
void tk_room_end(tk_room *room, off_t used);
void tk_room_forked(tk_room *room);

#endif
