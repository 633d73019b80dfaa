#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

int tk_memory_way = TK_DIRECT;

static pid_t own_pid;

/* Whether seccomp filters this process' system calls: then one of them may be deadly. */
static int is_filtered(void) {
    FILE *status = fopen("/proc/self/status", "re");
    char line[256];
    int mode = 0, known = 0;
    while (status && !known && fgets(line, sizeof line, status))
        known = sscanf(line, "Seccomp: %d", &mode) == 1;
    if (status)
        fclose(status);
    return !known || mode;
}

static int can_read(void) {
    uint64_t value = 0x7472616365, copy = 0;
    struct iovec local = {&copy, sizeof copy}, remote = {&value, sizeof value};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)sizeof copy && copy == value;
}

/* A child tries. It ends without SIGCHLD, so the program does not notice it. */
static int can_read_in_a_child(void) {
    int status = 0;
    pid_t child = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    if (!child) {
        uint64_t value = 0x7472616365, copy = 0;
        struct iovec local = {&copy, sizeof copy}, remote = {&value, sizeof value};
        pid_t pid = (pid_t)syscall(SYS_getpid);
        int fine = process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof copy && copy == value;
        syscall(SYS_exit_group, fine ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, __WALL) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

void tk_memory_prepare(void) {
    own_pid = getpid();
    tk_memory_way = (!is_filtered() || can_read_in_a_child()) && can_read() ? TK_KERNEL : TK_PIPE;
}

void tk_memory_forked(void) {
    own_pid = getpid();
}

/* The kernel copies it into a pipe, or says that it cannot. */
static int read_by_pipe(char *into, uintptr_t from, size_t bytes) {
    int ends[2], fine = 1;
    if (pipe2(ends, O_CLOEXEC))
        return 0;
    while (fine && bytes) {
        size_t piece = bytes < 4096 ? bytes : 4096;
        fine = write(ends[1], (const void *)from, piece) == (ssize_t)piece && read(ends[0], into, piece) == (ssize_t)piece;
        into += piece;
        from += piece;
        bytes -= piece;
    }
    close(ends[0]);
    close(ends[1]);
    return fine;
}

int tk_memory_read(void *into, uintptr_t from, size_t bytes) {
    struct iovec part = {(void *)from, bytes};
    if (tk_memory_way == TK_KERNEL)
        return tk_memory_read_parts(into, bytes, &part, 1) == bytes;
    if (tk_memory_way == TK_PIPE)
        return read_by_pipe(into, from, bytes);
    memcpy(into, (const void *)from, bytes);
    return 1;
}

/* The parts one behind the other, up to the first that cannot be read. Returns how many bytes. Only TK_KERNEL. */
size_t tk_memory_read_parts(void *into, size_t bytes, const struct iovec *parts, size_t count) {
    struct iovec local = {into, bytes};
    ssize_t got = process_vm_readv(own_pid, &local, 1, parts, count, 0);
    return got < 0 ? 0 : (size_t)got;
}
