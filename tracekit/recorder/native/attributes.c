#include "attributes.h"

/* Of the event that this thread wrote just now. If that was lost so is this: room never comes back. */
void tk_attribute(const tk_thread *self, uint32_t code, uint64_t value, uint32_t other) {
    if (!(tk_the_gil.on & TK_WRITING) || (tk_out.next == tk_out.ready && !tk_raw_advance()))
        return;
    *tk_out.next++ = (tk_record){.stamp = value << 8 | code, .thread = self->number, .ticks = (int32_t)other};
    tk_out.chunk->attributes++;
    __atomic_store_n(&tk_out.chunk->count, tk_out.chunk->count + 1, __ATOMIC_RELEASE);
}

/* An attribute of the calling thread's last RELEASE. The thread does not hold the guard and does not wait for it: if
   another thread has it, the attribute is written before the next event. */
void tk_late(tk_thread *self, uint32_t code, uint32_t value) {
    pthread_mutex_t *guard = TK_LOAD(tk_the_gil.guard);
    if (!guard || TK_LOAD(self->late))
        return;
    self->late_code = code;
    TK_STORE(self->late, value);
    self->next_late = TK_LOAD(tk_the_gil.late);
    while (!__atomic_compare_exchange_n(&tk_the_gil.late, &self->next_late, self, 1, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
    }
    if (!pthread_mutex_trylock(guard)) {
        tk_tell_late();
        pthread_mutex_unlock(guard);
    }
}

void tk_tell_late(void) {
    tk_thread *next = __atomic_exchange_n(&tk_the_gil.late, NULL, __ATOMIC_ACQUIRE);
    while (next) {
        tk_thread *self = next;
        next = self->next_late;
        if (self->file == tk_the_gil.file)
            tk_attribute(self, self->late_code, self->late, 0);
        TK_STORE(self->late, 0);
    }
}

/* Of the RELEASE that the thread wrote just now. */
void tk_tell_unlocks(tk_thread *self) {
    for (uint32_t i = 0; i < self->unlock_count; i++)
        tk_attribute(self, TK_UNLOCKS, self->unlocks[i], 0);
    self->unlock_count = self->waited_for = 0;
    self->last_unlocked = NULL;
}
