// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Since when does a thread sleep? The scheduler keeps when the thread last came to a CPU and how
// long it then ran. Both are by the run queue's clock; how far that is from CLOCK_MONOTONIC the
// reading thread tells, which came to its own CPU a moment ago: it sleeps shortly before it reads.
// The result is right to about that moment, and never too early.
#ifndef LOOPSIGHT_BPF_SLEPT_H
#define LOOPSIGHT_BPF_SLEPT_H

#include "state.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;

struct bpf_iter_meta {
  struct seq_file *seq;
};

struct bpf_iter__task {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
};

struct task_struct___told {
  unsigned int __state;
  int on_cpu;
  unsigned long nivcsw;
} __attribute__((preserve_access_index));
#pragma clang attribute pop

// False for threads that the kernel made in the process, which have a copy of the thread pointer of
// the one that asked for them.
static __always_inline bool ls_runs_program(struct task_struct *task) {
  return !(BPF_CORE_READ(task, flags) & LS_PF_IO_WORKER);
}

// The state of a task that is not the current one, as __state has it; 0: it runs or is ready to.
static __always_inline __u32 ls_state_of(struct task_struct *task) {
  struct task_struct___told *told = (void *)task;
  return bpf_core_field_exists(told->__state) ? BPF_CORE_READ(told, __state) : 0;
}

// CLOCK_MONOTONIC; `now` where it cannot be told.
static __always_inline __u64 ls_slept_since(struct task_struct *task, __u64 now) {
  struct task_struct *self = (void *)bpf_get_current_task_btf();
  __u64 left, offset;
  if (!bpf_core_field_exists(task->sched_info.last_arrival)) return now;
  offset = now - BPF_CORE_READ(self, sched_info.last_arrival);
  left = BPF_CORE_READ(task, sched_info.last_arrival) + BPF_CORE_READ(task, se.sum_exec_runtime) -
         BPF_CORE_READ(task, se.prev_sum_exec_runtime);
  return left + offset < now ? left + offset : now;
}

#endif
