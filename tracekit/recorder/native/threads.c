/* Who the threads are: their numbers, their system ids, their names. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attributes.h"
#include "counters.h"
#include "regions.h"
#include "roster.h"
#include "threads.h"
#include "writer.h"

static pthread_key_t at_end;
static char process_comm[TK_COMM_BYTES];

/* There is another file. */
void tk_threads_anew(void) {
    tk_the_gil.file++;
    tk_roster_anew();
}

/* The thread has its first event since the GIL is followed. */
void tk_thread_begin(tk_thread *self) {
    self->recording = tk_the_gil.recording;
    self->tid = (uint32_t)syscall(SYS_gettid);
    self->last = self->acquired = self->cpu_clock = 0;
    self->state = TK_IDLE;
    self->count = NULL;
    self->asked = 0;
    pthread_setspecific(at_end, self);
    if (tk_the_gil.on & TK_COUNTING && self->named)
        tk_count_name(self, self->tid, self->name, self->name_length);
}

/* What the system calls this thread, if that is a name of its own. Returns its length. */
size_t tk_thread_comm(char comm[TK_COMM_BYTES]) {
    return prctl(PR_GET_NAME, comm) || !strcmp(comm, process_comm) ? 0 : strnlen(comm, TK_COMM_BYTES);
}

/* The thread has its first event in this file. */
void tk_thread_number(tk_thread *self) {
    self->file = tk_the_gil.file;
    self->unlock_count = self->waited_for = 0;
    self->last_unlocked = NULL;
    TK_STORE(self->late, 0);
    self->region = self->long_region = 0;
    self->number = tk_roster_number();
    if (!self->name_length && self->count && self->count->named) {  /* another thread told it, for an earlier file */
        memcpy(self->name, self->count->name, self->count->length);
        self->name_length = self->count->length;
    }
    tk_thread_tell(self);
    char comm[TK_COMM_BYTES];
    size_t length = self->named ? 0 : tk_thread_comm(comm);
    if (length)
        tk_roster_name(TK_SYSTEM_NAME, self->number, self->tid, comm, length);
}

void tk_thread_tell(const tk_thread *self) {
    tk_roster_tell(self->number, self->tid, self->name, self->name_length);
}

/* A thread that the program gave no name, but perhaps told the system one. */
static void thread_ends(void *ending) {
    tk_thread *self = ending;
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    char comm[TK_COMM_BYTES] = "";
    free(self->trail);         /* it does not hold the GIL, so nobody else uses it */
    self->trail = NULL;
    if (TK_LOAD(self->late) && guard && !pthread_mutex_lock(guard)) {  /* the list ends with this storage */
        tk_tell_late();
        pthread_mutex_unlock(guard);
    }
    if (!guard || !TK_LOAD(tk_the_gil.on))
        return;
    size_t length = self->named ? 0 : tk_thread_comm(comm);
    if (pthread_mutex_lock(guard))
        return;
    if (tk_the_gil.on && self->recording == tk_the_gil.recording) {
        if (tk_the_gil.on & TK_WRITING && self->file == tk_the_gil.file) {
            if (length)
                tk_roster_name(TK_SYSTEM_NAME, self->number, self->tid, comm, length);
            tk_roster_end(self->number);
        }
        tk_regions_thread_ends(self);
        tk_count_ended(self, comm, length);
    }
    pthread_mutex_unlock(guard);
}

/* The recording ends, and threads that no Python has made have told the system their names since they began. */
void tk_threads_end(void) {
    char path[64], comm[TK_COMM_BYTES + 1];
    DIR *tasks = tk_out.header && tk_roster_count() > 1 ? opendir("/proc/self/task") : NULL;
    for (struct dirent *one; tasks && (one = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", one->d_name);
        int file = one->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        ssize_t got = file < 0 ? 0 : read(file, comm, sizeof comm);
        if (file >= 0)
            close(file);
        if (got > 1 && comm[got - 1] == '\n') {
            comm[got - 1] = 0;
            if (strcmp(comm, process_comm))
                tk_roster_name(TK_SYSTEM_NAME, UINT32_MAX, (uint32_t)atoi(one->d_name), comm, (size_t)got - 1);
        }
    }
    if (tasks)
        closedir(tasks);
}

void tk_threads_prepare(void) {
    static int prepared;
    if (!prepared)
        pthread_key_create(&at_end, thread_ends);
    prepared = 1;
    prctl(PR_GET_NAME, process_comm);
}

/* A thread's name, as the program knows it. tid 0: the calling thread, whose tid is returned. Call it with the GIL held. */
TK_PUBLIC int32_t tk_name_thread(int32_t tid, const char *name, int32_t length) {
    tk_thread *self = &tk_self;
    if (!TK_LOAD(tk_the_gil.on) || pthread_mutex_lock(tk_the_gil.guard))
        return tid;
    if (tk_the_gil.on) {
        if (length > TK_RENAME_BYTES)
            for (length = TK_RENAME_BYTES; length && (name[length] & 0xc0) == 0x80; length--) {
            }                  /* not in the middle of a character */
        if (!tid) {
            memcpy(self->name, name, (size_t)length);
            self->name_length = (uint8_t)length;
            self->named = 1;
            if (self->recording != tk_the_gil.recording)
                tk_thread_begin(self);
            tid = (int32_t)self->tid;
        }
        if (tk_the_gil.on & TK_COUNTING)
            tk_count_name(tid == (int32_t)self->tid ? self : NULL, (uint32_t)tid, name, (size_t)length);
        if (tk_the_gil.on & TK_WRITING) {
            if (tid == (int32_t)self->tid && self->file != tk_the_gil.file)
                tk_thread_number(self);
            else
                tk_roster_name(TK_RENAME, UINT32_MAX, (uint32_t)tid, name, (size_t)length);
        }
    }
    pthread_mutex_unlock(tk_the_gil.guard);
    return tid;
}
