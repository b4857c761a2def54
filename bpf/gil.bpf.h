// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The interpreter lock, a stopped world and the garbage collector, told from the interpreter's own
// state: whether a futex is the lock's, who has it and what that thread is doing.
#ifndef LOOPSIGHT_BPF_GIL_H
#define LOOPSIGHT_BPF_GIL_H

#include "frames.bpf.h"

static __always_inline __u64 ls_gil(const struct ls_python *python, __u64 state) {
  __u64 interpreter;
  if (python->interpreter_gil == LS_NO_OFFSET) return python->runtime + python->runtime_gil;
  // A thread that waits for the lock before its first frame is not found by its state.
  interpreter = state ? ls_read_word(state + python->thread_interpreter)
                      : ls_read_word(python->runtime + python->interpreters_head);
  return interpreter ? ls_read_word(interpreter + python->interpreter_gil) : 0;
}

#define LS_MAX_MUSL_WAITERS 32

// musl's condition variables keep a list of the waiters' nodes, which lie on their stacks, and each
// waits on a word in its own (struct waiter in pthread_cond_timedwait.c of musl 1.2.3: prev, next,
// state, barrier). Is the word of this wait that of a node in the list of `condition`?
static __always_inline bool ls_waits_on_musl(__u64 condition, __u64 address) {
  __u64 node = ls_read_word(condition + 8);  // _c_head
  for (int i = 0; i < LS_MAX_MUSL_WAITERS; i++) {
    if (!node) return false;
    if (node + 20 == address) return true;
    node = ls_read_word(node + 8);
  }
  return false;
}

// The frames of another thread, which runs meanwhile: what is torn is found out and left away.
static __always_inline void ls_walk_other(const struct ls_python *python, __u64 state,
                                          struct ls_stack *holder, __u32 *tid) {
  *tid = 0;
  if (!ls_walk_state(python, state, holder)) {
    holder->count = 0;
    return;
  }
  if (python->thread_native != LS_NO_OFFSET)
    *tid = (__u32)ls_read_word(state + python->thread_native);
}

// Is the futex at `address` that the running thread waits on one of the interpreter lock's? Its two
// conditions and mutexes stand in 176 bytes from the 24th after last_holder (ceval_gil.h, x86-64).
// The address of the lock, 0 where it is not.
__weak __noinline __u64 ls_is_gil(__u64 address, struct ls_thread *thread) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 gil, conditions;
  if (!python || !thread) return 0;
  gil = ls_gil(python, thread->thread_state);
  if (!gil) return 0;
  if (python->gil_enabled != LS_NO_OFFSET && !(__u32)ls_read_word(gil + python->gil_enabled))
    return 0;
  conditions = gil + python->gil_holder + 24;
  if (address - conditions >= 176 &&
      !(python->flags & LS_PYTHON_MUSL &&
        (ls_waits_on_musl(conditions, address) || ls_waits_on_musl(conditions + 88, address))))
    return 0;
  return gil;
}

// The same, and notes who has it and what that thread is doing.
__weak __noinline int ls_check_gil(__u64 address, struct ls_thread *thread, struct ls_stack *holder,
                                   __u32 *tid) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 gil, state;
  if (!python || !thread || !holder || !tid) return 0;
  gil = ls_is_gil(address, thread);
  if (!gil) return 0;
  state = ls_read_word(gil + python->gil_holder);
  holder->count = 0;
  *tid = 0;
  if (state && state != thread->thread_state) ls_walk_other(python, state, holder, tid);
  return 1;
}

// 1 where the running thread of a free-threaded interpreter waits because another one stopped the
// world (_PyEval_StopTheWorld): its state is "suspended" and somebody has asked for it.
__weak __noinline int ls_check_world(struct ls_thread *thread, struct ls_stack *holder,
                                     __u32 *tid) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 interpreter, requester;
  if (!python || !thread || !holder || !tid || !thread->thread_state) return 0;
  if (python->interpreter_requester == LS_NO_OFFSET) return 0;
  if ((__u32)ls_read_word(thread->thread_state + python->thread_state_word) != 2) return 0;
  interpreter = ls_read_word(thread->thread_state + python->thread_interpreter);
  requester = ls_read_word(interpreter + python->interpreter_requester);
  if (!requester || requester == thread->thread_state ||
      ls_read_word(requester + python->thread_interpreter) != interpreter)
    return 0;
  holder->count = 0;
  ls_walk_other(python, requester, holder, tid);
  return 1;
}

// LS_STACK_HAS_LOCK or LS_STACK_NO_LOCK of the running thread, 0 where there is no lock or that
// cannot be told.
__weak __noinline int ls_lock_flag(struct ls_thread *thread) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 gil;
  if (!python || !thread || !thread->thread_state) return 0;
  gil = ls_gil(python, thread->thread_state);
  if (!gil) return 0;
  if (python->gil_enabled != LS_NO_OFFSET && !(__u32)ls_read_word(gil + python->gil_enabled))
    return 0;
  if (ls_read_word(gil + python->gil_holder) == thread->thread_state &&
      (__u32)ls_read_word(gil + python->gil_holder + 8) == 1)
    return LS_STACK_HAS_LOCK;
  return LS_STACK_NO_LOCK;
}

// 1 while the garbage collector is at work in the running thread: its flag is the interpreter's, so
// the thread must be the one that has the interpreter lock.
__weak __noinline int ls_is_collecting(struct ls_thread *thread) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 flag, gil, interpreter;
  if (!python || !thread || !thread->thread_state) return 0;
  interpreter = ls_read_word(thread->thread_state + python->thread_interpreter);
  flag = python->runtime_collecting != LS_NO_OFFSET ? python->runtime + python->runtime_collecting
                                                    : interpreter + python->interpreter_collecting;
  if (!(__u32)ls_read_word(flag)) return 0;
  if (python->interpreter_requester != LS_NO_OFFSET)
    return ls_read_word(interpreter + python->interpreter_requester) == thread->thread_state;
  gil = ls_gil(python, thread->thread_state);
  return gil && ls_read_word(gil + python->gil_holder) == thread->thread_state &&
         (__u32)ls_read_word(gil + python->gil_holder + 8) == 1;
}

#endif
