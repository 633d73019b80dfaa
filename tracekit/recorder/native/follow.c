/* What the program starts with exec is recorded too: its environment gets what brings the recorder into a Python, at the
   last moment, so that the program never has it in its own.

   Most of this runs in children of vfork, which share all memory with a suspended parent: no lock, no malloc. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "follow.h"
#include "others.h"
#include "state.h"
#include "writer.h"

extern char **environ;

int tk_follow_how = TK_FOLLOW_FORKS;

static char folder[4096], hook_file[4096 + 32], bootstrap[4096 + 32], told[8192];

/* Memory of an environment and of a command, until the thread starts something again: a child of vfork cannot give it back. */
enum { ENVIRONMENT, COMMAND };
static __thread struct {
    void *start;
    size_t bytes;
} borrowed[2];

/* NULL: there is none. */
static void *borrow(int which, size_t bytes) {
    if (borrowed[which].start)
        munmap(borrowed[which].start, borrowed[which].bytes);
    void *start = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    borrowed[which].start = start == MAP_FAILED ? NULL : start;
    borrowed[which].bytes = bytes;
    return borrowed[which].start;
}

/* how: TK_FOLLOW_*. A started Python finds `where` first in its PYTHONPATH, and in it a sitecustomize that reads `what`.
   session: the number that all recordings of a program share; 0: a new one. own: this process was started by one that
   is recorded, so its recording is BASE.PID.raw. */
TK_PUBLIC void tk_follow_prepare(int32_t how, const char *where, const char *what, uint64_t session, int32_t own) {
    tk_follow_how = strlen(where) < sizeof folder && strlen(what) < sizeof told - 64 ? how : TK_FOLLOW_FORKS;
    snprintf(folder, sizeof folder, "%s", where);
    snprintf(bootstrap, sizeof bootstrap, "%s/../bootstrap.py", where);
    snprintf(hook_file, sizeof hook_file, "%s/sitecustomize.py", where);
    snprintf(told, sizeof told, "%s", what);
    tk_raw_belongs(session, own, how == TK_FOLLOW_ALL);
}

/* Whether `entry` sets the variable `name`, which ends in `=`. */
static int sets(const char *entry, const char *name) {
    return !strncmp(entry, name, strlen(name));
}

/* The environment in which a Python records itself; the same where that cannot be. */
static char *const *environment(char *const *given) {
    const char *path = NULL;
    size_t count = 0;
    borrow(ENVIRONMENT, 0);
    if (tk_follow_how != TK_FOLLOW_ALL || !given || faccessat(AT_FDCWD, hook_file, R_OK, AT_EACCESS))
        return given;
    for (; given[count]; count++) {
        if (sets(given[count], "TRACEKIT_FOLLOW="))
            return given;      /* another tracekit records it, or it must be left alone */
        if (sets(given[count], "PYTHONPATH="))
            path = given[count] + strlen("PYTHONPATH=");
    }
    size_t path_bytes = sizeof folder + (path ? strlen(path) : 0) + 32;
    size_t bytes = (count + 3) * sizeof *given + path_bytes + sizeof told + 64;
    char **with = borrow(ENVIRONMENT, bytes);
    if (!with)
        return given;
    char *text = (char *)(with + count + 3);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (!sets(given[i], "PYTHONPATH="))
            with[used++] = given[i];
    snprintf(text, path_bytes, "PYTHONPATH=%s%s%s", folder, path && *path ? ":" : "", path ? path : "");
    with[used++] = text;
    text += path_bytes;
    snprintf(text, sizeof told + 64, "TRACEKIT_FOLLOW=%u:%d:%s", tk_raw_owner(), path != NULL, told);
    with[used] = text;
    return with;
}

/* Whether this file is a Python, by its name: python, python3, python3.12. */
static int is_python(const char *path) {
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    return !strncmp(name, "python", 6) && !name[6 + strspn(name + 6, "0123456789.")];
}

/* What a command line of Python runs. `place`: of the word that says so; `letters`: of the options before -c or -m in
   that word; `rest`: the place of its first argument. */
typedef struct {
    const char *kind;
    char *target;
    size_t place, letters, rest;
    int ignores;               /* its environment, or sitecustomize: -I, -E, -S */
} program;

/* 0: it runs nothing, or something else. */
static int understand(char *const *words, program *to_run) {
    *to_run = (program){0};
    for (size_t place = 1; words[place]; place++) {
        char *word = words[place];
        if (word[0] != '-') {
            *to_run = (program){"script", word, place, 0, place + 1, to_run->ignores};
            return 1;
        }
        if (!word[1] || word[1] == '-')
            return 0;
        for (size_t i = 1; word[i]; i++) {
            char *value = word[i + 1] ? word + i + 1 : words[place + 1];
            size_t after = place + (word[i + 1] ? 1 : 2);
            if (strchr("Vh?i", word[i]) || (strchr("WXcm", word[i]) && !value))
                return 0;
            to_run->ignores |= strchr("IES", word[i]) != NULL;
            if (strchr("cm", word[i])) {
                *to_run = (program){word[i] == 'c' ? "command" : "module", value, place, i, after, to_run->ignores};
                return 1;
            }
            if (strchr("WX", word[i])) {
                place = after - 1;
                break;
            }
        }
    }
    return 0;
}

/* A Python that ignores its environment is recorded through its command line: the bootstrap first, then what it was to
   run. All other commands stay as they are. */
