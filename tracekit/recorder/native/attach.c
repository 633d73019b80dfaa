/* Recording a program that runs already: a thread of its own in the process, which tracekit tells what to do.

   It has been loaded by `tk_injection`, by Python code that the interpreter was asked to run, or by the program itself, which
   waits to be recorded (tk_arm). It is none of Python's threads but while it starts and ends the recording, and blocks all
   signals, so that none of the program's is handled here. The library stays loaded: threads may still be in it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "state.h"

enum { MOST_WORDS = 1 << 15 };

/* The interpreter's functions, which are the same in all versions. */
static struct {
    int (*is_initialized)(void);
    int (*ensure)(void);
    void (*release)(int);
    void *(*new_dict)(void);
    int (*set)(void *dict, const char *key, void *value);
    void *(*get)(void *dict, const char *key);
    void *(*builtins)(void);
    void *(*bytes)(const char *, ssize_t);
    char *(*content)(void *bytes);
    void *(*run)(const char *code, int start, void *globals, void *locals, void *flags);
    void (*forget)(void *object);
    void (*clear_error)(void);
} python;

static int find_python(void) {
    static const char *const names[] = {
        "Py_IsInitialized",    "PyGILState_Ensure", "PyGILState_Release",        "PyDict_New",
        "PyDict_SetItemString", "PyDict_GetItemString", "PyEval_GetBuiltins",     "PyBytes_FromStringAndSize",
        "PyBytes_AsString",    "PyRun_StringFlags", "Py_DecRef",                 "PyErr_Clear",
    };
    void **functions = (void **)&python;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(functions[i] = dlsym(RTLD_DEFAULT, names[i])))
            return 0;
    return python.is_initialized();
}

static int connection = -1;    /* of the recording that runs, or begins */
static struct stat connected;

/* Programs close descriptors that are not theirs, and get the same number again. */
static int is_own(int socket, const struct stat *made) {
    struct stat now;
    return socket >= 0 && !fstat(socket, &now) && now.st_ino == made->st_ino && now.st_dev == made->st_dev;
}

static void close_connection(void) {
    if (is_own(connection, &connected))
        close(connection);
    connection = -1;
}

static void address_of(struct sockaddr_un *address, socklen_t *bytes, const char *what) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "tracekit-%s-%d", what, (int)getpid());
    *bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Whether its other end belongs to this process' user, or to root. */
static int is_trusted(int socket) {
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    return !getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) && (peer.uid == geteuid() || !peer.uid);
}

