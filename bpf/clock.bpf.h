// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The clock of a loop: from the entries into and returns from its own poll call, the phases of
// every iteration, its histogram and sums, and one record for each busy phase over the threshold.
#ifndef LOOPSIGHT_BPF_CLOCK_H
#define LOOPSIGHT_BPF_CLOCK_H

#include "phase.bpf.h"
#include "poller.bpf.h"

// `task`: the loop's thread, which need not be the running one yet.
static __always_inline void ls_begin_busy(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                          long returned, __u64 now) {
  ls_begin_write(loop);
  if (loop->phase == LS_PHASE_POLL) {
    loop->idle_ns += now - loop->phase_start_ns;
    // An instant in which it was idle is none. One that no tick came for stays due.
    if (loop->flags & LS_LOOP_CROWDED && loop->busy_due_ns >= loop->phase_start_ns &&
        loop->busy_due_ns < now)
      loop->busy_due_ns = now + LS_BUSY_EVERY_NS;
  }
  loop->phase = LS_PHASE_BUSY;
  loop->phase_start_ns = now;
  loop->slice_start_ns = now;
  loop->off_cpu = 0;
  loop->sampled_ns = 0;
  loop->running_ns = 0;
  loop->running_cause = LS_CAUSE_CPU;
  loop->system_mark_ns = task->stime;
  loop->faults_mark = (__u32)task->min_flt;
  loop->import_depth = 0;
  loop->gc_start_ns = 0;
  loop->wait_records = 0;
  loop->phase_gil_waits = 0;
  ls_note_return(loop, row, returned, now);
  ls_end_write(loop);
}

static __noinline int ls_begin_poll(struct ls_loop *loop, __u32 row, const struct ls_poll *poll) {
  bool no_wait = poll->timeout_ns == 0;
  ls_begin_write(loop);
  if (ls_in_busy_phase(loop)) ls_end_busy(loop, row, poll->now, 0);
  if (loop->due_ns) ls_count_timer(loop);
  if (!no_wait)
    ls_note_timeout(loop, row, poll->timeout_ns, ls_timeout_step(poll->syscall), poll->now);
  loop->phase = LS_PHASE_POLL;
  loop->phase_start_ns = poll->now;
  loop->polls++;
  loop->zero_polls += no_wait;
  ls_end_write(loop);
  return 0;
}

#endif
