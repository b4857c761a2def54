// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The clock of a loop: from the entries into and returns from its own poll call, the phases of
// every iteration, its histogram and sums, and one record for each busy phase over the threshold.
//
// Which poll call is the loop's own: for epoll the one on the descriptor that the row was made for
// (a new epoll instance under the same number marks the row stale); for select and poll, which
// have no object to go by, the one made at about the same user stack pointer, since the loop's call
// stands at a fixed depth and one from inside a callback stands deeper by at least a frame of the
// interpreter's evaluation loop. "About", because glibc's poll uses 40 bytes more once the process
// has a second thread.
#ifndef LOOPSIGHT_BPF_CLOCK_H
#define LOOPSIGHT_BPF_CLOCK_H

#include "poller.bpf.h"
#include "victims.bpf.h"

#define LS_STACK_SLACK 128
#define LS_MAX_ASKS 16  // poller records for select and poll calls of one thread

extern const volatile __u32 listed_only;
extern const volatile __u32 count_functions;

static __always_inline __u64 ls_instance(struct task_struct *task, const struct ls_poll *poll) {
  struct file *file;
  if (poll->epoll_fd < 0) return poll->stack_pointer;
  file = ls_file(task, poll->epoll_fd);
  if (ls_object_of(file) != LS_OBJECT_EPOLL) return 0;
  return (__u64)BPF_CORE_READ(file, private_data);
}

static __always_inline bool ls_is_own_poll(const struct ls_loop *loop, const struct ls_poll *poll) {
  if (loop->epoll_fd != poll->epoll_fd || loop->flags & LS_LOOP_STALE) return false;
  return poll->epoll_fd >= 0 ||
         loop->instance - poll->stack_pointer + LS_STACK_SLACK <= 2 * LS_STACK_SLACK;
}

// 1 while the row's epoll descriptor still leads to the row's instance.
static __always_inline __u32 ls_is_open(struct task_struct *task, const struct ls_loop *loop) {
  struct file *file;
  if (loop->epoll_fd < 0) return 1;
  if (loop->flags & LS_LOOP_STALE) return 0;
  file = ls_file(task, loop->epoll_fd);
  return file && (__u64)BPF_CORE_READ(file, private_data) == loop->instance;
}

static __always_inline void ls_release(struct ls_loop *loop, __u32 row, __u32 reason,
                                       __u32 exit_code, __u32 open, __u64 now) {
  struct ls_loop_end *record;
  if (ls_in_busy_phase(loop)) ls_count(LS_COUNT_PHASE_DROPPED);
  // Nothing between this and its test: Linux 6.1 does not know what a second test tells.
  record = LS_RESERVE(ls_loop_end, LS_KIND_LOOP_END, now, loop->tgid, loop->tid);
  if (record) {
    record->row = row;
    record->generation = loop->generation;
    record->reason = reason;
    record->exit_code = exit_code;
    record->open = open;
    record->pad = 0;
    bpf_ringbuf_submit(record, 0);
  }
  __sync_fetch_and_or(&loop->flags, LS_LOOP_RELEASED);
}

static __always_inline void ls_begin_busy(struct ls_loop *loop, __u32 row, long returned,
                                          __u64 now) {
  ls_begin_write(loop);
  if (loop->phase == LS_PHASE_POLL) loop->idle_ns += now - loop->phase_start_ns;
  loop->phase = LS_PHASE_BUSY;
  loop->phase_start_ns = now;
  loop->slice_start_ns = now;
  loop->off_cpu = 0;
  loop->sampled_ns = 0;
  loop->running_ns = 0;
  loop->running_cause = LS_CAUSE_CPU;
  loop->import_depth = 0;
  loop->gc_start_ns = 0;
  loop->wait_records = 0;
  loop->phase_gil_waits = 0;
  ls_note_return(loop, row, returned, now);
  ls_end_write(loop);
}

// What the busy phase called, as CPython's function probe counted it.
static __always_inline void ls_send_functions(struct ls_loop *loop, __u32 row, __u64 now) {
  struct ls_function_table *table = bpf_map_lookup_elem(&functions, &row);
  struct ls_functions *record;
  if (!table || table->phase_start_ns != loop->phase_start_ns) return;
  record = LS_RESERVE(ls_functions, LS_KIND_FUNCTIONS, now, loop->tgid, loop->tid);
  if (!record) return;
  record->row = row;
  record->generation = loop->generation;
  record->phase_start_ns = loop->phase_start_ns;
  record->calls = table->calls;
  bpf_probe_read_kernel(record->functions, sizeof(record->functions), table->functions);
  bpf_ringbuf_submit(record, 0);
}

