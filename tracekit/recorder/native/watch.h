/* A thread of our own that needs no GIL: it watches how long threads hold it and wait, and writes what was just recorded
   into a file of its own when one does for too long, or when somebody asks. */
#ifndef TK_WATCH_H
#define TK_WATCH_H

void tk_watch_forked(void);

#endif
