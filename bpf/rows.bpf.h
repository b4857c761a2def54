// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which row of the loop table a poll call belongs to.
//
//                 first poll call         verdict: loop
//   (no row) -------------------> undecided -----------> accepted --- the thread ends, or polls on
//      ^ ^                            |  verdict: none                  a new instance and this one
//      | +--- released at the next ---+                                 is closed ---> (no row)
//      |      poll call
//      +--- a poll call that is known to be no loop's never gets one
//
// A row is of one thread and one poll object: for epoll the instance behind the descriptor; for
// select and poll, which have no object to go by, the depth of the user stack. A thread has two of
// them, so that a loop that runs inside a callback of another does not take its place.
//
// A verdict of "no loop" is about one poll call only, and provisional: it is of the Python frames
// at it (see chain.bpf.h) for LS_CHAIN_HOLDS_NS or, where native code polls, of the object and the
// frames. Whatever else the thread polls on, or from elsewhere, is asked about anew; what it polled
// before its loop cannot hide it.
#ifndef LOOPSIGHT_BPF_ROWS_H
#define LOOPSIGHT_BPF_ROWS_H

#include "adopted.bpf.h"
#include "asking.bpf.h"

// "About" the same stack pointer, because glibc's poll uses 40 bytes more once the process has a
// second thread.
#define LS_STACK_SLACK 128

extern const volatile __u32 listed_only;

static __always_inline __u64 ls_instance(struct task_struct *task, const struct ls_poll *poll) {
  struct file *file;
  if (poll->epoll_fd < 0) return poll->stack_pointer;
  file = ls_file(task, poll->epoll_fd);
  if (ls_object_of(file) != LS_OBJECT_EPOLL) return 0;
  return (__u64)BPF_CORE_READ(file, private_data);
}

static __always_inline bool ls_is_near(__u64 one, __u64 other) {
  return one - other + LS_STACK_SLACK <= 2 * LS_STACK_SLACK;
}

static __always_inline bool ls_is_own_poll(const struct ls_loop *loop, const struct ls_poll *poll) {
  if (loop->epoll_fd != poll->epoll_fd || loop->flags & LS_LOOP_STALE) return false;
  return poll->epoll_fd >= 0 || ls_is_near(loop->instance, poll->stack_pointer);
}

// 1 while the row's epoll descriptor still leads to the row's instance.
static __always_inline __u32 ls_is_open(struct task_struct *task, const struct ls_loop *loop) {
  struct file *file;
  if (loop->epoll_fd < 0) return 1;
  if (loop->flags & LS_LOOP_STALE) return 0;
  file = ls_file(task, loop->epoll_fd);
  return file && (__u64)BPF_CORE_READ(file, private_data) == loop->instance;
}

static __noinline __u32 ls_take_row(struct task_struct *task, const struct ls_poll *poll,
                                    __u64 instance, __u32 owners) {
  struct ls_loop *loop;
  struct ls_run *run;
  __u32 row = 0;
  __u64 key;
  if (!ls_hold(owners, LS_HELD_ROWS, most_rows)) {
    ls_count(LS_COUNT_LOOPS_FULL);
    return 0;
  }
  if (bpf_map_pop_elem(&free_rows, &row) || !(loop = ls_row(row)) || !(run = ls_run_of(row))) {
    ls_give_back(owners, LS_HELD_ROWS);
    ls_count(LS_COUNT_LOOPS_FULL);
    return 0;
  }
  run->owners = owners;
  ls_note_row(row);
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

// Lists the running process, of which nothing is known yet; its state, 0 where there is no room for
// it. A global function, so that it is verified once in a program.
__weak __noinline int ls_list_process(void) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_process_entry fresh = {.state = LS_PROCESS_UNDECIDED};
  __u32 tgid = (__u32)BPF_CORE_READ(task, tgid);
  fresh.owners = ls_owners_of(task);
  if (!ls_hold(fresh.owners, LS_HELD_PROCESSES, most_processes)) {
    ls_count(LS_COUNT_PROCESSES_FULL);
    return 0;
  }
  if (bpf_map_update_elem(&processes, &tgid, &fresh, BPF_NOEXIST)) {
    ls_give_back(fresh.owners, LS_HELD_PROCESSES);  // another thread of it was faster, or no memory
    if (bpf_map_lookup_elem(&processes, &tgid)) return LS_PROCESS_UNDECIDED;
    ls_count(LS_COUNT_PROCESSES_FULL);
    return 0;
  }
  return LS_PROCESS_UNDECIDED;
}

// The state of the process that polls: enum ls_process_state, 0 for one that is not to be watched.
static __always_inline __u32 ls_process_state(__u32 tgid) {
  struct ls_process_entry *entry = bpf_map_lookup_elem(&processes, &tgid);
  if (entry) return entry->state == LS_PROCESS_OTHER ? 0 : entry->state;
  if (listed_only) return 0;
  return (__u32)ls_list_process();
}

// False for a poll call that is nobody's business here, before anything is measured. `thread`: what
// the thread carries, NULL nothing.
static __always_inline bool ls_concerns(struct task_struct *task, const struct ls_thread *thread) {
  return thread || ls_process_state((__u32)task->tgid);
}

