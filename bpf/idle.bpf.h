// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Loops that sleep where others poll: eventlet's hub and kombu's have nothing to poll on at times,
// and then call time.sleep until their next timer.
#ifndef LOOPSIGHT_BPF_IDLE_H
#define LOOPSIGHT_BPF_IDLE_H

#include "clock.bpf.h"

// The thread goes to sleep, with these frames: true where that is the loop's idle sleep.
static __noinline bool ls_begin_idle_sleep(struct ls_loop *loop, __u32 row,
                                           const struct ls_stack *stack, struct task_struct *task,
                                           __u64 now) {
  struct ls_run *run = ls_run_of(row);
  long number;
  if (!run || !run->idle_code || !stack->count || stack->frames[0].code != run->idle_code)
    return false;
  number = ls_syscall_number((void *)bpf_task_pt_regs(task));
  if (number != __NR_clock_nanosleep && number != __NR_nanosleep && number != __NR_select &&
      number != __NR_pselect6)
    return false;
  ls_begin_write(loop);
  ls_end_busy(loop, row, now, LS_LEFT_SEEN);
  loop->phase = LS_PHASE_POLL;
  loop->phase_start_ns = now;
  loop->polls++;
  ls_end_write(loop);
  run->sleeping = 1;
  return true;
}

static __noinline int ls_end_idle_sleep(struct ls_loop *loop, __u32 row) {
  struct ls_run *run = ls_run_of(row);
  if (!run || !run->sleeping) return 0;
  run->sleeping = 0;
  ls_begin_busy(loop, row, 0, bpf_ktime_get_ns());
  return 1;
}

#endif
