#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "counters.h"

enum {
    LONG_NS = 10000000, PREEMPTED_NS = 1000000, MIN_TIMEOUTS = 2,
    RECENT = 1 << 12,          /* holds kept: the newest */
    MOST_FOLDED = 256,
};

typedef struct { uint64_t began, released; int kind; } hold;

static struct {
    tk_count *running, *ended, *newest_ended, *folded;
    uint32_t ended_count, folded_count;
    uint64_t held[TK_HOLD_KINDS];  /* by all, in holds that ended */
    uint64_t serial;           /* of the current hold, or the last one; from 1 on */
    int held_now, is_long;
    uint32_t waiting;
    hold recent[RECENT];
} all;

static hold *hold_of(uint64_t serial) {
    return &all.recent[serial % RECENT];
}

static uint64_t since(uint64_t now, uint64_t then) {
    return now > then ? now - then : 0;
}

static uint64_t minus(uint64_t *from, uint64_t part) {
    uint64_t taken = part < *from ? part : *from;
    *from -= taken;
    return taken;
}

static tk_count *count_of(tk_thread *self) {
    tk_count *count = self->count;
    if (count)
        return count;
    for (count = all.running; count && count->tid != self->tid;)
        count = count->next;   /* it has had a name before it did anything */
    if (!count && (count = calloc(1, sizeof *count))) {
        count->next = all.running;
        all.running = count;
        count->tid = self->tid;
    }
    if (count && self == &tk_self)
        count->of = self;
    return self->count = count;
}

static void begin_wait(tk_count *count, uint64_t clock) {
    count->wanted = clock;
    count->waits++;
    count->hold = 0;
    memcpy(count->began, all.held, sizeof all.held);
    uint64_t serial = all.serial, oldest = serial < RECENT ? 0 : serial - RECENT + 1;
    if (all.held_now) {
        if (clock >= hold_of(serial)->began) {
            count->hold = serial;
            count->hold_part = clock - hold_of(serial)->began;
        }
        serial--;
    }
    /* It wanted the GIL before these holds ended, though its ENTRY is written only now. */
    for (; serial > oldest && hold_of(serial)->released > clock; serial--) {
        const hold *ended = hold_of(serial);
        count->began[ended->kind] -= ended->released - (clock > ended->began ? clock : ended->began);
    }
}

static void end_look(tk_count *count) {
    all.waiting -= count->busy;
    count->busy = 0;
    count->timeouts = 0;
}

void tk_count_wanted(tk_thread *self, uint64_t clock) {
    tk_count *count = count_of(self);
    if (!count)
        return;
    end_look(count);
    begin_wait(count, clock);
}

void tk_count_looked(tk_thread *self, uint64_t clock, int again) {
    tk_count *count = count_of(self);
    if (!count)
        return;
    if (!count->wanted)        /* counting began in its wait */
        begin_wait(count, clock);
    if (!count->busy) {
        count->busy = 1;
        count->contended++;
        all.waiting++;
    }
    if (count->looked != all.serial)
        count->timeouts = 0;
    else if (again && all.held_now && ++count->timeouts >= MIN_TIMEOUTS)
        all.is_long = 1;
    count->looked = all.serial;
}

/* While others held the GIL the wait has a cause; the rest of it the GIL was free. Both sum to the wait. */
static void tell_causes(tk_count *count, uint64_t waited) {
    uint64_t lost[TK_HOLD_KINDS], left = waited;
    for (int kind = 0; kind < TK_HOLD_KINDS; kind++)
        lost[kind] = since(all.held[kind], count->began[kind]);
    if (count->hold && all.serial - count->hold < RECENT)
        minus(&lost[hold_of(count->hold)->kind], count->hold_part);
    count->causes[TK_PREEMPTION] += minus(&left, lost[TK_PREEMPTED]);
    count->causes[TK_LONG_HOLD] += minus(&left, lost[TK_LONG]);
    count->causes[count->last_was_check ? TK_SATURATION : TK_QUEUEING] += minus(&left, lost[TK_ORDINARY]);
    count->causes[TK_SCHEDULING] += left;
}

void tk_count_acquired(tk_thread *self, uint64_t clock) {
    tk_count *count = count_of(self);
    if (count && count->wanted) {
        uint64_t waited = since(clock, count->wanted), ns = (uint64_t)((double)waited * tk_clock_rate());
        int power = ns ? 64 - __builtin_clzll(ns) : 0;
        count->powers[power < TK_POWERS ? power : TK_POWERS - 1]++;
        TK_STORE(count->waited, count->waited + waited);
        tell_causes(count, waited);
        TK_STORE(count->wanted, 0);
    }
    if (count) {
        end_look(count);
        TK_STORE(count->acquired, clock);
    }
    hold_of(++all.serial)->began = clock;
    all.held_now = 1;
    all.is_long = 0;
}

/* cpu_ns: what the thread used of the CPU in its hold; NULL: unknown. */
void tk_count_released(tk_thread *self, uint64_t clock, int check, const uint64_t *cpu_ns) {
    tk_count *count = count_of(self);
    hold *ended = hold_of(all.serial);
    uint64_t held = all.held_now ? since(clock, ended->began) : 0;
    double ns = (double)held * tk_clock_rate();
    int kind = TK_ORDINARY;
    if (cpu_ns && ns >= PREEMPTED_NS && 2 * (double)*cpu_ns < ns)
        kind = TK_PREEMPTED;
    else if (all.is_long || (ns >= LONG_NS && all.waiting))
        kind = TK_LONG;
    if (all.held_now) {
        all.held[kind] += held;
        ended->released = ended->began + held;
        ended->kind = kind;
    }
    all.held_now = 0;
    if (!count)
        return;
    count->last_was_check = check != 0;
    if (!count->acquired)
        return;
    TK_STORE(count->held, count->held + since(clock, count->acquired));
    TK_STORE(count->acquired, 0);
    if (check)
        count->forced++;
    else
        count->blocking++;
    if (cpu_ns && (double)*cpu_ns < ns)
        count->off_cpu += (uint64_t)((ns - (double)*cpu_ns) / tk_clock_rate());
}

