// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The question to user space whether what polls is an event loop: the poll call, what it polls on,
// the user stack and the Python frames at it.
#ifndef LOOPSIGHT_BPF_POLLER_H
#define LOOPSIGHT_BPF_POLLER_H

#include "split.bpf.h"

struct ls_poll {
  __u32 syscall;
  __s32 epoll_fd;    // -1: select, poll
  __s64 timeout_ns;  // negative: none
  __u64 now;
  __u64 stack_pointer;  // of the user; of an epoll call only known once ls_meet looked for a row
  __u64 chain;          // see chain.bpf.h; only known where user space is asked
  bool borrowed;        // asked about by the row of the loop in whose busy phase it is, `asker`
  __u32 asker;
  __u32 aside;  // the row of a loop that this call may interrupt, 0 none
};

static __always_inline __u32 ls_is_nested(struct task_struct *task, __u32 row) {
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_loop *other;
  if (!thread) return 0;
  other = ls_row(thread->rows[thread->rows[0] == row ? 1 : 0]);
  return other && other->flags & LS_LOOP_ACCEPTED && ls_in_busy_phase(other);
}

// `borrowed`: the row is in its busy phase, and its own stacks are in use.
static __noinline int ls_send_poller_stack(struct ls_loop *loop, __u32 row,
                                           struct task_struct *task, __u64 now, bool borrowed) {
  __u32 zero = 0;
  struct ls_row_stacks *kept = bpf_map_lookup_elem(&stacks, &row);
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_stack_facts facts = {.row = row, .source = LS_STACK_OF_POLLER};
  struct ls_stack *stack;
  struct ls_run *run;
  if (!kept || !buffer || !thread) return 0;
  stack = borrowed ? &buffer->stack : &kept->stack[0];
  if (!ls_walk(ls_thread_pointer(task), thread, stack)) return 0;
  run = borrowed ? NULL : bpf_map_lookup_elem(&runs, &row);
  if (run && !run->base) {
    // The verdict may come when the loop has been left already: what it is known by is noted here.
    run->base = buffer->base_frame;
    run->anchor = buffer->leaf_frame;
    run->anchor_instruction = buffer->leaf_instruction;
  }
  ls_send_stack(loop, stack, &facts, now);
  return 0;
}

static __noinline void ls_send_poller(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                      __u32 process_known, const struct ls_poll *poll) {
  const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
  struct ls_poller *record;
  __u64 args[3];
  record = LS_RESERVE(ls_poller, LS_KIND_POLLER, poll->now, loop->tgid, loop->tid);
  if (!record) return;  // asked again at the next poll call
  record->row = row;
  record->generation = loop->generation;
  record->instance = loop->instance;
  record->epoll_fd = poll->epoll_fd;
  record->poll_syscall = poll->syscall;
  record->process_known = process_known;
  record->nested = ls_is_nested(task, row);
  record->pad = 0;
  record->chain = poll->chain;
  record->thread_pointer = ls_thread_pointer(task);
  record->borrowed = poll->borrowed;
  record->pad_borrowed = 0;
  if (bpf_probe_read_user(record->stack, sizeof(record->stack), (void *)ls_stack_pointer(regs)))
    __builtin_memset(record->stack, 0, sizeof(record->stack));
  __builtin_memset(record->polled, 0, sizeof(record->polled));
  ls_syscall_args(regs, args);
  record->polled_count = poll->epoll_fd >= 0 ? 0 : (__u32)args[0];
  if (poll->syscall == __NR_poll || poll->syscall == __NR_ppoll) {
    __u32 count = args[1] > LS_POLLED_WORDS ? LS_POLLED_WORDS : (__u32)args[1];
    record->polled_count = count;
    if (count <= LS_POLLED_WORDS)  // struct pollfd has 8 bytes
      bpf_probe_read_user(record->polled, count * 8, (void *)args[0]);
  } else if (poll->epoll_fd < 0 && args[1]) {
    // glibc's fd_set has 1024 bits whatever nfds says.
    bpf_probe_read_user(record->polled, sizeof(record->polled), (void *)args[1]);
  }
  bpf_ringbuf_submit(record, 0);
  if (!poll->borrowed) __sync_fetch_and_or(&loop->flags, LS_LOOP_ASKED);
}

#endif
