/* Reads of this process' memory at addresses that may be wrong: through the kernel, which says so instead of crashing. */
#ifndef TK_MEMORY_H
#define TK_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* TK_PIPE: slow, to learn with. TK_DIRECT: what it reads must be there. */
enum { TK_KERNEL, TK_PIPE, TK_DIRECT };

extern int tk_memory_way;
void tk_memory_prepare(void);
void tk_memory_begin(void);
void tk_memory_forked(void);
void tk_memory_want(uintptr_t from, size_t bytes);
void tk_memory_fetch(void);
const char *tk_memory_fetched(uintptr_t from, size_t bytes);
void tk_memory_forget(void);
int tk_memory_read(void *into, uintptr_t from, size_t bytes);
size_t tk_memory_read_parts(void *into, size_t bytes, const struct iovec *parts, size_t count);

#endif
