// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Loops that sleep where others poll: eventlet's hub and kombu's have nothing to poll on at times,
// and then call time.sleep until their next timer.
#ifndef LOOPSIGHT_BPF_IDLE_H
#define LOOPSIGHT_BPF_IDLE_H

#include "adopted.bpf.h"

static __always_inline bool ls_is_sleep(long number) {
  return number == __NR_clock_nanosleep || number == __NR_nanosleep || number == __NR_select ||
         number == __NR_pselect6;
}

// A loop that was adopted in a greenlet of its own, while another greenlet sleeps: the hub, which
// has nothing to poll on, or one that it called meanwhile. The callback is over in any case.
static __noinline int ls_end_greenlet(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                      __u64 now) {
  struct ls_thread *thread = ls_thread_of(task);
  ls_begin_write(loop);
  ls_end_busy(loop, row, now, LS_LEFT_SEEN);
  loop->phase = LS_PHASE_NONE;
  ls_end_write(loop);
  ls_release(loop, row, LS_END_REPLACED, 0, 1, now);
  if (!thread) return 1;
  if (thread->rows[0] == row) thread->rows[0] = 0;
  if (thread->rows[1] == row) thread->rows[1] = 0;
  return 1;
}

static __always_inline bool ls_is_other_greenlet(const struct ls_run *run,
                                                 const struct ls_stack *stack) {
  __u32 zero = 0;
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  return run->flags & LS_RUN_BY_BASE && stack->end == LS_STACK_COMPLETE && buffer &&
         buffer->base_frame != run->base;
}

// The thread goes to sleep, with these frames: true where that is the loop's idle sleep.
static __noinline bool ls_begin_idle_sleep(struct ls_loop *loop, __u32 row,
                                           const struct ls_stack *stack, struct task_struct *task,
                                           __u64 now) {
  struct ls_run *run = ls_run_of(row);
  long number;
  if (!run || !stack->count) return false;
  number = ls_syscall_number((void *)bpf_task_pt_regs(task));
  if (!ls_is_sleep(number)) return false;
  if (ls_is_other_greenlet(run, stack)) return ls_end_greenlet(loop, row, task, now);
  if (!run->idle_code || stack->frames[0].code != run->idle_code) return false;
  ls_begin_write(loop);
  ls_end_busy(loop, row, now, LS_LEFT_SEEN);
  loop->phase = LS_PHASE_POLL;
  loop->phase_start_ns = now;
  loop->polls++;
  ls_end_write(loop);
  run->sleeping = 1;
  return true;
}

static __noinline int ls_end_idle_sleep(struct ls_loop *loop, __u32 row, struct task_struct *task) {
  struct ls_run *run = ls_run_of(row);
  if (!run || !run->sleeping) return 0;
  run->sleeping = 0;
  ls_begin_busy(loop, row, task, 0, bpf_ktime_get_ns());
  return 1;
}

#endif
