/* A recording that begins in mid-run, after tk_record_join. */
#ifndef TK_CONTROL_H
#define TK_CONTROL_H

void tk_record_go(void);
void tk_record_halt(void);
void tk_record_leave(void);

#endif