static void set_name(tk_count *count, const char *name, size_t length) {
    count->length = (uint8_t)length;
    memcpy(count->name, name, length);
    count->named = 1;
}

/* self: the calling thread, or NULL: another one. */
void tk_count_name(tk_thread *self, uint32_t tid, const char *name, size_t length) {
    tk_thread other = {.tid = tid};
    tk_count *count = count_of(self ? self : &other);
    if (count)
        set_name(count, name, length);
}

/* Each run of digits as `*`, so that the threads of a pool have one name. */
void tk_count_fold(tk_count *count) {
    uint8_t length = 0;
    for (uint8_t i = 0; i < count->length; i++) {
        int is_digit = count->name[i] >= '0' && count->name[i] <= '9';
        if (!is_digit)
            count->name[length++] = count->name[i];
        else if (!length || count->name[length - 1] != '*')
            count->name[length++] = '*';
    }
    count->length = length;
}

void tk_count_add(tk_count *sum, const tk_count *part) {
    sum->held += part->held;
    sum->waited += part->waited;
    sum->waits += part->waits;
    sum->contended += part->contended;
    sum->forced += part->forced;
    sum->blocking += part->blocking;
    sum->off_cpu += part->off_cpu;
    for (int i = 0; i < TK_CAUSES; i++)
        sum->causes[i] += part->causes[i];
    for (int i = 0; i < TK_POWERS; i++)
        sum->powers[i] += part->powers[i];
}

/* The oldest of the threads that ended becomes a part of those of its folded name. */
static void sum_oldest(void) {
    tk_count *oldest = all.ended, **place = &all.folded;
    all.ended = oldest->next;
    all.ended_count--;
    tk_count_fold(oldest);
    if (!oldest->named)
        oldest->length = 0;
    for (; *place; place = &(*place)->next)
        if (((*place)->length == oldest->length && !memcmp((*place)->name, oldest->name, oldest->length)) ||
            (!(*place)->next && all.folded_count == MOST_FOLDED)) {
            tk_count_add(*place, oldest);
            free(oldest);
            return;
        }
    oldest->next = NULL;
    oldest->tid = 0;
    if (++all.folded_count == MOST_FOLDED)
        oldest->length = 0;    /* all names beyond */
    *place = oldest;
}

/* name: what the system calls it, for one that has no other. */
void tk_count_ended(tk_thread *self, const char *name, size_t length) {
    tk_count *count = self->count, **place = &all.running;
    self->count = NULL;
    if (!count)
        return;
    while (*place && *place != count)
        place = &(*place)->next;
    if (!*place)
        return;
    *place = count->next;
    end_look(count);
    count->wanted = count->acquired = 0;
    count->ended = 1;
    count->of = NULL;
    if (!count->named && length)
        set_name(count, name, length);
    count->next = NULL;
    if (all.ended)
        all.newest_ended->next = count;
    else
        all.ended = count;
    all.newest_ended = count;
    if (++all.ended_count > TK_ENDED_KEPT)
        sum_oldest();
}

static void forget(tk_count *list) {
    while (list) {
        tk_count *next = list->next;
        free(list);
        list = next;
    }
}

/* Of the threads that run; each is followed by the `next`. Under the guard. */
const tk_count *tk_counts_first(void) {
    return all.running;
}

/* When nothing was followed before; nobody has a count. */
void tk_counts_begin(void) {
    memset(&all, 0, sizeof all);
}

/* In a forked child, whose counts are its own. The threads that it has no more have left theirs. */
void tk_counts_forked(void) {
    if (!all.running && !all.ended && !all.folded)
        return;
    forget(all.running);
    forget(all.ended);
    forget(all.folded);
    tk_counts_begin();
}

/* Copies the counts, of running threads with what they hold or wait for right now, then of those that ended, the oldest first.
   Returns how many there are; no more than `most` are copied. */
TK_PUBLIC int64_t tk_counts_read(tk_count *into, int64_t most) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    int64_t count = 0;
    if (!(TK_LOAD(tk_the_gil.on) & TK_COUNTING) || !guard || pthread_mutex_lock(guard))
        return 0;
    uint64_t now = tk_now();
    for (int list = 0; list < 3; list++)
        for (const tk_count *one = list == 0 ? all.running : list == 1 ? all.ended : all.folded; one; one = one->next) {
            if (count < most) {
                into[count] = *one;
                into[count].held += one->acquired ? since(now, one->acquired) : 0;
                into[count].waited += one->wanted ? since(now, one->wanted) : 0;
            }
            count++;
        }
    pthread_mutex_unlock(guard);
    return count;
}

TK_PUBLIC double tk_counts_rate(void) {
    return tk_clock_rate_so_far();
}

/* The causes' names, in their order. */
TK_PUBLIC const char *tk_counts_causes(void) {
    return "scheduling preemption long_hold saturation queueing";
}

TK_PUBLIC int64_t tk_counts_bytes(void) {
    return sizeof(tk_count);
}
