// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Whether user space is asked about a poll call: what is known already of its frames and its
// object, and how much a thread may ask.
#ifndef LOOPSIGHT_BPF_ASKING_H
#define LOOPSIGHT_BPF_ASKING_H

#include "chain.bpf.h"
#include "poller.bpf.h"

#define LS_SAME_HOLDS_NS 1000000000ULL
#define LS_ASK_EVERY_NS 62500000ULL  // one in that time
#define LS_MOST_ASKS 32              // poller records in a row for one thread, and then
// What is known of a poll call by its frames, and of native code by its object: enum
// ls_chain_verdict, 0 nothing. Remembers one that is no loop's for the next one that is the same.
static __noinline __u32 ls_known_verdict(struct ls_thread *thread, __u64 instance, __u64 chain,
                                         __u64 now) {
  struct ls_chain_key key = {.chain = chain, .tgid = bpf_get_current_pid_tgid() >> 32};
  struct ls_chain_entry *entry = chain ? bpf_map_lookup_elem(&chains, &key) : NULL;
  __u32 verdict = 0;
  if (entry && entry->verdict == LS_CHAIN_LOOP) return LS_CHAIN_LOOP;
  if (entry && now - entry->time_ns < LS_CHAIN_HOLDS_NS) verdict = LS_CHAIN_NO_LOOP;
  for (int i = 0; i < LS_REFUSALS; i++)
    if (thread->refused[i].instance == instance && thread->refused[i].chain == chain)
      verdict = LS_CHAIN_NO_LOOP;
  if (verdict) thread->same_ns = now;
  return verdict;
}

// Takes one of the questions that the thread may ask; false where it has asked too much.
static __noinline bool ls_may_ask(struct ls_thread *thread, __u64 now) {
  __u64 more;
  if (!thread->asks_ns) {
    thread->asks = LS_MOST_ASKS;
    thread->asks_ns = now;
  }
  more = (now - thread->asks_ns) / LS_ASK_EVERY_NS;
  if (more) {
    thread->asks = more + thread->asks > LS_MOST_ASKS ? LS_MOST_ASKS : thread->asks + (__u32)more;
    thread->asks_ns = now;
  }
  if (thread->asks && ls_may_ask_for(thread->owners, now)) {
    thread->asks--;
    return true;
  }
  ls_count(LS_COUNT_ASKS_REFUSED);
  return false;
}

static __always_inline void ls_ask(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                   const struct ls_poll *poll) {
  __u32 tgid = loop->tgid;
  struct ls_process_entry *entry = bpf_map_lookup_elem(&processes, &tgid);
  ls_send_poller_stack(loop, row, task, poll->now, poll->borrowed);
  ls_send_poller(loop, row, task, entry && entry->state == LS_PROCESS_PYTHON, poll);
}

// The chain of the running thread; `same`: it is the poll call that was refused last.
static __noinline __u64 ls_chain_of(struct task_struct *task, struct ls_thread *thread,
                                    __u64 instance, const struct ls_poll *poll, bool *same) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 state, frame, instruction = 0;
  state = python ? ls_learn_thread_state(task, thread, python, poll->now) : 0;
  frame = state ? ls_first_frame(python, state) : 0;
  if (frame) instruction = ls_read_word(frame + python->frame_instruction);
  *same = thread->same_ns && poll->now - thread->same_ns < LS_SAME_HOLDS_NS &&
          thread->same_instance == instance && thread->same_frame == frame &&
          thread->same_instruction == instruction && thread->same_stack == poll->stack_pointer;
  if (*same) return 0;
  thread->same_ns = 0;
  thread->same_instance = instance;
  thread->same_frame = frame;
  thread->same_instruction = instruction;
  thread->same_stack = poll->stack_pointer;
  return frame ? ls_chain_at(python, frame) : 0;
}

#endif