static __noinline bool ls_report_stall(struct ls_loop *loop, __u32 row, __u64 now) {
  struct ls_stall *record;
  if (loop->waiters.start_ns) ls_send_waiters(loop, row, now);
  ls_send_longest(loop, row, now);
  if (count_functions) ls_send_functions(loop, row, now);
  record = LS_RESERVE(ls_stall, LS_KIND_STALL, now, loop->tgid, loop->tid);
  loop->stalls++;
  if (!record) return false;
  loop->stall_records++;
  record->row = row;
  record->generation = loop->generation;
  record->start_ns = loop->phase_start_ns;
  record->end_ns = now;
  record->iteration = loop->iterations;
  record->nested = loop->phase == LS_PHASE_NESTED;
  record->pad = 0;
  __builtin_memcpy(record->phase_ns, loop->phase_ns, sizeof(record->phase_ns));
  __builtin_memcpy(&record->longest, &loop->longest, sizeof(record->longest));
  bpf_probe_read_kernel(&record->probed, sizeof(record->probed), &loop->probed);
  record->waiters_follow = 1;
  record->gil_waits = loop->phase_gil_waits;
  bpf_ringbuf_submit(record, 0);
  return true;
}

static __always_inline void ls_end_busy(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                        __u64 now) {
  __u64 busy = now - loop->phase_start_ns;
  __u32 bucket = ls_bucket(busy);
  struct ls_row_stacks *kept;
  ls_settle(loop, row, task, now);
  ls_run(loop, now);
  loop->iterations++;
  if (bucket < LS_MAX_BUCKETS) loop->buckets[bucket]++;
  if (busy >= ls_threshold(loop)) {
    loop->over_ns += busy;
    if (ls_report_stall(loop, row, now)) ls_open_waiters(loop, task, now);
  }
  if (loop->probed_dirty) {
    __builtin_memset(&loop->probed, 0, sizeof(loop->probed));
    loop->probed_dirty = 0;
  }
  if (!loop->dirty) {
    loop->busy_ns[LS_CAUSE_CPU] += loop->phase_ns[LS_CAUSE_CPU];
    loop->phase_ns[LS_CAUSE_CPU] = 0;
    return;
  }
  for (int cause = 0; cause < LS_CAUSES; cause++) {
    loop->busy_ns[cause] += loop->phase_ns[cause];
    loop->phase_ns[cause] = 0;
  }
  kept = bpf_map_lookup_elem(&stacks, &row);
  if (kept) kept->holder.count = 0;
  loop->longest.duration_ns = 0;
  loop->dirty = 0;
}

static __always_inline void ls_begin_poll(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                          const struct ls_poll *poll) {
  bool no_wait = poll->timeout_ns == 0;
  ls_begin_write(loop);
  if (ls_in_busy_phase(loop)) ls_end_busy(loop, row, task, poll->now);
  if (loop->due_ns) ls_count_timer(loop);
  if (!no_wait)
    ls_note_timeout(loop, row, poll->timeout_ns, ls_timeout_step(poll->syscall), poll->now);
  loop->phase = LS_PHASE_POLL;
  loop->phase_start_ns = poll->now;
  loop->polls++;
  loop->zero_polls += no_wait;
  ls_end_write(loop);
}

// Forgets what is open in a row without counting it as an iteration.
static __always_inline void ls_drop_phase(struct ls_loop *loop) {
  ls_count(LS_COUNT_PHASE_DROPPED);
  ls_begin_write(loop);
  loop->phase = LS_PHASE_NONE;
  loop->off_cpu = 0;
  loop->dirty = 0;
  loop->longest.duration_ns = 0;
  loop->running_cause = LS_CAUSE_CPU;
  loop->import_depth = 0;
  loop->gc_start_ns = 0;
  loop->deadline_to_ns = 0;
  loop->due_ns = 0;
  __builtin_memset(loop->phase_ns, 0, sizeof(loop->phase_ns));
  ls_end_write(loop);
}

