#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "memory.h"
#include "state.h"

enum {
    PAGE = 4096,
    MOST_WANTED = 96, FETCHED_BYTES = 1 << 15,
    PATIENCE_NS = 50000, CAREFUL = 20000,  /* after a read that took longer, for so many times that */
};

int tk_memory_way = TK_DIRECT;

static pid_t own_pid;

/* What was fetched, and behind it what is wanted. One user at a time: all of it is done under the guard. */
static char fetched[FETCHED_BYTES];
static struct iovec wanted[MOST_WANTED];
static uint32_t places[MOST_WANTED];
static size_t fetched_count, wanted_count, wanted_bytes;

static uint64_t patience = UINT64_MAX, careful_until;  /* by the records' clock */

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

static int can_read(pid_t pid) {
    uint64_t value = 0x7472616365, copy = 0;
    struct iovec from = {&value, sizeof value}, into = {&copy, sizeof copy};
    return process_vm_writev(pid, &from, 1, &into, 1, 0) == (ssize_t)sizeof copy && copy == value;
}

/* A child tries. It ends without SIGCHLD, so the program does not notice it. */
static int can_read_in_a_child(void) {
    int status = 0;
    pid_t child = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    if (!child)
        syscall(SYS_exit_group, can_read((pid_t)syscall(SYS_getpid)) ? 0 : 1);
    return child > 0 && waitpid(child, &status, __WALL) == child && WIFEXITED(status) && !WEXITSTATUS(status);
}

void tk_memory_prepare(void) {
    own_pid = getpid();
    tk_memory_way = (!is_filtered() || can_read_in_a_child()) && can_read(own_pid) ? TK_KERNEL : TK_PIPE;
}

void tk_memory_begin(void) {
    patience = (uint64_t)(PATIENCE_NS / tk_clock_rate());
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

/* This will be read. Only TK_KERNEL, of which one call that reads much is cheaper than many. */
void tk_memory_want(uintptr_t from, size_t bytes) {
    if (tk_memory_way != TK_KERNEL || wanted_count == MOST_WANTED || wanted_bytes + bytes > sizeof fetched)
        return;
    wanted[wanted_count] = (struct iovec){(void *)from, bytes};
    places[wanted_count++] = (uint32_t)wanted_bytes;
    wanted_bytes += bytes;
}

/* Reads all that is wanted in one go. What cannot be read, and what lies behind it, is read when it is asked for. */
void tk_memory_fetch(void) {
    if (fetched_count == wanted_count)
        return;
    uint32_t start = places[fetched_count];
    size_t got = tk_memory_read_parts(fetched + start, wanted_bytes - start, wanted + fetched_count,
                                      wanted_count - fetched_count);
    while (fetched_count < wanted_count && places[fetched_count] - start + wanted[fetched_count].iov_len <= got)
        fetched_count++;
    wanted_count = fetched_count;
    wanted_bytes = fetched_count ? places[fetched_count - 1] + wanted[fetched_count - 1].iov_len : 0;
}

/* From now on memory may change. */
void tk_memory_forget(void) {
    fetched_count = wanted_count = wanted_bytes = 0;
}

/* What was fetched of this; NULL: not all of it. */
const char *tk_memory_fetched(uintptr_t from, size_t bytes) {
    for (size_t i = 0; i < fetched_count; i++) {
        uintptr_t start = (uintptr_t)wanted[i].iov_base;
        if (from >= start && from - start <= wanted[i].iov_len && wanted[i].iov_len - (from - start) >= bytes)
            return fetched + places[i] + (from - start);
    }
    return NULL;
}

int tk_memory_read(void *into, uintptr_t from, size_t bytes) {
    struct iovec part = {(void *)from, bytes};
    const char *there = tk_memory_fetched(from, bytes);
    if (there) {
        memcpy(into, there, bytes);
        return 1;
    }
    if (tk_memory_way == TK_KERNEL)
        return tk_memory_read_parts(into, bytes, &part, 1) == bytes;
    if (tk_memory_way == TK_PIPE)
        return read_by_pipe(into, from, bytes);
    memcpy(into, (const void *)from, bytes);
    return 1;
}

/* Whether nothing of it is swapped out. */
static int is_here(const struct iovec *parts, size_t count) {
    unsigned char pages[16];
    for (size_t i = 0; i < count; i++) {
        uintptr_t start = (uintptr_t)parts[i].iov_base & ~(uintptr_t)(PAGE - 1);
        size_t bytes = (uintptr_t)parts[i].iov_base + parts[i].iov_len - start, page_count = (bytes + PAGE - 1) / PAGE;
        if (page_count > sizeof pages)
            return 0;
        if (mincore((void *)start, bytes, pages))
            continue;          /* it is not mapped at all, which the read will tell */
        for (size_t page = 0; page < page_count; page++)
            if (!(pages[page] & 1))
                return 0;
    }
    return 1;
}

/* The parts one behind the other, up to the first that cannot be read. Returns how many bytes. Only TK_KERNEL.

   By process_vm_writev, from here to `into`: of many parts it is several times as fast as process_vm_readv, which pins the
   pages of each. When a read took long, for a while nothing is read that would have to come from the disk: all others wait
   for the guard meanwhile. */
size_t tk_memory_read_parts(void *into, size_t bytes, const struct iovec *parts, size_t count) {
    struct iovec target = {into, bytes};
    uint64_t begin = tk_now();
    if (begin < careful_until && !is_here(parts, count))
        return 0;
    /* Not by its function: sanitizers check what that reads, and here the kernel is asked because nobody knows. */
    ssize_t got = syscall(SYS_process_vm_writev, (long)own_pid, parts, count, &target, 1L, 0L);
    uint64_t end = tk_now();
    if (TK_RARE(end - begin > patience))
        careful_until = end + CAREFUL * patience;
    return got < 0 ? 0 : (size_t)got;
}
