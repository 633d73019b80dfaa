/* The end of a recording that began in mid-run. */
#ifndef TK_CONTROL_H
#define TK_CONTROL_H

void tk_record_halt(void);
void tk_record_leave(void);

#endif