// 1 where asyncio's _run_once is among the thread's frames and not in its own poll call: a callback
// of a loop runs. 0 where it is not; -1 where the frames do not tell.
static __noinline int ls_inside_callback(const struct ls_loop *loop, struct task_struct *task) {
  __u32 zero = 0, tgid = loop->tgid;
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  if (!thread || !python || !buffer || !python->run_once || !loop->own_call) return -1;
  if (!ls_walk(ls_thread_pointer(task), thread, &buffer->stack)) return -1;
  for (__u32 i = 1; i < LS_MAX_FRAMES; i++) {
    if (i >= buffer->stack.count) break;
    if (buffer->stack.frames[i].code == python->run_once &&
        buffer->stack.frames[i - 1].code != loop->own_call)
      return 1;
  }
  return 0;
}

// Another loop starts to poll on the thread while `loop` is in its busy phase. It is run inside a
// callback of `loop`, which is then still busy and waits, or `loop` was left (its
// run_until_complete came back). Asyncio's frames tell. Without them the depth of the stack does:
// from the same depth or above, `loop` was left. It says nothing of libuv's loops, whose poll call
// stands below 12 KB of its own that callbacks need not have, and of those on select, whose call
// stands below the 48 KB of CPython's select module.
static __always_inline void ls_step_aside(struct ls_loop *loop, struct task_struct *task,
                                          const struct ls_poll *poll) {
  int inside;
  if (loop->phase != LS_PHASE_BUSY) return;
  inside = loop->flags & LS_LOOP_NATIVE ? 1 : ls_inside_callback(loop, task);
  if (inside < 0) inside = loop->epoll_fd < 0 || poll->stack_pointer < loop->stack_pointer;
  if (inside)
    loop->phase = LS_PHASE_NESTED;
  else
    ls_drop_phase(loop);
}

static __always_inline __u32 ls_take_row(struct task_struct *task, const struct ls_poll *poll,
                                         __u64 instance) {
  struct ls_loop *loop;
  __u32 row = 0;
  __u64 key;
  if (bpf_map_pop_elem(&free_rows, &row) || !(loop = ls_row(row))) {
    ls_count(LS_COUNT_LOOPS_FULL);
    return 0;
  }
  loop->generation++;  // user space has zeroed the rest
  loop->tgid = (__u32)BPF_CORE_READ(task, tgid);
  loop->tid = (__u32)BPF_CORE_READ(task, pid);
  loop->epoll_fd = poll->epoll_fd;
  loop->poll_syscall = poll->syscall;
  loop->instance = instance;
  loop->stack_pointer = poll->stack_pointer;
  loop->created_ns = poll->now;
  loop->phase = LS_PHASE_NONE;
  __sync_fetch_and_or(&loop->flags, LS_LOOP_USED);
  if (poll->epoll_fd >= 0) {
    key = (__u64)loop->tgid << 32 | (__u32)poll->epoll_fd;
    bpf_map_update_elem(&rows_by_fd, &key, &row, BPF_ANY);
    bpf_map_update_elem(&instances, &instance, &row, BPF_ANY);
  }
  return row;
}

// The state of the process that polls: enum ls_process_state, 0 for one that is not to be watched.
static __always_inline __u32 ls_process_state(__u32 tgid) {
  struct ls_process_entry *entry = bpf_map_lookup_elem(&processes, &tgid);
  struct ls_process_entry fresh = {.state = LS_PROCESS_UNDECIDED};
  if (entry) return entry->state == LS_PROCESS_OTHER ? 0 : entry->state;
  if (listed_only) return 0;
  if (bpf_map_update_elem(&processes, &tgid, &fresh, BPF_ANY)) {
    ls_count(LS_COUNT_PROCESSES_FULL);
    return 0;
  }
  return LS_PROCESS_UNDECIDED;
}

// False for a poll call that is nobody's business here, before anything is measured. `thread`: what
// the thread carries, NULL nothing.
static __always_inline bool ls_concerns(struct task_struct *task, const struct ls_thread *thread) {
  return thread || ls_process_state((__u32)task->tgid);
}

