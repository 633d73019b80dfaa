/* Replaces the slots through which one loaded object calls functions of others, and puts them back. */
#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slots.h"

#if defined(__x86_64__)
enum { JUMP_SLOT = R_X86_64_JUMP_SLOT, GLOB_DAT = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { JUMP_SLOT = R_AARCH64_JUMP_SLOT, GLOB_DAT = R_AARCH64_GLOB_DAT };
#else
#error "The recorder knows the relocations of x86-64 and arm64."
#endif

enum { MOST_SLOTS = 128 };

static struct {
    void **place;
    void *before;
} replaced[MOST_SLOTS];
static size_t replaced_count;

typedef struct {
    uintptr_t code;
    ElfW(Addr) base;
    const ElfW(Dyn) *dynamic;
} object;

static int contains(struct dl_phdr_info *info, size_t size, void *wanted) {
    (void)size;
    object *found = wanted;
    int here = 0;
    const ElfW(Dyn) *dynamic = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && found->code >= start && found->code < start + part->p_memsz)
            here = 1;
        if (part->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)start;
    }
    if (!here)
        return 0;
    found->base = info->dlpi_addr;
    found->dynamic = dynamic;
    return 1;
}

static int protection_of(uintptr_t address) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps)
        return -1;
    char line[8192];
    int protection = -1;
    while (protection < 0 && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char r, w, x;
        if (sscanf(line, "%lx-%lx %c%c%c", &start, &end, &r, &w, &x) == 5 && address >= start && address < end)
            protection = (r == 'r' ? PROT_READ : 0) | (w == 'w' ? PROT_WRITE : 0) | (x == 'x' ? PROT_EXEC : 0);
    }
    fclose(maps);
    return protection;
}

/* Slots may lie in memory that is read-only once the program is loaded. */
static int put(void **place, void *value) {
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)place & ~(page_bytes - 1));
    int protection = protection_of((uintptr_t)place);
    if (protection < 0)
        return 0;
    if (!(protection & PROT_WRITE) && mprotect(page, page_bytes, protection | PROT_WRITE))
        return 0;
    __atomic_store_n(place, value, __ATOMIC_SEQ_CST);
    return protection & PROT_WRITE || !mprotect(page, page_bytes, protection);
}

static ElfW(Addr) dynamic_value(const object *in, ElfW(Sxword) tag, int address) {
    for (const ElfW(Dyn) *entry = in->dynamic; entry && entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tag) {
            ElfW(Addr) value = entry->d_un.d_ptr;
            return address && value < in->base ? value + in->base : value;
        }
    return 0;
}

static int replace_in(const object *in, ElfW(Sxword) table, ElfW(Sxword) size, const tk_hook *hooks, size_t count,
                      uint64_t *seen) {
    const ElfW(Rela) *relocation = (const ElfW(Rela) *)dynamic_value(in, table, 1);
    const ElfW(Sym) *symbols = (const ElfW(Sym) *)dynamic_value(in, DT_SYMTAB, 1);
    const char *names = (const char *)dynamic_value(in, DT_STRTAB, 1);
    size_t relocations = dynamic_value(in, size, 0) / sizeof *relocation;
    if (!relocation || !symbols || !names)
        return 1;
    for (; relocations; relocations--, relocation++) {
        unsigned type = ELF64_R_TYPE(relocation->r_info);
        if (type != JUMP_SLOT && type != GLOB_DAT)
            continue;
        const char *name = names + symbols[ELF64_R_SYM(relocation->r_info)].st_name;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(name, hooks[i].name))
                continue;
            void **place = (void **)(in->base + relocation->r_offset);
            if (replaced_count == MOST_SLOTS)
                return 0;
            replaced[replaced_count].place = place;
            replaced[replaced_count++].before = __atomic_load_n(place, __ATOMIC_SEQ_CST);
            if (!put(place, hooks[i].hook))
                return 0;
            *seen |= (uint64_t)1 << i;
        }
    }
    return 1;
}

static void restore_down_to(size_t count) {
    while (replaced_count > count) {
        replaced_count--;
        put(replaced[replaced_count].place, replaced[replaced_count].before);
    }
}

/* Redirects what the object that contains `code` calls. Returns NULL, or why it cannot be done; then nothing is changed. */
const char *tk_slots_replace(const void *code, const tk_hook *hooks, size_t count) {
    object in = {.code = (uintptr_t)code};
    uint64_t seen = 0;
    size_t before = replaced_count;
    if (!dl_iterate_phdr(contains, &in) || !in.dynamic)
        return "the interpreter is linked without a dynamic section, so its calls cannot be followed";
    if (!replace_in(&in, DT_JMPREL, DT_PLTRELSZ, hooks, count, &seen) ||
        !replace_in(&in, DT_RELA, DT_RELASZ, hooks, count, &seen)) {
        restore_down_to(before);
        return "the interpreter's table of calls cannot be written";
    }
    for (size_t i = 0; i < count; i++)
        if (hooks[i].required && !(seen >> i & 1)) {
            restore_down_to(before);
            return "the interpreter makes its lock calls directly, not through slots that could be redirected (a static build)";
        }
    return NULL;
}

void tk_slots_restore(void) {
    restore_down_to(0);
}
