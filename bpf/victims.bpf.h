// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Who waited for a busy phase to end: the loop's next timer and the descriptors that became ready.
//
// A poll call's own timeout tells when the next timer is due, as an interval: asyncio rounds
// milliseconds up, and libuv counts whole ones of a clock that it read before the call. Each
// further poll call narrows the interval while it still fits; one that does not fit is of another
// timer, so the old one was cancelled. The timer fires when a poll call returns at or after its
// deadline: then the loop looks at its timers, once it has the interpreter lock again.
//
// The poll call after a stall returns what is ready. Where the thread did not go to sleep in it,
// that was ready when it began. What the poll call before the stall returned may be among it, so
// the count has a lower bound too; where the kernel shows us each descriptor becoming ready
// (delays.bpf.c) it is exact, and so are the waits.
#ifndef LOOPSIGHT_BPF_VICTIMS_H
#define LOOPSIGHT_BPF_VICTIMS_H

#include "split.bpf.h"

#define LS_MS 1000000ULL
// asyncio polls for at most a day at a time (MAXIMUM_SELECT_TIMEOUT): that is no timer's deadline.
#define LS_NO_DEADLINE_NS (86400000 * LS_MS)
// Between asyncio's look at the clock and its poll call.
#define LS_TIMEOUT_LAG_NS 100000
#define LS_MAX_RETURNED 4096
#define LS_EPOLL_EVENT_BYTES 12  // packed on x86-64 (include/uapi/linux/eventpoll.h)

extern const volatile __u32 exact_delays;

static __always_inline __u32 ls_bucket(__u64 ns) {
  // Upper bounds of loopsight_loop_iteration_seconds: public, never to change.
  if (ns <= 500000) return 0;
  if (ns <= 1000000) return 1;
  if (ns <= 2500000) return 2;
  if (ns <= 5000000) return 3;
  if (ns <= 10000000) return 4;
  if (ns <= 25000000) return 5;
  if (ns <= 50000000) return 6;
  if (ns <= 100000000) return 7;
  if (ns <= 250000000) return 8;
  if (ns <= 500000000) return 9;
  if (ns <= 1000000000) return 10;
  if (ns <= 2500000000) return 11;
  if (ns <= 5000000000) return 12;
  if (ns <= 10000000000) return 13;
  return 14;
}

static __always_inline __u64 ls_since(__u64 then, __u64 now) { return now > then ? now - then : 0; }

// Sends what is known of the waiters of the last stall. Global functions, here and below, are
// verified once in a program and not at each way there.
__weak __noinline int ls_send_waiters(struct ls_loop *loop, __u32 row, __u64 now) {
  struct ls_waiters_record *record;
  if (!loop) return 0;
  record = LS_RESERVE(ls_waiters_record, LS_KIND_WAITERS, now, loop->tgid, loop->tid);
  if (record) {
    record->row = row;
    record->generation = loop->generation;
    __builtin_memcpy(&record->waiters, &loop->waiters, sizeof(record->waiters));
    bpf_ringbuf_submit(record, 0);
  }
  loop->waiters.start_ns = 0;
  return 0;
}

// In steps of how many nanoseconds a poll call takes its timeout.
static __always_inline __u32 ls_timeout_step(__u32 syscall) {
  if (syscall == __NR_select) return 1000;
  if (syscall == __NR_epoll_pwait2 || syscall == __NR_ppoll || syscall == __NR_pselect6) return 1;
  return LS_MS;
}

// A poll call begins with this timeout (negative: none), given in steps of `step_ns`. One of 0 says
// that something is ready to run, which may be a timer, or not.
__weak __noinline int ls_note_timeout(struct ls_loop *loop, __u32 row, __s64 timeout_ns,
                                      __u32 step_ns, __u64 now) {
  __u64 from, to;
  if (!loop) return 0;
  // A loop that took as many descriptors as fitted has not come at once for the rest.
  if (loop->waiters.start_ns && loop->waiters.end_ns != now) ls_send_waiters(loop, row, now);
  if (timeout_ns < 0 || timeout_ns >= (__s64)LS_NO_DEADLINE_NS) {
    loop->deadline_to_ns = 0;
    return 0;
  }
  if (loop->flags & LS_LOOP_NATIVE) {
    from = ls_in_busy_phase(loop) ? loop->phase_start_ns : now;
    from += timeout_ns - from % LS_MS;
    to = now + timeout_ns - now % LS_MS;
  } else {
    from = now - LS_TIMEOUT_LAG_NS + timeout_ns - step_ns;
    to = now + timeout_ns;
  }
  if (loop->deadline_to_ns && from <= loop->deadline_to_ns && to >= loop->deadline_from_ns) {
    if (from < loop->deadline_from_ns) from = loop->deadline_from_ns;
    if (to > loop->deadline_to_ns) to = loop->deadline_to_ns;
  }
  loop->deadline_from_ns = from;
  loop->deadline_to_ns = to;
  return 0;
}