// Another loop starts to poll on the thread while this one is in its busy phase: it is run inside a
// callback of this one, which is then still busy and waits, or this one no longer runs. Where its
// frames do not tell, the depth of the stack does: from the same depth or above it was left. That
// says nothing of libuv's loops, whose poll call stands below 12 KB of its own that callbacks need
// not have, and of those on select, whose call stands below the 48 KB of CPython's select module.
__weak __noinline int ls_step_aside(__u32 row, __u64 stack_pointer) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_loop *loop = ls_row(row);
  int runs;
  if (!loop || !thread || loop->phase != LS_PHASE_BUSY) return 0;
  runs = ls_is_running(row, task, thread);
  if (runs < 0)
    runs =
        loop->flags & LS_LOOP_NATIVE || loop->epoll_fd < 0 || stack_pointer < loop->stack_pointer;
  if (runs)
    loop->phase = LS_PHASE_NESTED;
  else
    ls_leave(loop, row);
  return 0;
}

// The thread polls by its row that is not the active one.
static __always_inline void ls_change_row(struct task_struct *task, struct ls_thread *thread,
                                          const struct ls_poll *poll) {
  __u32 from = thread->rows[thread->active & 1];
  struct ls_loop *current = ls_row(from);
  struct ls_loop *other = ls_row(thread->rows[~thread->active & 1]);
  if (current && other) {
    // Back in the outer loop: the inner one, which ran in its callback, no longer does.
    if (ls_in_busy_phase(other) && current->phase_start_ns > other->phase_start_ns) {
      if (current->phase == LS_PHASE_BUSY) ls_leave(current, from);
    } else {
      ls_step_aside(from, poll->stack_pointer);
    }
  }
  thread->active = ~thread->active & 1;
}

// Where a new row goes: in the place of one that is no loop's, or gone; else of the one that is not
// active.
static __noinline __u32 ls_free_slot(struct task_struct *task, struct ls_thread *thread) {
  __u32 active = thread->active & 1;
  struct ls_loop *current = ls_row(thread->rows[active]);
  struct ls_loop *other = ls_row(thread->rows[active ^ 1]);
  if (!current || current->flags & LS_LOOP_REJECTED || !ls_is_open(task, current)) return active;
  if (!other || !(other->flags & LS_LOOP_ACCEPTED)) return active ^ 1;
  return current->flags & LS_LOOP_ACCEPTED || current->phase != LS_PHASE_POLL ? active ^ 1 : active;
}

// A poll call that no row of the thread is for: gives it a row where it may be a loop's.
// A global function, so that it is verified once in a program.
__weak __noinline int ls_meet(struct ls_poll *poll) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_loop *current, *loop;
  struct ls_run *run;
  __u32 tgid = (__u32)BPF_CORE_READ(task, tgid), row, slot;
  __u64 instance, chain;
  __u32 verdict;
  bool same = false, is_loop, is_borrowed, stays;

  if (!poll) return 0;
  if (!ls_process_state(tgid)) {
    // It polled before it was decided that it is nobody's business: from now on it pays less.
    if (thread && !thread->rows[0] && !thread->rows[1]) bpf_task_storage_delete(&threads, task);
    return 0;
  }
  poll->stack_pointer = ls_user_stack(task);
  instance = ls_instance(task, poll);
  if (!instance) {
    ls_count(LS_COUNT_NO_INSTANCE);
    return 0;
  }
  if (!thread) {
    thread = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!thread) {
      ls_count(LS_COUNT_STORAGE_FULL);
      return 0;
    }
  }
  thread->entered = 1;
  chain = ls_chain_of(task, thread, instance, poll, &same);
  if (same) return 0;
  verdict = ls_known_verdict(thread, instance, chain, poll->now);
  if (verdict == LS_CHAIN_NO_LOOP) return 0;
  thread->owners = ls_owners_of(task);
  is_loop = verdict == LS_CHAIN_LOOP;
  if (!is_loop && !ls_may_ask(thread, poll->now)) return 0;
  current = ls_row(thread->rows[thread->active & 1]);
  stays = poll->epoll_fd < 0 && !is_loop && current && ls_in_busy_phase(current) &&
          !(current->flags & LS_LOOP_REJECTED);
  is_borrowed = stays && current->flags & LS_LOOP_ACCEPTED;
  if (is_borrowed) {
    // Most likely a callback that waits: no row for that.
    poll->chain = chain;
    poll->borrowed = true;
    poll->asker = thread->rows[thread->active & 1];
    return 0;
  }
  row = ls_take_row(task, poll, instance, thread->owners);
  loop = ls_row(row);
  run = ls_run_of(row);
  if (!loop || !run) return 0;
  run->asked_chain = chain;
  slot = ls_free_slot(task, thread) & 1;
  if (slot != (thread->active & 1) && !stays) poll->aside = thread->rows[thread->active & 1];
  current = ls_row(thread->rows[slot]);
  if (current)
    ls_release(current, thread->rows[slot], LS_END_REPLACED, 0, ls_is_open(task, current),
               poll->now);
  thread->rows[slot] = row;
  if (!stays) thread->active = slot;
  return row;
}

