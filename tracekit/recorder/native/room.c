/* Parts of the recording's file as memory. No descriptor stays open: the program may close all it has, or run out of them,
   or count them, so the file is opened by its path whenever it grows.

   A program that gives up its rights may not open it any more. Just before it does, a window over the whole file is mapped,
   and over much more than there is, which takes no room on the disk. From then on the file grows through that window:
   the kernel is asked to fill the next part, and says so if it cannot. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "room.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum {
    MOST_BYTES_BITS = 34,      /* of a window: 16 GiB, a billion events */
    LEAST_BYTES_BITS = 20,
    FILLED_BYTES_BITS = 26,    /* where the kernel cannot fill parts of a mapping: this much is taken from the disk at once */
};

static const char zeros[TK_ROOM_PIECE];

/* In a forked child, which shares nothing of the file; or there is none any more. */
void tk_room_forked(tk_room *room) {
    memset(&room->device, 0, sizeof *room - offsetof(tk_room, device));
}

/* The file's present path: it, or a folder above it, may have been moved while mapped. */
static int find_again(tk_room *room) {
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[sizeof room->path + 256];
    int found = 0, place = 0;
    while (maps && room->first && !found && fgets(line, sizeof line, maps)) {
        uintptr_t start;
        if (sscanf(line, "%" SCNxPTR "-%*x %*s %*s %*s %*s %n", &start, &place) == 1 && start == (uintptr_t)room->first) {
            line[strcspn(line, "\n")] = 0;
            found = strlen(line + place) < sizeof room->path;
        }
    }
    if (maps)
        fclose(maps);
    if (found)
        strcpy(room->path, line + place);
    return found;
}

/* The file, if its path still leads to it; else -1 and errno. */
static int open_again(tk_room *room) {
    struct stat status;
    for (int again = 0; again < 2; again++) {
        int descriptor = open(room->path, O_RDWR | O_CLOEXEC);
        if (descriptor >= 0) {
            if (!fstat(descriptor, &status) && status.st_dev == room->device && status.st_ino == room->inode)
                return descriptor;
            close(descriptor);
            errno = ESTALE;
        }
        int error = errno;
        int moved = !again && (error == ENOENT || error == ENOTDIR || error == ESTALE) && find_again(room);
        errno = error;
        if (!moved)
            break;
    }
    return -1;
}

/* Beyond that limit the program would be killed for growing a file. */
static int is_allowed(off_t end) {
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) || (uint64_t)end <= limit.rlim_cur;
}

/* Takes room from the disk. Returns 0 or why there is none. */
static int fill(int descriptor, off_t offset, size_t bytes) {
    int error = 0;
    if (!is_allowed(offset + (off_t)bytes))
        return EFBIG;
    /* Before it is mapped: a write into a hole that the disk cannot fill would kill the program. For what fits into one
       write that is enough by itself, and asks nothing of the file system's journal. */
    while (bytes > sizeof zeros && (error = posix_fallocate(descriptor, offset, (off_t)bytes)) == EINTR) {
    }
    /* Pages that the file system knows already cost a fraction when they are first written through the mapping. */
    for (size_t done = 0, piece; !error && done < bytes; done += piece) {
        piece = bytes - done < sizeof zeros ? bytes - done : sizeof zeros;
        if (pwrite(descriptor, zeros, piece, offset + (off_t)done) != (ssize_t)piece)
            error = ENOSPC;
    }
    return error;
}

static void *map(int descriptor, off_t offset, size_t bytes) {
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, offset);
    if (mapped == MAP_FAILED)
        return NULL;
    madvise(mapped, bytes, MADV_DONTFORK);
    return mapped;
}

/* Makes the file, with its first part. NULL and errno: it cannot be had. */
void *tk_room_first(tk_room *room, size_t bytes) {
    struct stat status;
    int flags = O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, descriptor = open(room->path, flags, 0666);
    if (descriptor < 0 && errno == EEXIST) {
        unlink(room->path);  /* never an older file: another process may still have it mapped */
        descriptor = open(room->path, flags, 0666);
    }
    if (descriptor < 0)
        return NULL;
    int error = fstat(descriptor, &status) ? errno : fill(descriptor, 0, bytes);
    tk_room_forked(room);
    room->device = status.st_dev;
    room->inode = status.st_ino;
    room->first_bytes = bytes;
    if (!error && !(room->first = map(descriptor, 0, bytes)))
        error = errno;
    close(descriptor);
    if (error)
        unlink(room->path);
    errno = error;
    return room->first;
}

static void *part_of_window(tk_room *room, off_t offset, size_t bytes, int new) {
    char *part = room->window + offset;
    if (new && offset + (off_t)bytes > room->filled && madvise(part, bytes, MADV_POPULATE_WRITE)) {
        errno = errno == ENOMEM ? ENOMEM : ENOSPC;
        return NULL;
    }
    return part;
}

/* A part of the file, which is made longer if that part is new. NULL and errno: it cannot be had. */
void *tk_room_part(tk_room *room, off_t offset, size_t bytes, int new) {
    if (room->window && offset + (off_t)bytes <= room->window_bytes)
        return part_of_window(room, offset, bytes, new);
    if (new && (size_t)offset + bytes <= room->first_bytes)
        return room->first + offset;
    int descriptor = open_again(room);
    if (descriptor < 0)
        return NULL;
    int error = new ? fill(descriptor, offset, bytes) : 0;
    void *mapped = error ? NULL : map(descriptor, offset, bytes);
    if (!error && !mapped)
        error = errno;
    close(descriptor);
    errno = error;
    return mapped;
}

void tk_room_leave(tk_room *room, void *part, size_t bytes) {
    if (room->window && (char *)part >= room->window && (char *)part < room->window + room->window_bytes)
        madvise(part, bytes, MADV_DONTNEED);  /* the file has it */
    else
        munmap(part, bytes);
}

/* The file will not be opened any more. used: its bytes so far. */
void tk_room_reserve(tk_room *room, off_t used) {
    int before = errno;
    int descriptor = room->window ? -1 : open_again(room);
    int can_fill = room->first && !madvise(room->first, TK_ROOM_PIECE, MADV_POPULATE_WRITE);
    for (int bits = can_fill ? MOST_BYTES_BITS : FILLED_BYTES_BITS; descriptor >= 0 && bits >= LEAST_BYTES_BITS; bits--) {
        off_t bytes = used + ((off_t)1 << bits);
        if (!is_allowed(bytes) || (can_fill ? ftruncate(descriptor, bytes) : fill(descriptor, used, (size_t)(bytes - used))))
            continue;
        if ((room->window = map(descriptor, 0, (size_t)bytes))) {
            madvise(room->window, (size_t)bytes, MADV_DONTDUMP);
            room->window_bytes = bytes;
            room->filled = can_fill ? used : bytes;
            break;
        }
    }
    if (descriptor >= 0)
        close(descriptor);
    errno = before;
}

/* The recording ends. used: the file's bytes; what was reserved behind them is given back, if it can be opened. */
void tk_room_end(tk_room *room, off_t used) {
    int descriptor = room->window ? open_again(room) : -1;
    if (descriptor >= 0) {
        if (ftruncate(descriptor, used)) {
        }                      /* a hole stays, which takes no room */
        close(descriptor);
    }
    if (room->window)
        munmap(room->window, (size_t)room->window_bytes);
    tk_room_forked(room);
}
