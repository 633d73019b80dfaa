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
    MOST_PARTS = TK_MOST_FRAMES + 2,
    BUFFER_BYTES = 1 << 15,
    NEAR = 256,                /* frames that lie no farther apart are read as one part */
    BELOW = 1024,              /* a frame that is not known is read with its likely callers */
    MOST_UNKNOWN = 24,         /* so many parts are read one by one; what lies further out is cut */
    TRIES = 3,
};

tk_stacks_state tk_stacks;
static int wanted;

/* Memory of another thread, as it was read. One user at a time: all is done under the guard. */
static char buffer[BUFFER_BYTES];
static struct iovec parts[MOST_PARTS + MOST_UNKNOWN];
static uint32_t part_places[MOST_PARTS + MOST_UNKNOWN];
static size_t part_count, buffered;
static tk_frame own[TK_MOST_FRAMES], seen[2][TK_MOST_FRAMES];

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

/* Plans to read a frame; makes the last part longer if the frame lies close to it. */
static void add_frame(uintptr_t frame, size_t first_part) {
    if (!plausible(frame))
        return;
    uintptr_t start = frame + tk_the_layout.low, end = frame + tk_the_layout.high;
    if (part_count > first_part) {
        struct iovec *last = &parts[part_count - 1];
        uintptr_t last_start = (uintptr_t)last->iov_base, last_end = last_start + last->iov_len;
        if (start + NEAR > last_start && start < last_end + NEAR) {
            uintptr_t from = start < last_start ? start : last_start, to = end > last_end ? end : last_end;
            size_t more = to - from - last->iov_len;
            if (buffered + more > sizeof buffer)
                return;
            *last = (struct iovec){(void *)from, to - from};
            buffered += more;
            return;
        }
    }
    add_part(start, end - start);
}

static void read_parts(void) {
    size_t got = tk_memory_read_parts(buffer, buffered, parts, part_count);
    while (part_count && part_places[part_count - 1] + parts[part_count - 1].iov_len > got)
        part_count--;
}

/* The part that has this, from `*near` on; NULL: none. */
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

/* Reads a frame that nobody expected, and what lies below it: where frames lie in one piece these are its callers. */
static const char *read_unknown(uintptr_t frame) {
    uintptr_t start = frame + tk_the_layout.low, end = frame + tk_the_layout.high;
    size_t below = tk_the_layout.is_address ? BELOW : 0;
    buffered = part_count ? part_places[part_count - 1] + parts[part_count - 1].iov_len : 0;
    for (;; below = 0) {
        size_t bytes = end - start + below;
        if (part_count == sizeof parts / sizeof *parts || buffered + bytes > sizeof buffer)
            return NULL;
        if (tk_memory_read(buffer + buffered, start - below, bytes)) {
            parts[part_count] = (struct iovec){(void *)(start - below), bytes};
            part_places[part_count++] = (uint32_t)buffered;
            return buffer + buffered + below;
        }
        if (!below)
            return NULL;
    }
}

/* Walks through the frames of a thread by what is read of it, most of it at once: where it had frames before. Returns how
   many, 0: it has none, or they make no sense. */
static size_t walk(uintptr_t state, const uintptr_t *expected, size_t expected_count, uintptr_t *inner, tk_frame *frames,
                   int *cut) {
    const tk_layout *layout = &tk_the_layout;
    size_t near = 0, count = 0, unknown = 0;
    uintptr_t was_inner = *inner;
    part_count = buffered = 0;
    add_part(state + layout->top, sizeof(uintptr_t));
    if (layout->indirect && plausible(was_inner))
        add_part(was_inner + layout->inner, sizeof(uintptr_t));
    size_t first_part = part_count;
    for (size_t i = 0; i < expected_count; i++)
        add_frame(expected[i], first_part);
    read_parts();
    if (!part_count)
        return 0;
    uintptr_t frame = word_at(buffer);
    if (layout->indirect) {
        *inner = frame;
        if (frame == was_inner && part_count > 1)
            frame = word_at(buffer + part_places[1]);
        else if (!plausible(frame) || !tk_memory_read(&frame, frame + layout->inner, sizeof frame))
            return 0;
    }
    for (*cut = 0; frame; count++) {
        if (!plausible(frame))
            return 0;
        if (count == TK_MOST_FRAMES) {
            *cut = 1;
            break;
        }
        const char *at = held(frame + layout->low, layout->high - layout->low, &near);
        if (!at && unknown++ == MOST_UNKNOWN) {
            *cut = 1;
            break;
        }
        if (!at && !(at = read_unknown(frame)))
            return 0;
        at -= layout->low;
        uintptr_t code = tk_object(word_at(at + layout->code));
        int64_t instruction = tk_instruction(layout, at, code);
        if (code != layout->none && (!plausible(code) || instruction > INT32_MAX || instruction < -16))
            return 0;
        frames[count] = (tk_frame){frame, code, code == layout->none ? 0 : instruction};
        frame = word_at(at + layout->back);
    }
    return count;
}

static int is_known(const tk_trail *trail, const tk_frame *frames, size_t count) {
    if (count != trail->depth)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (trail->steps[count - 1 - i].frame != frames[i].frame || trail->steps[count - 1 - i].code != frames[i].code)
            return 0;
    return 1;
}

static int are_same(const tk_frame *a, const tk_frame *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (a[i].frame != b[i].frame || a[i].code != b[i].code)
            return 0;
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

/* The stack of a thread that may run meanwhile. What was known of it is taken as it is read; what was not is read until it
   is the same twice. */
static uint32_t sample(tk_thread *holder) {
    uintptr_t expected[TK_MOST_FRAMES];
    tk_trail *trail = trail_of(holder);
    uintptr_t state = (uintptr_t)holder->python_state;
    int cut, turn = 0;
    if (!trail || !plausible(state))
        return 0;
    for (size_t i = 0; i < trail->depth; i++)
        expected[i] = trail->steps[trail->depth - 1 - i].frame;
    size_t count = walk(state, expected, trail->depth, &trail->inner, seen[0], &cut);
    if (count && is_known(trail, seen[0], count))
        return told(trail, seen[0], count, cut);
    for (int tries = 0; tries < TRIES; tries++, turn = !turn) {
        size_t before = count;
        for (size_t i = 0; i < count; i++)
            expected[i] = seen[turn][i].frame;
        count = walk(state, expected, count, &trail->inner, seen[!turn], &cut);
        if (count && count == before && are_same(seen[0], seen[1], count))
            return told(trail, seen[!turn], count, cut);
    }
    return 0;
}

/* The calling thread's own stack: nobody else changes it. */
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
    tk_stacks.gap = (uint64_t)(GAP_NS / tk_raw_rate());
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
        tk_nodes_anew();
}
