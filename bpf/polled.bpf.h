// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The end of a poll call that a callback made, on several descriptors: which of them became ready,
// and whether its time was up. The kernel has just written that into what the call was given.
#ifndef LOOPSIGHT_BPF_POLLED_H
#define LOOPSIGHT_BPF_POLLED_H

#include "poller.bpf.h"
#include "split.bpf.h"

// Its time was up: nobody ended the wait. Where a peer was waited for it still is that peer's; else
// the thread slept.
static __always_inline void ls_end_unready(struct task_struct *task, struct ls_wait *wait,
                                           bool is_epoll) {
  struct ls_pick pick = {.fd = wait->fd};
  struct file *file;
  wait->flags |= LS_WAIT_TIMED_OUT;
  if (is_epoll) {
    file = ls_file(task, wait->fd);
    pick.fd = -1;
    if (file && wait->object == LS_OBJECT_EPOLL)
      ls_pick_watched(ls_address(task), (__u64)file, &pick);
  }
  if (ls_rank(ls_address(task), pick.fd) <= LS_RANK_WAKES) wait->cause = LS_CAUSE_SLEEP;
}

// A global function, so that it is verified once in a program.
__weak __noinline int ls_end_polled(const struct ls_poll *poll, __s64 returned) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_pick pick = {.fd = -1, .ready = 1};
  struct ls_loop *loop;
  struct ls_wait *wait;
  struct file *file;
  if (!thread || !poll) return 0;
  loop = ls_row(thread->rows[thread->active & 1]);
  if (!loop || !ls_in_busy_phase(loop) || !loop->off_cpu || !loop->slice_end_ns) return 0;
  wait = &loop->wait;
  // Of the next poll call it would be another wait, or none.
  if (wait->syscall != (__s32)poll->syscall || wait->fd < 0 || wait->flags & LS_WAIT_RETURNED ||
      wait->cause == LS_CAUSE_STOPPED || loop->slice_end_ns - wait->start_ns < LS_TARGET_MIN_NS)
    return 0;
  ls_begin_write(loop);
  wait->flags |= LS_WAIT_RETURNED;
  if (returned <= 0) {
    if (returned == 0) ls_end_unready(task, wait, poll->epoll_fd >= 0);
  } else if (poll->epoll_fd < 0) {
    ls_pick_polled(poll->syscall, wait->args[0], wait->args[1], wait->args[2], &pick);
    file = ls_file(task, pick.fd);
    if (file && pick.fd != wait->fd) {
      wait->fd = pick.fd;
      wait->object = ls_object_of(file);
      wait->cause = ls_cause_of_object(wait->object);
      wait->family = 0;
      wait->names[0][0] = 0;
      ls_name_target(task, file, wait);
    }
  }
  ls_end_write(loop);
  return 0;
}

#endif
