// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The split of a busy phase: every nanosecond of it is added to one cause, at the switches of the
// loop's thread and at the ends of the phase, so the causes add up to the phase by construction.
//
// Time ready to run but not running is not measured with a hook on wake-ups, which every process
// of the host would pay for, but taken from the scheduler's own per-thread sum
// (task_struct.sched_info.run_delay). The kernel adds to it just after the sched_switch tracepoint
// of the thread's return (sched_info_arrive in kernel/sched/stats.h), so an off-CPU slice is
// settled at the next touch of the thread, not at its return.
//
// Throttling is told from an ordinary wait in the run queue by the clock that the scheduler keeps
// of the time that the thread's group was throttled on its CPU: what of the run-queue time passed
// while that clock advanced was the quota's doing.
#ifndef LOOPSIGHT_BPF_SPLIT_H
#define LOOPSIGHT_BPF_SPLIT_H

#include "gil.bpf.h"
#include "stack_records.bpf.h"
#include "wait.bpf.h"

// A wait for the interpreter lock comes in slices of 5 ms with hardly anything between them.
#define LS_LOCK_GAP_NS 200000
#define LS_LOCK_SLICE_NS 4900000
#define LS_LOCK_TOLD_NS 1000000000  // how often its holder is told
#define LS_LOCK_MIN_NS 1000000      // waited for since

extern const volatile __u64 threshold_ns;

static __always_inline __u64 ls_run_delay(struct task_struct *task) {
  if (!bpf_core_field_exists(task->sched_info.run_delay)) return 0;
  return task->sched_info.run_delay;
}

static __always_inline __u64 ls_throttled_clock(__u64 cfs_rq) {
  struct cfs_rq *rq = (void *)cfs_rq;
  struct cfs_rq___before_5_19 *old = (void *)cfs_rq;
  if (!rq) return 0;
  if (bpf_core_field_exists(rq->throttled_clock_pelt_time))
    return BPF_CORE_READ(rq, throttled_clock_pelt_time);
  if (bpf_core_field_exists(old->throttled_clock_task_time))
    return BPF_CORE_READ(old, throttled_clock_task_time);
  return 0;  // CONFIG_CFS_BANDWIDTH off: nothing is ever throttled
}

static __always_inline __u64 ls_cfs_rq(struct task_struct *task) {
  if (!bpf_core_field_exists(task->se.cfs_rq)) return 0;
  return (__u64)task->se.cfs_rq;
}

static __always_inline bool ls_is_host_cause(__u32 cause) {
  return cause == LS_CAUSE_RUN_QUEUE || cause == LS_CAUSE_THROTTLED || cause == LS_CAUSE_STOPPED ||
         cause == LS_CAUSE_PAGE_FAULT;
}

static __always_inline void ls_add(struct ls_loop *loop, __u32 cause, __u64 ns) {
  __u64 index = cause < LS_PHASE_CAUSES ? cause : LS_CAUSE_UNKNOWN;
  // Said once more where the compiler cannot move it: Linux 6.1 loses what the test told of a copy.
  asm volatile("%0 &= %1" : "+r"(index) : "i"(LS_PHASE_CAUSES - 1));
  loop->phase_ns[index] += ns;
  loop->dirty = 1;
}

// Of the CPU time, what the kernel ran on the thread's behalf: the scheduler's own count, which
// each of its ticks adds to as it finds the thread (account_process_tick in
// kernel/sched/cputime.c), so it is as exact as the busy phase has ticks. The collector's and an
// import's part is theirs.
static __always_inline void ls_take_system(struct ls_loop *loop, struct task_struct *task) {
  __u64 total = task->stime;
  if (total == loop->system_mark_ns) return;
  if (loop->running_cause == LS_CAUSE_CPU && total > loop->system_mark_ns) {
    loop->phase_system_ns += total - loop->system_mark_ns;
    loop->dirty = 1;
  }
  loop->system_mark_ns = total;
}

// Adds the running slice up to `now` to what runs: Python and native code, or, as CPython's own
// probes tell, the collector or an import. A probe may be interrupted by a switch of its own
// thread; then `now` is older than the slice.
static __always_inline void ls_run(struct ls_loop *loop, struct task_struct *task, __u64 now) {
  __u64 ns = now > loop->slice_start_ns ? now - loop->slice_start_ns : 0;
  __u32 cause = loop->running_cause;
  loop->running_ns += ns;
  ls_take_system(loop, task);
  if (cause == LS_CAUSE_CPU) {
    loop->phase_ns[LS_CAUSE_CPU] += ns;
    return;
  }
  ls_add(loop, cause, ns);
}