// A poll call has returned: does the busy phase that begins fire the timer?
static __always_inline void ls_note_due(struct ls_loop *loop, __u64 now) {
  __u64 width;
  loop->due_ns = 0;
  loop->lock_ns = now;
  if (!loop->deadline_to_ns || now < loop->deadline_to_ns) return;
  width = loop->deadline_to_ns - loop->deadline_from_ns;
  if (width > LS_MS) width = LS_MS;
  loop->due_ns = loop->deadline_to_ns - width / 2;
  if (loop->flags & LS_LOOP_NATIVE) loop->due_ns += LS_MS / 2;  // of the program's own time
  loop->deadline_to_ns = 0;
}

// The busy phase that fired a timer has ended: by now it is known how long it had to wait for the
// interpreter lock first.
__weak __noinline int ls_count_timer(struct ls_loop *loop) {
  __u64 late;
  __u32 bucket;
  if (!loop) return 0;
  late = ls_since(loop->due_ns, loop->lock_ns);
  bucket = ls_bucket(late);
  if (bucket < LS_MAX_BUCKETS) loop->late_buckets[bucket]++;
  loop->late_ns += late;
  loop->due_ns = 0;
  return 0;
}

// A stall has ended: from now on its waiters are counted.
static __always_inline void ls_open_waiters(struct ls_loop *loop, struct task_struct *task,
                                            __u64 now) {
  __builtin_memset(&loop->waiters, 0, sizeof(loop->waiters));
  loop->waiters.start_ns = loop->phase_start_ns;
  loop->waiters.end_ns = now;
  loop->waiters.ready_before = loop->returned;
  loop->poll_switches = BPF_CORE_READ(task, nvcsw);
}

struct ls_arrival_search {
  struct ls_loop *loop;
  __u64 events;  // address of the array that the poll call filled
};

static long ls_find_arrival(__u32 index, struct ls_arrival_search *search) {
  struct ls_waiters *waiters = &search->loop->waiters;
  struct ls_arrival_key key = {.instance = search->loop->instance};
  struct ls_arrival *arrival;
  __u64 wait;
  if (bpf_probe_read_user(&key.data, sizeof(key.data),
                          (void *)(search->events + 4 + LS_EPOLL_EVENT_BYTES * (__u64)index)))
    return 1;
  arrival = bpf_map_lookup_elem(&arrivals, &key);
  if (!arrival || arrival->phase_start_ns != waiters->start_ns) return 0;
  wait = ls_since(arrival->time_ns, waiters->end_ns);
  waiters->seen++;
  waiters->wait_ns += wait;
  if (wait > waiters->longest_ns) waiters->longest_ns = wait;
  return 0;
}

// The first poll call after a stall has returned.
__weak __noinline int ls_note_waiters(struct ls_loop *loop, __u32 row, __u64 now) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_arrival_search search = {.loop = loop};
  struct ls_waiters *waiters;
  __u64 args[3];
  bool full = false;
  if (!loop) return 0;
  waiters = &loop->waiters;
  ls_syscall_args((void *)bpf_task_pt_regs(task), args);
  if (BPF_CORE_READ(task, nvcsw) == loop->poll_switches) {
    waiters->ready += loop->returned;
    full = loop->flags & LS_LOOP_NATIVE && loop->epoll_fd >= 0 && loop->returned == (__u32)args[2];
    if (exact_delays && loop->epoll_fd >= 0 &&
        bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
      search.events = args[1];
      bpf_loop(loop->returned < LS_MAX_RETURNED ? loop->returned : LS_MAX_RETURNED, ls_find_arrival,
               &search, 0);
    }
  }
  if (!waiters->timer_due_ns && loop->due_ns && loop->due_ns <= waiters->end_ns) {
    waiters->timer_due_ns = loop->due_ns;
    waiters->timer_late_ns = ls_since(loop->due_ns, now);
  }
  if (!full) ls_send_waiters(loop, row, now);
  return 0;
}

static __always_inline void ls_note_return(struct ls_loop *loop, __u32 row, long returned,
                                           __u64 now) {
  ls_note_due(loop, now);
  loop->returned = returned > 0 ? (__u32)returned : 0;
  if (loop->waiters.start_ns) ls_note_waiters(loop, row, now);
}

// The thread goes to sleep in the poll call after a stall: nothing was ready. A timer may still
// have waited, where the loop's clock is behind.
static __always_inline void ls_sleep_in_poll(struct ls_loop *loop, __u32 row, __u32 state) {
  if (!loop->waiters.start_ns || loop->phase != LS_PHASE_POLL || !(state & LS_TASK_INTERRUPTIBLE))
    return;
  if (loop->deadline_to_ns && loop->deadline_to_ns <= loop->waiters.end_ns) return;
  ls_begin_write(loop);
  ls_send_waiters(loop, row, bpf_ktime_get_ns());
  ls_end_write(loop);
}

#endif
