#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "memory.h"
#include "nodes.h"
#include "stacks.h"

enum {
    GAP_NS = 100000,
    PAGE = 4096,
    NEAR = 1024,               /* what lies no farther apart is read as one part: another place costs more than bytes do */
    MOST_UNKNOWN = 10,         /* so many are read one by one; what lies further out is cut, and known next time */
    ABOVE = 1024,              /* where frames lie in one piece, the next ones lie here */
    MOST_PARTS = TK_MOST_ADDRESSES + 3 + MOST_UNKNOWN,
    TRIES = 3,
    KEPT_LOOKS = 8,
    EXPECTED_BYTES = 1 << 15,
    BUFFER_BYTES = EXPECTED_BYTES + 2 * ABOVE + 2 * MOST_UNKNOWN * PAGE,
};

tk_stacks_state tk_stacks;
static int wanted;

/* Memory of another thread, as it was read. One user at a time: all is done under the guard. */
static char buffer[BUFFER_BYTES];
static struct iovec parts[MOST_PARTS];
static uint32_t part_places[MOST_PARTS];
static size_t part_count, buffered;
static tk_frame own[TK_MOST_FRAMES], seen[TK_MOST_FRAMES];

static uintptr_t word_at(const char *at) {
    uintptr_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static int plausible(uintptr_t address) {
    return address >= 1 << 16 && address < (uintptr_t)1 << 56 && !(address & 7);
}

/* Plans to read this; 0: there is no room for it. */
static int add_part(uintptr_t start, size_t bytes) {
    if (part_count == MOST_PARTS || buffered + bytes > sizeof buffer)
        return 0;
    parts[part_count] = (struct iovec){(void *)start, bytes};
    part_places[part_count++] = (uint32_t)buffered;
    buffered += bytes;
    return 1;
}

static void sort(uintptr_t *addresses, size_t count) {
    for (size_t i = 1; i < count; i++) {
        uintptr_t address = addresses[i];
        size_t place = i;
        for (; place && addresses[place - 1] > address; place--)
            addresses[place] = addresses[place - 1];
        addresses[place] = address;
    }
}

/* Plans to read the frames at these addresses, which ascend. */
static void add_frames(const uintptr_t *addresses, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uintptr_t start = addresses[i] + tk_the_layout.low, end = addresses[i] + tk_the_layout.high;
        while (i + 1 < count && addresses[i + 1] + tk_the_layout.low < end + NEAR)
            end = addresses[++i] + tk_the_layout.high;
        if (buffered + (end - start) > EXPECTED_BYTES || !add_part(start, end - start))
            return;
    }
}

/* Returns whether all could be read. */
static int read_parts(void) {
    size_t got = tk_memory_read_parts(buffer, buffered, parts, part_count), planned = part_count;
    while (part_count && part_places[part_count - 1] + parts[part_count - 1].iov_len > got)
        part_count--;
    return part_count == planned;
}

/* What was read of this, searched from the part `*near` on; NULL: none. */
static const char *held(uintptr_t start, size_t bytes, size_t *near) {
    for (size_t turn = 0, i = *near; turn < part_count; turn++, i = i + 1 < part_count ? i + 1 : 0) {
        if (i >= part_count)
            i = 0;
        uintptr_t from = (uintptr_t)parts[i].iov_base;
        if (start >= from && start - from <= parts[i].iov_len && parts[i].iov_len - (start - from) >= bytes) {
            *near = i;
            return buffer + part_places[i] + (start - from);
        }
    }
    return NULL;
}