static int send_all(const char *text, size_t bytes) {
    while (bytes) {
        ssize_t sent = send(connection, text, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return 0;
        text += sent;
        bytes -= (size_t)sent;
    }
    return 1;
}

/* The words of a request, each ended by a zero, behind their length in four bytes. */
static char *receive_words(uint32_t *bytes) {
    char *words = NULL;
    if (recv(connection, bytes, sizeof *bytes, MSG_WAITALL) != (ssize_t)sizeof *bytes || !*bytes || *bytes > MOST_WORDS ||
        !(words = malloc(*bytes)) || recv(connection, words, *bytes, MSG_WAITALL) != (ssize_t)*bytes ||
        words[*bytes - 1]) {
        free(words);
        return NULL;
    }
    return words;
}

static int is_hung_up(void) {
    struct pollfd wait = {.fd = connection, .events = POLLIN};
    return poll(&wait, 1, 0) != 0;
}

static int run(void *globals, const char *code) {
    enum { FILE_INPUT = 257 };
    void *result = python.run(code, FILE_INPUT, globals, globals, NULL);
    if (result)
        python.forget(result);
    else
        python.clear_error();
    return result != NULL;
}

/* With the GIL. Runs the script that the request names, which calls tk_record_join. Returns its names, NULL: none. */
static void *begin(const char *words, uint32_t bytes, char *answer, size_t answer_bytes) {
    void *globals = python.new_dict(), *request = python.bytes(words, bytes), *told;
    snprintf(answer, answer_bytes, "the recorder's own code failed in the program");
    if (!globals || !request) {
        python.clear_error();
        return NULL;
    }
    python.set(globals, "__builtins__", python.builtins());
    python.set(globals, "request", request);
    python.forget(request);
    run(globals, "path = request.split(b'\\0')[0]\n"
                 "with open(path, 'rb') as source: exec(compile(source.read(), path.decode(), 'exec'))\n"
                 "answer = begin(request)\n");
    if ((told = python.get(globals, "answer")))
        snprintf(answer, answer_bytes, "%s", python.content(told));
    return globals;
}

/* What a connection asks for: one recording. */
static void serve(void) {
    static char answer[4096];
    uint32_t bytes;
    char *words = is_trusted(connection) && send_all("+", 1) ? receive_words(&bytes) : NULL, ended;
    if (words && !find_python()) {
        static const char none[] = "!the process has no CPython interpreter in it that runs";
        send_all(none, sizeof none);
    }
    if (!words || !python.is_initialized || !python.is_initialized()) {
        free(words);
        return;
    }
    int state = python.ensure();
    void *globals = is_hung_up() || !send_all("!", 1) ? NULL : begin(words, bytes, answer, sizeof answer);
    tk_record_go();
    python.release(state);
    free(words);
    if (globals && send_all(answer, strlen(answer) + 1) && !strcmp(answer, "recording"))
        while (recv(connection, &ended, 1, 0) < 0 && errno == EINTR) {
        }
    tk_record_halt();
    if (!globals)
        return;
    state = python.ensure();
    run(globals, "end()\n");
    tk_record_leave();
    python.forget(globals);
    python.release(state);
}

static void *connect_and_serve(void *unused) {
    struct sockaddr_un address;
    socklen_t bytes;
    prctl(PR_SET_NAME, "tracekit");
    address_of(&address, &bytes, "attach");
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made >= 0 && !connect(made, (struct sockaddr *)&address, bytes) && connection < 0 && !fstat(made, &connected)) {
        connection = made;
        serve();
        close_connection();
    } else if (made >= 0) {
        close(made);
    }
    return unused;
}

static int is_armed, listening = -1;
static struct stat listens;

/* A process is known by its number, and one that forks is known by others then. */
static int listen_anew(void) {
    struct sockaddr_un address;
    socklen_t bytes;
    address_of(&address, &bytes, "armed");
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening >= 0 && !bind(listening, (struct sockaddr *)&address, bytes) && !listen(listening, 1) &&
        !fstat(listening, &listens))
        return 1;
    if (listening >= 0)
        close(listening);
    listening = -1;
    return 0;
}

/* Waits for those who want to record this process, one after the other. */
static void *wait_and_serve(void *unused) {
    prctl(PR_SET_NAME, "tracekit");
    while (is_own(listening, &listens) || listen_anew()) {
        int made = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (made < 0 && errno != EINTR && errno != ECONNABORTED && is_own(listening, &listens))
            break;             /* no descriptors are left, or no memory */
        if (made >= 0 && connection < 0 && !fstat(made, &connected)) {
            connection = made;
            serve();
            close_connection();
        } else if (made >= 0) {
            close(made);
        }
    }
    return unused;
}

static int start_thread(void *(*body)(void *));

static void in_forked_child(void) {
    close_connection();
    if (is_own(listening, &listens))
        close(listening);
    listening = -1;
    if (is_armed && listen_anew())
        start_thread(wait_and_serve);
}

static int start_thread(void *(*body)(void *)) {
    static int prepared;
    sigset_t all, before;
    pthread_t thread;
    if (!prepared)
        pthread_atfork(NULL, NULL, in_forked_child);
    prepared = 1;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, NULL, body, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        pthread_detach(thread);
    return !failed;
}

/* Asks the tracekit that waits for this process what to do. It needs no GIL, and returns at once. */
TK_PUBLIC int32_t tk_attach(void) {
    return start_thread(connect_and_serve);
}

/* Has this process and what it forks wait to be recorded, by its own user or root. 0: it cannot be. */
TK_PUBLIC int32_t tk_arm(void) {
    if (is_armed)
        return 1;
    is_armed = listen_anew() && start_thread(wait_and_serve);
    return is_armed;
}