// The thread runs, but its return to the CPU was not seen: the tracepoint may be suppressed (some
// kernels do so while a protected task is current) or the program skipped. Its own CPU time since
// it left tells when it came back; that sum lags by at most a scheduler tick.
static __always_inline void ls_infer_return(struct ls_loop *loop, struct task_struct *task,
                                            __u64 now) {
  __u64 ran = BPF_CORE_READ(task, se.sum_exec_runtime) - loop->exec_ns;
  __u64 passed = now - loop->wait.start_ns;
  ls_count(LS_COUNT_MISSED_SWITCH);
  loop->slice_end_ns = now - (ran < passed ? ran : passed);
  loop->slice_start_ns = loop->slice_end_ns;
}

// A wait of a busy phase that is already long has its stack sent as it ends, so that the
// contributors of the phase are known; of the rest only the longest wait's is, at the end.
#define LS_MAX_WAIT_RECORDS 64

static __always_inline __u64 ls_threshold(const struct ls_loop *loop) {
  return loop->threshold_ns ? loop->threshold_ns : threshold_ns;
}

// Of a crowded loop what it does at instants this far apart is sent; those in which it is idle are
// none.
#define LS_BUSY_EVERY_NS 47000000

static __always_inline bool ls_is_busy_due(struct ls_loop *loop, __u64 now) {
  if (!(loop->flags & LS_LOOP_CROWDED) || now < loop->busy_due_ns) return false;
  loop->busy_due_ns = now + LS_BUSY_EVERY_NS;
  return true;
}

static __always_inline void ls_send_wait(struct ls_loop *loop, __u32 row, struct ls_stack *stack,
                                         __u64 now) {
  const struct ls_wait *wait = &loop->wait;
  struct ls_stack_facts facts = {.row = row,
                                 .source = LS_STACK_OF_WAIT,
                                 .cause = wait->cause,
                                 .slice_start_ns = wait->start_ns,
                                 .slice_ns = wait->duration_ns};
  if (ls_is_busy_due(loop, loop->slice_end_ns)) {
    facts.source = LS_STACK_OF_BUSY;
    ls_send_stack(loop, stack, &facts, now);
    facts.source = LS_STACK_OF_WAIT;
  }
  if (wait->duration_ns < LS_TARGET_MIN_NS || loop->wait_records >= LS_MAX_WAIT_RECORDS ||
      now - loop->phase_start_ns < ls_threshold(loop) / 2)
    return;
  loop->wait_records++;
  ls_send_stack(loop, stack, &facts, now);
}

// The stacks of the longest wait: its own, and that of whoever had the interpreter lock.
static __noinline int ls_send_longest(struct ls_loop *loop, __u32 row, __u64 now) {
  struct ls_row_stacks *kept = bpf_map_lookup_elem(&stacks, &row);
  struct ls_stack_facts facts = {.row = row,
                                 .source = LS_STACK_OF_WAIT,
                                 .cause = loop->longest.cause,
                                 .slice_start_ns = loop->longest.start_ns,
                                 .slice_ns = loop->longest.duration_ns};
  if (!kept || loop->longest.duration_ns == 0) return 0;
  ls_send_stack(loop, &kept->stack[kept->longest & 1], &facts, now);
  facts.source = LS_STACK_OF_HOLDER;
  facts.holder_tid = kept->holder_tid;
  ls_send_stack(loop, &kept->holder, &facts, now);
  return 1;
}

