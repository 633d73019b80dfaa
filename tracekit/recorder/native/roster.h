/* The threads of the file that is written: their numbers, and their records. Under the guard. */
#ifndef TK_ROSTER_H
#define TK_ROSTER_H

#include <stddef.h>
#include <stdint.h>

void tk_roster_anew(void);
uint32_t tk_roster_number(void);
uint32_t tk_roster_count(void);
void tk_roster_tell(uint32_t number, uint32_t tid, const char *name, size_t length);
void tk_roster_name(uint32_t kind, uint32_t number, uint32_t tid, const char *name, size_t length);
void tk_roster_end(uint32_t number);

#endif
