/* A thread of our own that needs no GIL: it watches how long threads hold it and wait, and writes the newest events into
   a snapshot when that takes too long, or when asked. */
#ifndef TK_WATCH_H
#define TK_WATCH_H

void tk_watch_forked(void);

#endif