static char *const *command(const char *path, char *const *given) {
    program to_run;
    size_t count = 0, used = 0;
    if (!path || !is_python(path) || !given || !given[0] || !understand(given, &to_run) || !to_run.ignores)
        return given;
    while (given[count])
        count++;
    char **with = borrow(COMMAND, (count + 6) * sizeof *given + to_run.letters + 1);
    if (!with)
        return given;
    while (used < to_run.place) {
        with[used] = given[used];
        used++;
    }
    if (to_run.letters > 1) {
        with[used] = memcpy(with + count + 6, given[to_run.place], to_run.letters);
        with[used++][to_run.letters] = 0;
    }
    with[used++] = bootstrap;
    with[used++] = "--";
    with[used++] = (char *)to_run.kind;
    with[used++] = to_run.target;
    for (size_t i = to_run.rest; i < count; i++)
        with[used++] = given[i];
    with[used] = NULL;
    return with;
}

/* What is started, as one text: its path and its arguments, with zeros behind them. */
static tk_start_record *tell(uint32_t pid, const char *path, char *const *arguments) {
    char text[TK_START_BYTES];
    size_t length = 0;
    for (const char *word = path; word && length < sizeof text; word = arguments ? *arguments++ : NULL) {
        size_t bytes = strnlen(word, sizeof text - length);
        memcpy(text + length, word, bytes);
        length += bytes;
        if (length < sizeof text)
            text[length++] = 0;
    }
    return tk_raw_started(pid, text, length);
}

/* This process is about to become another program; if it does not, call it again with `leaves` 0. */
static void leave(int leaves) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    if (!guard || !tk_is_writing() || !tk_out.header || tk_the_gil.pid != (uint32_t)getpid())
        return;                /* not recorded, or a child of vfork */
    int locked = !pthread_mutex_trylock(guard);
    tk_raw_leave(leaves, locked);
    tk_others_leave(leaves);
    if (locked)
        pthread_mutex_unlock(guard);
}

static int replace(int descriptor, const char *path, char *const *arguments, char *const *given) {
    tk_start_record *record = NULL;
    int possible = !path || !access(path, X_OK);  /* a search through PATH fails often */
    char *const *with = given, *const *words = arguments;
    if (possible && tk_is_writing()) {
        leave(1);
        with = environment(given);
        words = with != given ? command(path, arguments) : arguments;
        record = tell((uint32_t)getpid(), path ? path : "?", arguments);
    }
    int result = path ? execve(path, words, with) : fexecve(descriptor, words, with);
    int error = errno;
    if (possible && tk_is_writing()) {
        tk_raw_not_started(record);
        leave(0);
    }
    errno = error;
    return result;
}

static int hook_execve(const char *path, char *const arguments[], char *const given[]) {
    return replace(-1, path, arguments, given);
}

static int hook_execv(const char *path, char *const arguments[]) {
    return replace(-1, path, arguments, environ);
}

static int hook_fexecve(int descriptor, char *const arguments[], char *const given[]) {
    return replace(descriptor, NULL, arguments, given);
}

typedef int spawn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                  char *const[]);

static int start(spawn *real, pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const *arguments, char *const *given) {
    pid_t started;
    if (!tk_is_writing())
        return real(pid, path, actions, attributes, arguments, given);
    char *const *with = environment(given), *const *words = with != given ? command(path, arguments) : arguments;
    int error = real(&started, path, actions, attributes, words, with);
    if (!error) {
        tell((uint32_t)started, path, arguments);
        if (pid)
            *pid = started;
    }
    return error;
}

static int hook_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                      const posix_spawnattr_t *attributes, char *const arguments[], char *const given[]) {
    return start(posix_spawn, pid, path, actions, attributes, arguments, given);
}

static int hook_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const arguments[], char *const given[]) {
    return start(posix_spawnp, pid, path, actions, attributes, arguments, given);
}

/* As POSIX wants system() to be: Ctrl-C at the terminal reaches the command only, and no other code reaps it. */
static struct {
    pthread_mutex_t mutex;
    unsigned running;
    struct sigaction interrupt, quit;
} shells = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int hook_system(const char *command) {
    if (!command || tk_follow_how != TK_FOLLOW_ALL || !tk_is_writing())
        return system(command);
    char *arguments[] = {"sh", "-c", "--", (char *)command, NULL};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t child, before, defaults;
    posix_spawnattr_t attributes;
    pid_t pid;
    int status = -1;
    sigemptyset(&ignore.sa_mask);
    sigemptyset(&defaults);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_mutex_lock(&shells.mutex);
    if (!shells.running++) {
        sigaction(SIGINT, &ignore, &shells.interrupt);
        sigaction(SIGQUIT, &ignore, &shells.quit);
    }
    if (shells.interrupt.sa_handler != SIG_IGN)
        sigaddset(&defaults, SIGINT);
    if (shells.quit.sa_handler != SIG_IGN)
        sigaddset(&defaults, SIGQUIT);
    pthread_mutex_unlock(&shells.mutex);
    pthread_sigmask(SIG_BLOCK, &child, &before);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &before);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int error = start(posix_spawn, &pid, "/bin/sh", NULL, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    if (error)
        status = 127 << 8;
    else
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    int waited = errno;
    pthread_mutex_lock(&shells.mutex);
    if (!--shells.running) {
        sigaction(SIGINT, &shells.interrupt, NULL);
        sigaction(SIGQUIT, &shells.quit, NULL);
    }
    pthread_mutex_unlock(&shells.mutex);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error ? error : waited;
    return status;
}

const tk_hook tk_follow_hooks[] = {
    {"execve", hook_execve, 0},      {"execv", hook_execv, 0},         {"fexecve", hook_fexecve, 0},
    {"posix_spawn", hook_spawn, 0},  {"posix_spawnp", hook_spawnp, 0}, {"system", hook_system, 0},
};
const size_t tk_follow_hook_count = sizeof tk_follow_hooks / sizeof *tk_follow_hooks;