/* Reads an unexpected frame, with the rest of its page: its callers are often there, or just below. */
static const char *read_unknown(uintptr_t frame) {
    uintptr_t start = frame + tk_the_layout.low, end = frame + tk_the_layout.high;
    uintptr_t from = start & ~(uintptr_t)(PAGE - 1), to = (end + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
    buffered = part_count ? part_places[part_count - 1] + parts[part_count - 1].iov_len : 0;
    if (part_count == MOST_PARTS || buffered + (to - from) > sizeof buffer ||
        !tk_memory_read(buffer + buffered, from, to - from))
        return NULL;
    add_part(from, to - from);
    return buffer + part_places[part_count - 1] + (start - from);
}

/* Reads where the frames of this thread begin, and these frames. Returns the innermost one's address, 0: there is none. */
static uintptr_t read_frames(uintptr_t state, tk_trail *trail, const uintptr_t *addresses, size_t count) {
    const tk_layout *layout = &tk_the_layout;
    uintptr_t was_inner = trail->inner;
    part_count = buffered = 0;
    add_part(state + layout->top, sizeof(uintptr_t));
    if (layout->indirect && plausible(was_inner))
        add_part(was_inner + layout->inner, sizeof(uintptr_t));
    add_frames(addresses, count);
    if (layout->is_address && count) {
        uintptr_t top = addresses[count - 1] + layout->high;
        add_part(top, (ABOVE < PAGE - top % PAGE ? ABOVE : PAGE - top % PAGE));
    }
    if (!read_parts())
        trail->address_count = 0;  /* memory that once had a frame is gone */
    if (!part_count)
        return 0;
    uintptr_t frame = word_at(buffer);
    if (layout->indirect) {
        trail->inner = frame;
        if (frame == was_inner && part_count > 1)
            frame = word_at(buffer + part_places[1]);
        else if (!plausible(frame) || !tk_memory_read(&frame, frame + layout->inner, sizeof frame))
            return 0;
    }
    return frame;
}

/* What was read of a frame; 0: it makes no sense. */
static int take_frame(tk_frame *taken, uintptr_t *caller, uintptr_t frame, const char *words) {
    const tk_layout *layout = &tk_the_layout;
    const char *at = words - layout->low;
    uintptr_t code = tk_object(word_at(at + layout->code));
    int64_t instruction = code == layout->none ? 0 : tk_instruction(layout, at, code);
    *taken = (tk_frame){frame, code, instruction};
    *caller = word_at(at + layout->back);
    return plausible(code) && instruction <= INT32_MAX && instruction >= -16;
}

/* Walks through the frames of a thread by what is read of it, most of it at once: where it had frames before. Returns how
   many, 0: it has none, or they make no sense. */
static size_t walk(uintptr_t state, tk_trail *trail, int *cut) {
    size_t near = 0, count = 0, unknown = 0, bytes = tk_the_layout.high - tk_the_layout.low;
    uintptr_t frame = read_frames(state, trail, trail->addresses, trail->address_count);
    for (*cut = 0; frame; count++) {
        if (!plausible(frame))
            return 0;
        const char *words = count == TK_MOST_FRAMES ? NULL : held(frame + tk_the_layout.low, bytes, &near);
        if (!words && (count == TK_MOST_FRAMES || unknown++ == MOST_UNKNOWN)) {
            *cut = 1;
            break;
        }
        uintptr_t caller;
        if ((!words && !(words = read_unknown(frame))) || !take_frame(&seen[count], &caller, frame, words))
            return 0;
        frame = caller;
    }
    return count;
}

/* Whether the innermost frames, which were not known, read the same again. */
static int is_so(uintptr_t state, tk_trail *trail, size_t count, size_t total) {
    uintptr_t addresses[TK_MOST_FRAMES];
    size_t near = 0, bytes = tk_the_layout.high - tk_the_layout.low;
    for (size_t i = 0; i < count; i++)
        addresses[i] = seen[i].frame;
    sort(addresses, count);
    if (read_frames(state, trail, addresses, count) != seen[0].frame)
        return 0;
    for (size_t i = 0; i < count; i++) {
        tk_frame again;
        uintptr_t caller;
        const char *words = held(seen[i].frame + tk_the_layout.low, bytes, &near);
        if (!words || !take_frame(&again, &caller, seen[i].frame, words) || again.code != seen[i].code ||
            (i + 1 < total && caller != seen[i + 1].frame))
            return 0;
        seen[i].instruction = again.instruction;
    }
    return 1;
}

static tk_trail *trail_of(tk_thread *thread) {
    if (!thread->trail)
        thread->trail = calloc(1, sizeof *thread->trail);
    return thread->trail;
}

static uint32_t told(tk_trail *trail, const tk_frame *frames, size_t count, int cut) {
    uint32_t stack = tk_stack_number(trail, frames, count);
    if (stack && cut)
        tk_out.header->stacks_cut++;
    return stack;
}

/* How many of the outermost frames are as they were. */
static size_t known(const tk_trail *trail, size_t count) {
    size_t same = 0;
    while (same < count && same < trail->depth && trail->steps[same].frame == seen[count - 1 - same].frame &&
           trail->steps[same].code == seen[count - 1 - same].code)
        same++;
    return same;
}

/* Where the thread has its frames now it will have some again. Each place makes each look longer: those are forgotten at
   which none was for some time. */
static void remember(tk_trail *trail, size_t count) {
    size_t kept = 0;
    trail->looks++;
    for (size_t i = 0; i < trail->address_count; i++)
        if (trail->looks - trail->seen[i] <= KEPT_LOOKS) {
            trail->addresses[kept] = trail->addresses[i];
            trail->seen[kept++] = trail->seen[i];
        }
    trail->address_count = (uint32_t)kept;
    for (size_t i = 0; i < count; i++) {
        size_t low = 0, high = trail->address_count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (trail->addresses[middle] < seen[i].frame)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == trail->address_count || trail->addresses[low] != seen[i].frame) {
            if (trail->address_count == TK_MOST_ADDRESSES)
                continue;
            size_t behind = trail->address_count++ - low;
            memmove(&trail->addresses[low + 1], &trail->addresses[low], behind * sizeof *trail->addresses);
            memmove(&trail->seen[low + 1], &trail->seen[low], behind * sizeof *trail->seen);
            trail->addresses[low] = seen[i].frame;
        }
        trail->seen[low] = trail->looks;
    }
}

