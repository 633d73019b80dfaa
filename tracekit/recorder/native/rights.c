/* The program changes its user, its root or its limits: what the recorder must have before, it gets just before that. */
#define _GNU_SOURCE
#include <grp.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rights.h"
#include "state.h"
#include "writer.h"

static void prepare(void) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    /* A child of vfork, which shares all of this, is about to become another program. */
    if (!guard || !tk_is_writing() || tk_the_gil.pid != (uint32_t)getpid() || pthread_mutex_lock(guard))
        return;
    if (tk_is_writing())
        tk_raw_reserve();
    pthread_mutex_unlock(guard);
}

#define HOOK(name, parameters, arguments)                                                                                        \
    static int hook_##name parameters {                                                                                          \
        prepare();                                                                                                               \
        return name arguments;                                                                                                   \
    }

HOOK(setuid, (uid_t user), (user))
HOOK(seteuid, (uid_t user), (user))
HOOK(setreuid, (uid_t real, uid_t user), (real, user))
HOOK(setresuid, (uid_t real, uid_t user, uid_t saved), (real, user, saved))
HOOK(setgid, (gid_t group), (group))
HOOK(setegid, (gid_t group), (group))
HOOK(setregid, (gid_t real, gid_t group), (real, group))
HOOK(setresgid, (gid_t real, gid_t group, gid_t saved), (real, group, saved))
HOOK(setgroups, (size_t count, const gid_t *groups), (count, groups))
HOOK(initgroups, (const char *user, gid_t group), (user, group))
HOOK(chroot, (const char *path), (path))
HOOK(unshare, (int flags), (flags))
HOOK(setns, (int descriptor, int kind), (descriptor, kind))

static int hook_setrlimit(__rlimit_resource_t resource, const struct rlimit *limit) {
    if (resource == RLIMIT_NOFILE || resource == RLIMIT_FSIZE)
        prepare();
    return setrlimit(resource, limit);
}

static int hook_prlimit(pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit, struct rlimit *before) {
    if (limit && (resource == RLIMIT_NOFILE || resource == RLIMIT_FSIZE))
        prepare();
    return prlimit(pid, resource, limit, before);
}

#define ENTRY(name) {#name, hook_##name, 0}

const tk_hook tk_rights_hooks[] = {
    ENTRY(setuid),    ENTRY(seteuid), ENTRY(setreuid), ENTRY(setresuid), ENTRY(setgid),    ENTRY(setegid),
    ENTRY(setregid),  ENTRY(setresgid), ENTRY(setgroups), ENTRY(initgroups), ENTRY(chroot), ENTRY(unshare),
    ENTRY(setns),     ENTRY(setrlimit), ENTRY(prlimit), {"setrlimit64", hook_setrlimit, 0}, {"prlimit64", hook_prlimit, 0},
};
const size_t tk_rights_hook_count = sizeof tk_rights_hooks / sizeof *tk_rights_hooks;