// The row for this poll call: the thread's own loop, or a new row for what it polls on for the
// first time; 0 where it is nobody's loop. Makes it the thread's active row.
static __always_inline __u32 ls_find_row(struct task_struct *task, struct ls_thread *thread,
                                         struct ls_poll *poll) {
  struct ls_loop *current, *other;
  __u32 state, row, slot;
  __u64 instance;

  if (thread) {
    current = ls_row(thread->rows[thread->active & 1]);
    if (current && ls_is_own_poll(current, poll)) {
      if (!(current->flags & LS_LOOP_REJECTED)) return thread->rows[thread->active & 1];
      if (!(current->flags & LS_LOOP_UNWATCHED)) thread->rejected_instance = current->instance;
      ls_release(current, thread->rows[thread->active & 1], LS_END_REJECTED, 0, 1, poll->now);
      thread->rows[thread->active & 1] = 0;
      return 0;
    }
    poll->stack_pointer = ls_user_stack(task);
    other = ls_row(thread->rows[~thread->active & 1]);
    if (other && ls_is_own_poll(other, poll)) {
      if (current && ls_in_busy_phase(other) && current->phase_start_ns > other->phase_start_ns) {
        if (current->phase == LS_PHASE_BUSY) ls_drop_phase(current);
      } else if (current) {
        ls_step_aside(current, task, poll);
      }
      thread->active = ~thread->active & 1;
      return thread->rows[thread->active & 1];
    }
    if (poll->epoll_fd < 0 && (current || thread->asks >= LS_MAX_ASKS)) {
      // Inside a loop's busy phase a select or poll call is a wait, whoever makes it.
      return 0;
    }
  }

  state = ls_process_state((__u32)BPF_CORE_READ(task, tgid));
  if (!state) {
    // It polled before it was decided that it is nobody's business: from now on it pays less.
    if (thread && !thread->rows[0] && !thread->rows[1]) bpf_task_storage_delete(&threads, task);
    return 0;
  }
  instance = ls_instance(task, poll);
  if (!instance) {
    ls_count(LS_COUNT_NO_INSTANCE);
    return 0;
  }
  if (!thread) {
    poll->stack_pointer = ls_user_stack(task);
    thread = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!thread) {
      ls_count(LS_COUNT_STORAGE_FULL);
      return 0;
    }
  }
  if (thread->rejected_instance == instance) return 0;
  if (poll->epoll_fd < 0) thread->asks++;

  row = ls_take_row(task, poll, instance);
  if (!row) return 0;
  // The new row takes the place of one whose instance is gone; else of the one that is not active.
  current = ls_row(thread->rows[thread->active & 1]);
  slot = thread->active & 1;
  if (current && ls_is_open(task, current) && !(current->flags & LS_LOOP_REJECTED)) {
    ls_step_aside(current, task, poll);
    slot = ~thread->active & 1;
  }
  other = ls_row(thread->rows[slot & 1]);
  if (other)
    ls_release(other, thread->rows[slot & 1], LS_END_REPLACED, 0, ls_is_open(task, other),
               poll->now);
  thread->rows[slot & 1] = row;
  thread->active = slot;
  return row;
}

static __always_inline void ls_ask(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                   const struct ls_poll *poll) {
  __u32 tgid = loop->tgid;
  struct ls_process_entry *entry = bpf_map_lookup_elem(&processes, &tgid);
  ls_send_poller_stack(loop, row, task, poll->now);
  ls_send_poller(loop, row, task, entry && entry->state == LS_PROCESS_PYTHON, poll);
}

static __always_inline void ls_poll_enter(struct task_struct *task, struct ls_thread *thread,
                                          struct ls_poll *poll) {
  __u32 row = ls_find_row(task, thread, poll);
  struct ls_loop *loop = ls_row(row);
  if (!loop) return;
  ls_begin_poll(loop, row, task, poll);
  // After the busy phase was reported: the question reads frames into the row's stacks.
  if (!(loop->flags & LS_LOOP_ASKED)) ls_ask(loop, row, task, poll);
}

static __always_inline void ls_poll_exit(struct task_struct *task, struct ls_thread *thread,
                                         struct ls_poll *poll, long returned) {
  __u32 row = ls_find_row(task, thread, poll);
  struct ls_loop *loop = ls_row(row);
  if (!loop) return;
  // A thread that was inside its poll call when we came is met here first.
  if (!(loop->flags & LS_LOOP_ASKED)) ls_ask(loop, row, task, poll);
  if (!ls_in_busy_phase(loop)) ls_begin_busy(loop, row, returned, poll->now);
}

#endif
