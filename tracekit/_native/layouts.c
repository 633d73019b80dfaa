/* The layouts of the structs that Python reads and fills, which declares them too: it compares the two when it loads
   this, so a struct that was changed on one side only is no silent garbage. */
#include "core.h"
#include "observe.h"
#include "replay.h"

#define FIELD(type, member, name) {#type, name, offsetof(type, member), sizeof(((type *)0)->member)},
#define FIELD_OF(type, member, name) FIELD(type, member, name)
#define SIZE(type) {#type, "", 0, sizeof(type)},
#define SIZE_OF(type) SIZE(type)
#define WHOLE SIZE_OF(STRUCT)
#define SAME(member) FIELD_OF(STRUCT, member, #member)
#define NAMED(member, name) FIELD_OF(STRUCT, member, name) /* what Python calls it */

static const tk_field fields[] = {
#define STRUCT tk_options
    WHOLE SAME(min_rounds) SAME(min_cycles) SAME(max_gap) SAME(min_frozen) SAME(min_timeouts) SAME(long_hold)
    SAME(ratio) SAME(worst) SAME(distinct_values)
#undef STRUCT
#define STRUCT tk_picture_limits
    WHOLE SAME(bins) SAME(cells) SAME(rows) SAME(edge_rows) SAME(window_rows) SAME(windows) SAME(window_waiters)
    SAME(rival_switches)
#undef STRUCT
#define STRUCT tk_finding_totals
    WHOLE SAME(count) SAME(kept)
#undef STRUCT
#define STRUCT tk_totals
    WHOLE SAME(events) SAME(duration) SAME(first_clock) SAME(first_tick_clock) SAME(switches) SAME(checks_least)
    SAME(checks_most) SAME(counts) SAME(first_seq) SAME(held) SAME(free_wanted) SAME(regions_dropped) SAME(findings) SAME(timed)
    SAME(clock_known) SAME(tick_clock_known) SAME(threads) SAME(exact) SAME(has_ticks)
#undef STRUCT
#define STRUCT tk_columns
    WHOLE SAME(events) SAME(thread) SAME(ticks) SAME(checks) SAME(time) SAME(event) SAME(codes) SAME(clock)
    SAME(tick_clock) SAME(attributes) SAME(attribute_count)
#undef STRUCT
#define STRUCT tk_progress
    WHOLE SAME(bytes) SAME(lines) SAME(events) SAME(blocks) SAME(bad_counts) SAME(bad_first) SAME(fault_lines)
    SAME(bad_attributes) SAME(bad_attribute_line) SAME(attribute_keys) SAME(threads) SAME(done) SAME(error) SAME(strict_stop)
#undef STRUCT
#define STRUCT tk_batch
    WHOLE SAME(block) SAME(events) SAME(first_line) SAME(lines) SAME(thread) SAME(ticks) SAME(checks) SAME(time)
    SAME(event) SAME(null_ticks) SAME(null_checks) SAME(null_time) SAME(valid_ticks) SAME(valid_checks)
    SAME(valid_time) SAME(gaps) SAME(gap_count) SAME(attributes) SAME(attribute_count) SAME(threads) SAME(ticks_width)
    SAME(checks_width) SAME(time_width) SAME(thread_width) SAME(padding)
#undef STRUCT
#define STRUCT tk_attribute
    WHOLE SAME(row) SAME(key) SAME(value)
#undef STRUCT
#define STRUCT tk_bad_line
    WHOLE SAME(line) SAME(code) SAME(length) SAME(offset)
#undef STRUCT
#define STRUCT tk_gathered
    WHOLE SAME(offset) SAME(minus) SAME(width) SAME(kind) SAME(null_offset) SAME(null_width) SAME(add) SAME(null)
    SAME(null_count) SAME(out) SAME(valid)
#undef STRUCT
#define STRUCT tk_seen
    WHOLE SAME(items) SAME(count) SAME(room)
#undef STRUCT
#define STRUCT tk_observation
    WHOLE SAME(rows) SAME(threads) SAME(attribute_count) SAME(thread) SAME(event) SAME(time) SAME(checks)
    SAME(attributes) SAME(about) SAME(seen)
#undef STRUCT
#define STRUCT tk_replay
    WHOLE SAME(threads) SAME(pieces) SAME(delay) SAME(wake_count) SAME(seed) SAME(start) SAME(first) SAME(started_by)
    SAME(work) SAME(outside) SAME(needs) SAME(arrives) SAME(atomic) SAME(free) SAME(wakes) SAME(answers)
    SAME(answers_from) SAME(stalls) SAME(stalls_from) SAME(returns) SAME(returns_from) SAME(begins) SAME(ends)
    SAME(waited) SAME(waits) SAME(waiters) SAME(wait_count) SAME(stops)
#undef STRUCT
#define STRUCT tk_thread_totals
    WHOLE NAMED(counts[TK_ENTRY], "entries") NAMED(counts[TK_ACQUIRE], "acquires")
    NAMED(counts[TK_RELEASE], "releases") NAMED(counts[TK_BUSY], "busies") NAMED(counts[TK_RETRY], "retries")
    SAME(contended_waits) SAME(failed_retries) SAME(lost_rounds) SAME(timeouts) SAME(hand_overs) SAME(check_releases)
    SAME(blocking_releases) SAME(held) SAME(waited) SAME(retried_waited) SAME(not_running)
    SAME(first_seq)
#undef STRUCT
#define STRUCT tk_blame
    WHOLE SAME(duration) SAME(waiter) SAME(holder)
#undef STRUCT
#define STRUCT tk_cause
    WHOLE SAME(duration) SAME(waits) SAME(thread) SAME(holder) SAME(cause) SAME(padding)
#undef STRUCT
#define STRUCT tk_stack_blame
    WHOLE SAME(duration) SAME(waits) SAME(holder_stack) SAME(waiter_stack) SAME(waiter) SAME(holder) SAME(cause)
    SAME(padding)
#undef STRUCT
#define STRUCT tk_shared_waits
    WHOLE SAME(waits) SAME(set) SAME(row)
#undef STRUCT
#define STRUCT tk_hold
    WHOLE SAME(start_seq) SAME(end_seq) NAMED(start, "start_clock") NAMED(end, "end_clock")
    NAMED(start_ticks, "start_tick_clock") NAMED(end_ticks, "end_tick_clock") SAME(waited) SAME(cpu) SAME(thread)
    NAMED(release, "release_kind") SAME(open) SAME(truncated)
#undef STRUCT
#define STRUCT tk_wait
    WHOLE SAME(entry_seq) SAME(busy_seq) SAME(end_seq) NAMED(start, "entry_clock") NAMED(busy, "busy_clock")
    NAMED(end, "end_clock") NAMED(start_ticks, "entry_tick_clock") NAMED(busy_ticks, "busy_tick_clock")
    NAMED(end_ticks, "end_tick_clock") SAME(failed_retries) SAME(lost_rounds) SAME(timeouts) SAME(hand_overs)
    SAME(passes) SAME(stack) SAME(thread) SAME(rival) SAME(contended) SAME(open) SAME(truncated)
#undef STRUCT
#define STRUCT tk_switch
    WHOLE SAME(seq) SAME(gap) SAME(clock) NAMED(ticks, "tick_clock") NAMED(from, "from_thread") NAMED(to, "to_thread")
#undef STRUCT
#define STRUCT tk_fault
    WHOLE SAME(seq) SAME(thread) SAME(code) SAME(error)
#undef STRUCT
#define STRUCT tk_retry
    WHOLE SAME(seq) SAME(clock) SAME(sample) SAME(thread) SAME(holder) SAME(kind) SAME(padding)
#undef STRUCT
#define STRUCT tk_distribution
    WHOLE SAME(count) SAME(p50) SAME(p90) SAME(p99) SAME(max) SAME(thread) SAME(kind)
#undef STRUCT
#define STRUCT tk_lock_wait
    WHOLE SAME(lock) SAME(duration) SAME(waits) SAME(releaser_waited) SAME(waiter) SAME(releaser)
#undef STRUCT
#define STRUCT tk_region
    WHOLE SAME(region) SAME(start) SAME(end) SAME(held) SAME(waited) SAME(waits) SAME(thread) SAME(padding)
#undef STRUCT
#define STRUCT tk_region_blame
    WHOLE SAME(region) SAME(duration) SAME(stack) SAME(holder) SAME(padding)
#undef STRUCT
#define STRUCT tk_handoff
    WHOLE SAME(count) NAMED(from, "from_thread") NAMED(to, "to_thread")
#undef STRUCT
#define STRUCT tk_waiting
    WHOLE SAME(waiters) SAME(duration)
#undef STRUCT
#define STRUCT tk_bucket
    WHOLE SAME(low) SAME(high) SAME(count) SAME(thread) SAME(kind)
#undef STRUCT
#define STRUCT tk_finding
    WHOLE SAME(cost) SAME(start_seq) SAME(end_seq) NAMED(start, "start_clock") NAMED(end, "end_clock") SAME(more)
    SAME(thread) SAME(other)
#undef STRUCT
#define STRUCT tk_finding_group
    WHOLE SAME(count) SAME(cost) SAME(span) SAME(more) SAME(worst_cost) SAME(start_seq) SAME(end_seq) SAME(thread)
    SAME(other)
#undef STRUCT
#define STRUCT tk_cell
    WHOLE SAME(held) SAME(entering) SAME(busy) SAME(retried) SAME(longest_hold) SAME(longest_wait) SAME(bin)
    SAME(thread) SAME(retries) SAME(checks) SAME(blocking) SAME(padding)
#undef STRUCT
#define STRUCT tk_picture_hold
    WHOLE SAME(start_seq) SAME(end_seq) SAME(start) SAME(end) SAME(waited) SAME(cpu) SAME(stack) SAME(thread)
    NAMED(release, "kind") SAME(open) SAME(truncated) NAMED(is_long, "long") SAME(after_check)
#undef STRUCT
#define STRUCT tk_picture_wait
    WHOLE SAME(entry_seq) SAME(busy_seq) SAME(end_seq) NAMED(start, "entry") SAME(busy) SAME(end) SAME(failed_retries)
    SAME(lost_rounds) SAME(timeouts) SAME(hand_overs) SAME(passes) SAME(thread) SAME(rival) SAME(contended) SAME(open)
    SAME(truncated) SAME(after_check) SAME(retry) SAME(stack) SAME(sample)
#undef STRUCT
#define STRUCT tk_window
    WHOLE NAMED(from, "start") NAMED(to, "end")
#undef STRUCT
#define STRUCT tk_knot
    WHOLE SAME(clock) NAMED(tick_clock, "ticks")
#undef STRUCT
};

const tk_field *tk_layouts(int64_t *count) {
    *count = sizeof fields / sizeof *fields;
    return fields;
}