/* The stack of a thread that may run meanwhile. What was known of it is taken as it is read; what was not must read the
   same twice. */
static uint32_t sample(tk_thread *holder) {
    tk_trail *trail = trail_of(holder);
    uintptr_t state = (uintptr_t)holder->python_state;
    int cut;
    if (!trail || !plausible(state))
        return 0;
    for (int tries = 0; tries < TRIES; tries++) {
        size_t count = walk(state, trail, &cut), unknown = count - known(trail, count);
        if (count && (!unknown || is_so(state, trail, unknown, count))) {
            remember(trail, count);
            return told(trail, seen, count, cut);
        }
    }
    return 0;
}

/* The calling thread's own stack: no other thread changes it. */
static uint32_t own_stack(tk_thread *self) {
    const tk_layout *layout = &tk_the_layout;
    uintptr_t state = (uintptr_t)tk_stacks.thread_state();
    tk_trail *trail = trail_of(self);
    size_t count = 0;
    if (!state || !trail)
        return 0;
    uintptr_t frame = word_at((const char *)state + layout->top);
    if (layout->indirect && frame)
        frame = word_at((const char *)frame + layout->inner);
    for (; frame && count < TK_MOST_FRAMES; count++) {
        const char *at = (const char *)frame;
        uintptr_t code = tk_object(word_at(at + layout->code));
        own[count] = (tk_frame){frame, code, code == layout->none ? 0 : tk_instruction(layout, at, code)};
        frame = word_at(at + layout->back);
    }
    return count ? told(trail, own, count, frame != 0) : 0;
}

/* The calling thread has written a BUSY or, again, a RETRY. */
void tk_stacks_at_wait(tk_thread *self, int again) {
    tk_thread *holder = tk_the_gil.holder;
    uint32_t mine = 0, others = 0;
    if (!tk_stacks.on || !tk_out.header)
        return;
    int before = errno;
    if (!again)
        mine = own_stack(self);
    if (holder && holder != self && holder->python_state &&
        (!holder->sampled || self->last - holder->sampled > tk_stacks.gap)) {
        if (tk_memory_way == TK_KERNEL)
            others = sample(holder);
        if (!others) {
            holder->wants_stack = 1;
            tk_out.header->stacks_missed++;
        }
        holder->sampled = self->last;
        if (others == holder->sample)  /* it holds on */
            others = 0;
        else if (others)
            holder->sample = others;
    }
    if (mine || others)
        tk_attribute(self, TK_STACKS, mine, others);
    errno = before;
}

/* The calling thread has written a RELEASE. */
void tk_stacks_at_release(tk_thread *self) {
    int before = errno;
    uint32_t mine = tk_stacks.on && tk_out.header ? own_stack(self) : 0;
    if (mine)
        tk_attribute(self, TK_STACKS, mine, 0);
    self->wants_stack = 0;
    errno = before;
}

/* The stack of any thread, as it is now. 0: not known. */
uint32_t tk_stacks_look(tk_thread *thread) {
    int can = tk_stacks.on && tk_out.header && tk_memory_way == TK_KERNEL && thread->python_state;
    return can ? sample(thread) : 0;
}

/* Whether the next recording takes stacks, once all is learned. Returns NULL, or why it cannot. */
TK_PUBLIC const char *tk_stacks_use(int32_t use) {
    wanted = 0;
    if (!use)
        return NULL;
    tk_stacks.thread_state = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState");
    const char *wrong = tk_codes_can_be_followed();
    if (tk_memory_way == TK_PIPE)
        tk_memory_way = TK_DIRECT;
    wanted = !wrong && tk_stacks.thread_state;
    return wrong;
}

/* Whether threads can see the stack of the one that holds the GIL. */
TK_PUBLIC int32_t tk_stacks_of_others(void) {
    return tk_memory_way == TK_KERNEL;
}

void tk_stacks_begin(void) {
    if (!wanted)
        return;
    tk_stacks.gap = (uint64_t)(GAP_NS / tk_clock_rate());
    tk_memory_begin();
    tk_nodes_begin();
    TK_STORE(tk_stacks.on, 1);
}

/* For good: the interpreter ends, and with it what threads know of their frames. With the GIL held. */
TK_PUBLIC void tk_stacks_end(void) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    if (!TK_LOAD(tk_stacks.on) || !guard || pthread_mutex_lock(guard))
        return;
    TK_STORE(tk_stacks.on, 0);
    tk_nodes_end();
    pthread_mutex_unlock(guard);
}

void tk_stacks_forked(void) {
    tk_memory_forked();
    if (tk_stacks.on)
        tk_nodes_forked();
}
