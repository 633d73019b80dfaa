/* In a ring, which is written for months, the number and the record of a thread that ended become another's once the ring
   has no event of it any more. A copy of the ring that is being made may have some yet, so the ring must have been
   written twice since. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "roster.h"
#include "writer.h"

#define NONE UINT32_MAX

enum { MOST_EARLY = 1 << 12 };

typedef struct {
    tk_thread_record *record;  /* NULL: not known, and not to be used again */
    uint64_t ended;            /* when so many chunks of events had been begun */
    uint32_t next;             /* that ended after it */
    uint32_t has_ended;
} place;

static struct {
    place *places;             /* by number; of a ring only */
    uint32_t room, numbers, oldest, newest;
    uint32_t early[MOST_EARLY], early_count;  /* tids of a ring whose names were told before their first event */
} all = {.oldest = NONE, .newest = NONE};

/* There is another file. */
void tk_roster_anew(void) {
    all.numbers = all.early_count = 0;
    all.oldest = all.newest = NONE;
}

static place *place_of(uint32_t number) {
    return tk_raw_ring_chunks() && number < all.numbers && number < all.room ? &all.places[number] : NULL;
}

static int has_room(uint32_t number) {
    if (number < all.room)
        return 1;
    uint32_t room = all.room ? all.room * 2 : 64;
    place *more = realloc(all.places, room * sizeof *more);
    if (!more)
        return 0;
    all.places = more;
    all.room = room;
    return 1;
}

/* So many numbers are in use. */
uint32_t tk_roster_count(void) {
    return all.numbers;
}

/* A number for another thread. */
uint32_t tk_roster_number(void) {
    uint64_t chunks = tk_raw_ring_chunks();
    uint32_t number = all.oldest;
    if (chunks && number != NONE && all.places[number].ended + 2 * chunks <= tk_raw_event_chunks()) {
        all.oldest = all.places[number].next;
        all.newest = all.oldest == NONE ? NONE : all.newest;
        return number;
    }
    number = all.numbers++;
    if (chunks && has_room(number))
        all.places[number] = (place){0};
    return number;
}

static void set_name(tk_thread_record *record, const char *name, size_t length) {
    record->length = (uint32_t)(length < TK_NAME_BYTES ? length : TK_NAME_BYTES);
    memcpy(record->text, name, record->length);
}

void tk_roster_tell(uint32_t number, uint32_t tid, const char *name, size_t length) {
    place *at = place_of(number);
    if (at && at->has_ended) {
        at->record->tid = tid;
        at->has_ended = 0;
        set_name(at->record, name, length);
        return;
    }
    tk_thread_record *record = tk_raw_thread(TK_NEW_THREAD, number, tid, name, length);
    if (at)
        at->record = record;
}

static int was_named_early(uint32_t tid) {
    for (uint32_t i = 0; i < all.early_count; i++)
        if (all.early[i] == tid)
            return 1;
    return 0;
}

/* number UINT32_MAX: that of the thread with this tid. */
void tk_roster_name(uint32_t kind, uint32_t number, uint32_t tid, const char *name, size_t length) {
    place *at = place_of(number);
    for (uint32_t i = number == NONE ? all.numbers : 0; !at && i--;) {
        place *one = place_of(i);
        if (one && one->record && !one->has_ended && one->record->tid == tid)
            at = one;
    }
    if (!at || !at->record) {
        uint64_t clock = tk_now() - tk_out.zero;
        tk_thread_record *record = tk_raw_thread(kind, number, tid, name, length);
        if (record && kind == TK_RENAME)
            memcpy(record->text + TK_RENAME_BYTES, &clock, sizeof clock);
        if (kind == TK_NAME && all.early_count < MOST_EARLY && tk_raw_ring_chunks())
            all.early[all.early_count++] = tid;
    } else if (kind != TK_SYSTEM_NAME || (!at->record->length && !was_named_early(tid)))
        set_name(at->record, name, length);
}

void tk_roster_end(uint32_t number) {
    place *at = place_of(number);
    if (!at || !at->record || at->has_ended)
        return;
    *at = (place){.record = at->record, .ended = tk_raw_event_chunks(), .next = NONE, .has_ended = 1};
    if (all.newest == NONE)
        all.oldest = number;
    else
        all.places[all.newest].next = number;
    all.newest = number;
}
