/* What a debugger has a thread of a running program do, to load this library and call tk_attach.

   It needs no debugger beside it: once the thread has been sent here it goes on by itself, even if the debugger dies, so there
   is no breakpoint to wait for. It is copied into the unused end of a page of the program's code, uses only
   registers, a stack of its own, and what stands behind it, and ends where the thread was. */
#include <stddef.h>

#include "state.h"

/* Behind the code, for whoever copies it: what to go on with, and what to call. */
typedef struct {
    uint64_t resume, rax;
    uint64_t errno_location, dlopen, dlsym;
    char function[16];
    char path[];
} tk_injection_data;

#if defined(__x86_64__)

/* The kernel restarts an interrupted system call by going back two bytes: hence the nops. */
__asm__(".pushsection .rodata\n"
        ".hidden tk_injection_start, tk_injection_end\n"
        "tk_injection_start:\n"
        "  nop\n nop\n"
        "  lea -128(%rsp), %rsp\n"  /* leaf functions use this much below their stack */
        "  pushfq\n"
        "  push %rbx\n push %rcx\n push %rdx\n push %rsi\n push %rdi\n push %rbp\n"
        "  push %r8\n push %r9\n push %r10\n push %r11\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "  cld\n"
        "  mov %rsp, %rbp\n"
        "  mov $9, %eax\n"          /* mmap: a stack */
        "  xor %edi, %edi\n"
        "  mov $0x80000, %esi\n"
        "  mov $3, %edx\n"
        "  mov $0x22, %r10d\n"
        "  mov $-1, %r8\n"
        "  xor %r9d, %r9d\n"
        "  syscall\n"
        "  cmp $-4096, %rax\n"
        "  ja 3f\n"
        "  mov %rax, %rbx\n"
        "  lea 0x7c000(%rax), %rsp\n"  /* above: all other registers */
        "  mov $-1, %eax\n"
        "  mov $-1, %edx\n"
        "  xsave64 (%rsp)\n"
        "  mov %rsp, %r12\n"
        "  call *4f+16(%rip)\n"     /* __errno_location */
        "  mov %rax, %r13\n"
        "  mov (%rax), %r14d\n"
        "  lea 4f+56(%rip), %rdi\n"
        "  mov $0x1002, %esi\n"     /* RTLD_NOW | RTLD_NODELETE */
        "  call *4f+24(%rip)\n"     /* dlopen */
        "  test %rax, %rax\n"
        "  jz 2f\n"
        "  mov %rax, %rdi\n"
        "  lea 4f+40(%rip), %rsi\n"
        "  call *4f+32(%rip)\n"     /* dlsym */
        "  test %rax, %rax\n"
        "  jz 2f\n"
        "  call *%rax\n"
        "2: mov %r14d, (%r13)\n"
        "  mov $-1, %eax\n"
        "  mov $-1, %edx\n"
        "  xrstor64 (%r12)\n"
        "  mov %rbp, %rsp\n"
        "  mov $11, %eax\n"         /* munmap */
        "  mov %rbx, %rdi\n"
        "  mov $0x80000, %esi\n"
        "  syscall\n"
        "3: pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %r11\n pop %r10\n pop %r9\n pop %r8\n"
        "  pop %rbp\n pop %rdi\n pop %rsi\n pop %rdx\n pop %rcx\n pop %rbx\n"
        "  popfq\n"
        "  lea 128(%rsp), %rsp\n"
        "  mov 4f+8(%rip), %rax\n"
        "  jmp *4f(%rip)\n"
        "  .balign 8\n"
        "4:\n"
        "tk_injection_end:\n"
        ".popsection\n");

extern const char tk_injection_start[], tk_injection_end[];

_Static_assert(offsetof(tk_injection_data, errno_location) == 16 && offsetof(tk_injection_data, dlopen) == 24 &&
                   offsetof(tk_injection_data, dlsym) == 32 && offsetof(tk_injection_data, function) == 40 &&
                   offsetof(tk_injection_data, path) == 56,
               "the code knows where its data are");

/* The code, and its length. 0: there is none for this processor. */
TK_PUBLIC uint64_t tk_injection(const char **code) {
    *code = tk_injection_start;
    return (uint64_t)(tk_injection_end - tk_injection_start);
}

#else

TK_PUBLIC uint64_t tk_injection(const char **code) {
    *code = NULL;
    return 0;
}

#endif
