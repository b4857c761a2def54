// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The end of a busy phase: at the loop's next poll call, or where the loop was last seen to run.
#ifndef LOOPSIGHT_BPF_PHASE_H
#define LOOPSIGHT_BPF_PHASE_H

#include "running.bpf.h"
#include "victims.bpf.h"

extern const volatile __u32 count_functions;

// How a busy phase ends otherwise than at the loop's own poll call.
#define LS_LEFT_SEEN 1    // at a time that is known
#define LS_LEFT_UNSEEN 2  // some time since the loop was last seen to run

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

// `left`: the loop no longer runs, so that no poll call will tell who waited.
static __noinline bool ls_report_stall(struct ls_loop *loop, __u32 row, __u64 now, bool left) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_stall *record;
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
  record->waiters_follow = !left;
  record->gil_waits = loop->phase_gil_waits;
  record->system_ns = loop->phase_system_ns;
  record->minor_faults = (__u32)BPF_CORE_READ(task, min_flt) - loop->faults_mark;
  record->mapped_pages = (__u32)BPF_CORE_READ(task, mm, total_vm);
  __builtin_memcpy(&record->kernel, &loop->longest_kernel, sizeof(record->kernel));
  bpf_ringbuf_submit(record, 0);
  return true;
}

#define LS_MOST_DEBT_US 1000000

// A tick that finds the kernel at work counts a whole tick for it, which a short busy phase has no
// room for: what is too much is kept for those that follow, so that their sum is right.
static __always_inline void ls_count_system(struct ls_loop *loop) {
  __u64 system = loop->system_debt_us * 1000ULL;
  __u64 debt;
  if (!loop->dirty && !system) return;
  system += loop->phase_system_ns;
  debt = system > loop->phase_ns[LS_CAUSE_CPU] ? system - loop->phase_ns[LS_CAUSE_CPU] : 0;
  loop->busy_system_ns += system - debt;
  debt /= 1000;
  loop->system_debt_us = debt > LS_MOST_DEBT_US ? LS_MOST_DEBT_US : (__u32)debt;
  loop->phase_system_ns = 0;
}

// The busy phase ends at `now`; where the loop was left, at its last sign of life before. A global
// function, so that it is verified once in a program.
__weak __noinline int ls_end_busy(struct ls_loop *loop, __u32 row, __u64 now, __u32 left) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_run *run = ls_run_of(row);
  struct ls_row_stacks *kept;
  __u64 busy;
  __u32 bucket;
  if (!loop) return 0;
  ls_settle(loop, row, task, now);
  if (left == LS_LEFT_UNSEEN) {
    now = loop->slice_start_ns;
    if (run && run->inside_ns > now) now = run->inside_ns;
  }
  busy = now - loop->phase_start_ns;
  bucket = ls_bucket(busy);
  ls_run(loop, task, now);
  loop->iterations++;
  if (bucket < LS_MAX_BUCKETS) loop->buckets[bucket]++;
  if (busy >= ls_threshold(loop)) {
    loop->over_ns += busy;
    if (loop->waiters.start_ns) ls_send_waiters(loop, row, now);
    ls_send_longest(loop, row, now);
    if (ls_report_stall(loop, row, now, left) && !left) ls_open_waiters(loop, task, now);
  }
  if (loop->probed_dirty) {
    __builtin_memset(&loop->probed, 0, sizeof(loop->probed));
    loop->probed_dirty = 0;
  }
  ls_count_system(loop);
  if (!loop->dirty) {
    loop->busy_ns[LS_CAUSE_CPU] += loop->phase_ns[LS_CAUSE_CPU];
    loop->phase_ns[LS_CAUSE_CPU] = 0;
    return 0;
  }
  for (int cause = 0; cause < LS_PHASE_CAUSES; cause++) {
    loop->busy_ns[cause] += loop->phase_ns[cause];
    loop->phase_ns[cause] = 0;
  }
  kept = bpf_map_lookup_elem(&stacks, &row);
  if (kept) kept->holder.count = 0;
  loop->longest.duration_ns = 0;
  loop->longest_kernel.address[0] = 0;
  loop->dirty = 0;
  return 0;
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
  loop->phase_system_ns = 0;
  __builtin_memset(loop->phase_ns, 0, sizeof(loop->phase_ns));
  ls_end_write(loop);
}

// The busy phase is to be forgotten: user space found the loop left in it before the kernel side
// could know.
static __always_inline bool ls_is_disowned(const struct ls_loop *loop, const struct ls_run *run) {
  return run && run->left_ns && run->left_ns == loop->phase_start_ns && ls_in_busy_phase(loop);
}

// The loop no longer runs: its busy phase ended where it was last seen to run, and until it polls
// again it is neither busy nor idle.
static __always_inline void ls_leave(struct ls_loop *loop, __u32 row) {
  if (ls_is_disowned(loop, ls_run_of(row))) {
    ls_drop_phase(loop);
    return;
  }
  ls_count(LS_COUNT_LOOP_LEFT);
  ls_begin_write(loop);
  ls_end_busy(loop, row, bpf_ktime_get_ns(), LS_LEFT_UNSEEN);
  loop->phase = LS_PHASE_NONE;
  loop->off_cpu = 0;
  loop->deadline_to_ns = 0;
  loop->due_ns = 0;
  ls_end_write(loop);
}

#endif