// User space has said that the row in `slot` is no loop's.
static __always_inline void ls_drop_row(struct ls_thread *thread, __u32 slot, __u64 now) {
  __u32 row = thread->rows[slot & 1];
  struct ls_loop *loop = ls_row(row);
  struct ls_run *run = ls_run_of(row);
  struct ls_refusal *refusal;
  if (!loop || !run) return;
  if (loop->flags & LS_LOOP_BY_OBJECT) {
    refusal = &thread->refused[thread->next_refused++ & (LS_REFUSALS - 1)];
    refusal->instance = loop->instance;
    refusal->chain = run->asked_chain;
  }
  ls_release(loop, row, LS_END_REJECTED, 0, 1, now);
  thread->rows[slot & 1] = 0;
}

static __always_inline __u32 ls_meet_and_ask(struct task_struct *task, struct ls_poll *poll) {
  __u32 row = (__u32)ls_meet(poll);
  struct ls_loop *loop;
  // Not in ls_meet, whose stack would then lie below those of the walk and of the records.
  if (poll->borrowed) {
    loop = ls_row(poll->asker);
    if (loop) ls_ask(loop, poll->asker, task, poll);
    return 0;
  }
  if (poll->aside) ls_step_aside(poll->aside, poll->stack_pointer);
  return row;
}

// The loop that was adopted may have met a poll call before it could be seen that it was its own.
static __always_inline void ls_check_other(struct ls_thread *thread, __u32 slot,
                                           const struct ls_poll *poll) {
  struct ls_loop *other = ls_row(thread->rows[slot & 1]);
  if (other && other->flags & LS_LOOP_ADOPTED) ls_end_adopted(poll);
}

// The row of a poll call that begins: the thread's own loop, or a new row for what may be one; 0
// where it is nobody's loop. Makes it the thread's active row.
static __always_inline __u32 ls_row_of_entry(struct task_struct *task, struct ls_thread *thread,
                                             struct ls_poll *poll) {
  struct ls_loop *loop;
  __u32 slot, row;
  if (!thread) return ls_meet_and_ask(task, poll);
  thread->entered = 1;
  thread->polling = 0;
  for (__u32 i = 0; i < 2; i++) {
    slot = (thread->active + i) & 1;
    row = thread->rows[slot];
    loop = ls_row(row);
    if (!loop || !ls_is_own_poll(loop, poll)) continue;
    if (loop->flags & LS_LOOP_REJECTED) {
      ls_drop_row(thread, slot, poll->now);
      continue;
    }
    // The same depth of the stack says little: another function may poll at it.
    if (loop->epoll_fd < 0 && loop->flags & LS_LOOP_ACCEPTED && !ls_is_running(row, task, thread))
      continue;
    if (i) {
      poll->stack_pointer = ls_user_stack(task);
      ls_change_row(task, thread, poll);
    }
    ls_check_other(thread, thread->active ^ 1, poll);
    return row;
  }
  ls_end_adopted(poll);
  return ls_meet_and_ask(task, poll);
}

static __always_inline int ls_ask_of_row(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                         struct ls_poll *poll) {
  struct ls_thread *thread = ls_thread_of(task);
  bool same;
  if (!thread) return 0;
  thread->same_ns = 0;
  poll->chain = ls_chain_of(task, thread, loop->instance, poll, &same);
  ls_ask(loop, row, task, poll);
  return 1;
}

static __always_inline void ls_poll_enter(struct task_struct *task, struct ls_thread *thread,
                                          struct ls_poll *poll) {
  __u32 row = ls_row_of_entry(task, thread, poll);
  struct ls_loop *loop = ls_row(row);
  struct ls_run *run;
  if (!loop) return;
  if (!thread) thread = ls_thread_of(task);
  if (!thread) return;
  thread->polling = row;
  run = ls_run_of(row);
  if (ls_is_disowned(loop, run)) ls_drop_phase(loop);
  ls_begin_poll(loop, row, poll);
  if (run && run->flags) ls_note_running(row, task, thread);
  // After the busy phase was reported: the question reads frames into the row's stacks.
  if (loop->flags & LS_LOOP_ASKED) return;
  ls_ask_of_row(loop, row, task, poll);
}

static __always_inline void ls_poll_exit(struct task_struct *task, struct ls_thread *thread,
                                         struct ls_poll *poll, long returned) {
  bool came_inside = !thread || !thread->entered;
  __u32 row = came_inside ? ls_meet_and_ask(task, poll) : thread->polling;
  struct ls_loop *loop = ls_row(row);
  if (!loop) return;
  if (!thread) thread = ls_thread_of(task);
  if (!thread) return;
  thread->polling = 0;
  // A thread that was inside its poll call when we came is met here first.
  if (!(loop->flags & LS_LOOP_ASKED)) {
    ls_ask_of_row(loop, row, task, poll);
  }
  if (!ls_in_busy_phase(loop)) ls_begin_busy(loop, row, task, returned, poll->now);
}

#endif
