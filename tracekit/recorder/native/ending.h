/* The end of a recording with its process. */
#ifndef TK_ENDING_H
#define TK_ENDING_H

void tk_finish(void);
_Noreturn void tk_hook_exit(int status);

#endif