// A slice of waiting for the interpreter lock has ended.
__weak __noinline int ls_note_lock(struct ls_loop *loop, __u32 row, __u64 now) {
  struct ls_stack_facts facts = {.row = row, .source = LS_STACK_OF_LOCK, .cause = LS_CAUSE_GIL};
  struct ls_row_stacks *kept = bpf_map_lookup_elem(&stacks, &row);
  const struct ls_wait *wait;
  if (!loop || !kept) return 0;
  wait = &loop->wait;
  // A loop that comes back from its poll call waits for the lock before it does anything.
  if (wait->start_ns - loop->lock_ns < LS_LOCK_GAP_NS) loop->lock_ns = loop->slice_end_ns;
  // A slice that timed out is followed by another of the same wait.
  if (loop->gil_slice_ns < LS_LOCK_SLICE_NS ||
      wait->start_ns - loop->gil_end_ns >= LS_LOCK_GAP_NS) {
    loop->gil_waits++;
    loop->phase_gil_waits++;
  }
  loop->gil_end_ns = loop->slice_end_ns;
  loop->gil_slice_ns = loop->slice_end_ns - wait->start_ns;
  loop->gil_untold_ns += wait->duration_ns;
  if (loop->gil_untold_ns < LS_LOCK_MIN_NS || now - loop->gil_told_ns < LS_LOCK_TOLD_NS) return 0;
  facts.holder_tid = kept->holder_tid;
  facts.slice_start_ns = wait->start_ns;
  facts.slice_ns = loop->gil_untold_ns;
  loop->gil_told_ns = now;
  loop->gil_untold_ns = 0;
  ls_send_stack(loop, &kept->holder, &facts, now);
  return 0;
}

#define LS_DEADLINE_SLACK_NS 50000  // the clocks that are compared differ by less

// A wait for a lock that was woken at its deadline or later was ended by nobody: the thread slept.
static __always_inline void ls_note_deadline(struct ls_loop *loop, __u64 woken_ns) {
  if (loop->wait.cause != LS_CAUSE_LOCK || !loop->deadline_ns ||
      woken_ns + LS_DEADLINE_SLACK_NS < loop->deadline_ns)
    return;
  loop->wait.cause = LS_CAUSE_SLEEP;
  loop->wait.flags |= LS_WAIT_TIMED_OUT;
}

// Divides the finished off-CPU slice of the running thread among its cause, the run queue and
// throttling.
static __always_inline void ls_settle(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                      __u64 now) {
  struct ls_row_stacks *kept = bpf_map_lookup_elem(&stacks, &row);
  struct ls_wait *wait = &loop->wait;
  __u64 off, queued, throttled;
  if (!loop->off_cpu) return;
  if (loop->slice_end_ns == 0) ls_infer_return(loop, task, now);
  off = loop->slice_end_ns - wait->start_ns;
  queued = ls_run_delay(task) - loop->run_delay_ns;
  if (queued > off) queued = off;
  if (wait->cause == LS_CAUSE_RUN_QUEUE) queued = off;
  throttled = ls_throttled_clock(loop->throttled_rq) - loop->throttled_ns;
  if (throttled > queued) throttled = queued;
  wait->duration_ns = off - queued;
  ls_note_deadline(loop, wait->start_ns + wait->duration_ns);
  // Importing counts as a whole, whatever it waits on; but the host's doing stays the host's.
  if (loop->import_depth && !ls_is_host_cause(wait->cause)) wait->cause = LS_CAUSE_IMPORT;
  ls_add(loop, LS_CAUSE_THROTTLED, throttled);
  ls_add(loop, LS_CAUSE_RUN_QUEUE, queued - throttled);
  ls_add(loop, wait->cause, wait->duration_ns);
  if (wait->cause == LS_CAUSE_GIL) ls_note_lock(loop, row, now);
  if (wait->cause == LS_CAUSE_RUN_QUEUE) {
    wait->duration_ns = off;
    if (throttled > off / 2) wait->cause = LS_CAUSE_THROTTLED;
  }
  if (kept && wait->cause != LS_CAUSE_RUN_QUEUE && wait->cause != LS_CAUSE_THROTTLED)
    ls_send_wait(loop, row, &kept->stack[~kept->longest & 1], now);
  if (wait->duration_ns > loop->longest.duration_ns) {
    __builtin_memcpy(&loop->longest, wait, sizeof(*wait));
    __builtin_memcpy(&loop->longest_kernel, &loop->wait_kernel, sizeof(loop->wait_kernel));
    if (loop->probed.call.time_ns && loop->probed.call.time_ns <= wait->start_ns)
      __builtin_memcpy(&loop->probed.longest_call, &loop->probed.call, sizeof(struct ls_call));
    else
      loop->probed.longest_call.time_ns = 0;
    if (kept) kept->longest ^= 1;  // the stack read at its beginning is now that of the longest
  }
  loop->off_cpu = 0;
}

