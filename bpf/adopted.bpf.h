// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The end of a row that was given to a loop which did not poll when we came (adopt.bpf.c): at the
// loop's next poll call, whatever that is on.
#ifndef LOOPSIGHT_BPF_ADOPTED_H
#define LOOPSIGHT_BPF_ADOPTED_H

#include "clock.bpf.h"

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

#define LS_LIBUV_EVENTS 1024  // what libuv asks a poll call for (uv__io_poll in src/unix/linux.c)

// Before 1.45 it calls epoll_wait where it blocks no signal.
static __always_inline bool ls_polls_as_libuv(long number, const __u64 args[3]) {
  return (number == __NR_epoll_pwait || number == __NR_epoll_wait) && args[2] == LS_LIBUV_EVENTS;
}

// Is this poll call, of whatever object, that of an adopted loop? It is where the loop's run method
// stands below it without the function through which callbacks run; or, where the callback is a
// greenlet, whose frames do not lead to the run method, where another one polls.
static __noinline bool ls_is_of_adopted(__u32 row, struct task_struct *task,
                                        struct ls_thread *thread, const struct ls_poll *poll) {
  __u32 zero = 0;
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  struct ls_loop *loop = ls_row(row);
  struct ls_run *run = ls_run_of(row);
  __u64 args[3];
  bool is_own;
  if (!buffer || !loop || !run) return false;
  if (run->flags & LS_RUN_BY_BASE) {
    ls_look_for(0);
    return ls_walk(ls_thread_pointer(task), thread, &buffer->stack) &&
           buffer->stack.end == LS_STACK_COMPLETE && buffer->base_frame != run->base;
  }
  if (!run->code) {
    ls_syscall_args((void *)bpf_task_pt_regs(task), args);
    return loop->flags & LS_LOOP_NATIVE && ls_polls_as_libuv(poll->syscall, args);
  }
  ls_look_for(row);
  ls_walk(ls_thread_pointer(task), thread, &buffer->stack);
  is_own = buffer->met && (!run->callback_code || buffer->met_inner != run->callback_code);
  ls_look_for(0);
  return is_own;
}

// Releases the adopted rows of the thread whose busy phase is over; returns one whose busy phase
// ends with this poll call, 0 none. A global function, so that it is verified once in a program.
__weak __noinline int ls_look_at_adopted(const struct ls_poll *poll) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_loop *loop;
  __u32 row;
  if (!thread || !poll) return 0;
  for (__u32 slot = 0; slot < 2; slot++) {
    row = thread->rows[slot & 1];
    loop = ls_row(row);
    if (!loop || !(loop->flags & LS_LOOP_ADOPTED)) continue;
    // It polled while its frames were read: nothing of it is to be believed.
    if (loop->flags & LS_LOOP_REJECTED) {
      ls_release(loop, row, LS_END_REJECTED, 0, 1, poll->now);
      thread->rows[slot & 1] = 0;
      continue;
    }
    if (ls_in_busy_phase(loop) && ls_is_of_adopted(row, task, thread, poll)) return (int)row;
    if (loop->phase == LS_PHASE_POLL && !ls_is_of_adopted(row, task, thread, poll)) continue;
    if (ls_in_busy_phase(loop)) continue;
    ls_release(loop, row, LS_END_REPLACED, 0, 1, poll->now);
    thread->rows[slot & 1] = 0;
  }
  return 0;
}

// The loop that was adopted polls again: its row has served. In steps, since all stacks below one
// another have 512 bytes.
static __always_inline void ls_end_adopted(const struct ls_poll *poll) {
  __u32 row = (__u32)ls_look_at_adopted(poll);
  struct ls_loop *loop = ls_row(row);
  if (!loop) return;
  ls_begin_write(loop);
  ls_end_busy(loop, row, poll->now, LS_LEFT_SEEN);
  loop->phase = LS_PHASE_NONE;
  ls_end_write(loop);
  ls_look_at_adopted(poll);
}

#endif