static __always_inline bool ls_in_busy_phase(const struct ls_loop *loop) {
  return loop->phase == LS_PHASE_BUSY || loop->phase == LS_PHASE_NESTED;
}

// The frames of a thread that goes to sleep; of one that was merely preempted none are kept. After
// ls_settle, which needs those of the wait before. 1 where they were read.
static __noinline int ls_keep_stack(struct ls_loop *loop, __u32 row, struct ls_thread *thread,
                                    struct task_struct *task, __u32 state) {
  struct ls_row_stacks *kept = bpf_map_lookup_elem(&stacks, &row);
  __u32 index;
  if (!kept) return 0;
  index = ~kept->longest & 1;
  kept->stack[index].count = 0;
  kept->stack[index].end = LS_STACK_NONE;
  if (state == 0 || !ls_walk(ls_thread_pointer(task), thread, &kept->stack[index])) return 0;
  if (kept->stack[index].ready) loop->ready = kept->stack[index].ready;
  return 1;
}

// Once the wait is classified: is the futex the interpreter lock, or the stopped world's?
static __always_inline void ls_name_lock(struct ls_loop *loop, __u32 row,
                                         struct ls_thread *thread) {
  struct ls_row_stacks *kept = bpf_map_lookup_elem(&stacks, &row);
  if (!kept || loop->wait.syscall != __NR_futex || loop->wait.cause != LS_CAUSE_LOCK) return;
  if (ls_check_gil(loop->wait.args[0], thread, &kept->holder, &kept->holder_tid)) {
    loop->wait.cause = LS_CAUSE_GIL;
  } else if (ls_check_world(thread, &kept->holder, &kept->holder_tid)) {
    loop->wait.cause = LS_CAUSE_OTHER;
    loop->wait.object = LS_OBJECT_STOPPED_WORLD;
  }
}

// No inline function: its stack is free again when the frames are walked.
static __noinline int ls_settle_out(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                    __u64 now) {
  ls_begin_write(loop);
  ls_settle(loop, row, task, now);
  ls_end_write(loop);
  return 0;
}

static __noinline int ls_switch_out(struct ls_loop *loop, struct task_struct *task, __u32 state,
                                    __u64 now) {
  ls_begin_write(loop);
  ls_run(loop, task, now);
  loop->dirty = 1;
  ls_classify_wait(task, state, now, &loop->wait);
  loop->wait_kernel.address[0] = 0;
  loop->deadline_ns = 0;
  if (loop->wait.syscall == __NR_futex && loop->wait.cause == LS_CAUSE_LOCK)
    loop->deadline_ns = ls_futex_deadline(loop->wait.args[1], now);
  loop->run_delay_ns = ls_run_delay(task);
  loop->exec_ns = task->se.sum_exec_runtime;
  loop->throttled_rq = ls_cfs_rq(task);
  loop->throttled_ns = ls_throttled_clock(loop->throttled_rq);
  loop->slice_end_ns = 0;
  loop->off_cpu = 1;
  ls_end_write(loop);
  return 0;
}

// The stack of a thread that comes back from a sleep is still that of its sleep. Only one that was
// long is looked at: that costs some microseconds.
static __always_inline void ls_take_kernel_stack(struct task_struct *task,
                                                 struct ls_kernel_stack *stack) {
  long bytes = bpf_get_task_stack(task, stack->address, sizeof(stack->address), 0);
  if (bytes < 0) bytes = 0;
  if (bytes < (long)sizeof(stack->address)) stack->address[(__u64)bytes / 8 & 15] = 0;
}

// The thread of a loop that left the CPU in its busy phase comes back to it.
static __always_inline void ls_switch_in(struct ls_loop *loop, struct task_struct *task,
                                         __u64 now) {
  __u64 off;
  ls_begin_write(loop);
  off = now - loop->wait.start_ns;
  if (off >= LS_TARGET_MIN_NS && off > loop->longest.duration_ns) {
    ls_find_target(task, &loop->wait);
    ls_take_kernel_stack(task, &loop->wait_kernel);
  }
  loop->slice_start_ns = now;
  loop->slice_end_ns = now;
  ls_end_write(loop);
}

#endif
