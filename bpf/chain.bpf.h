// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What stands below a poll call, as one number: the code objects of its Python frames and where
// each of them stands. Whether the call is a loop's follows from these alone where Python code
// makes it, so user space judges each such number once for a process, not each poll call.
#ifndef LOOPSIGHT_BPF_CHAIN_H
#define LOOPSIGHT_BPF_CHAIN_H

#include "frames.bpf.h"

#define LS_STATELESS_NS 1000000000  // a thread without a thread state is looked at again after that

struct ls_chain_walk {
  const struct ls_python *python;
  struct ls_scratch *buffer;
  __u64 frame;
  __u64 chain;
};

static __always_inline __u64 ls_mix_word(__u64 sum, __u64 word) {
  sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
  return sum ^ sum >> 29;
}

static long ls_chain_step(__u32 round, struct ls_chain_walk *walk) {
  const struct ls_python *python = walk->python;
  struct ls_scratch *buffer = walk->buffer;
  if (!walk->frame) return 1;
  if (bpf_probe_read_user(buffer->frame, python->frame_size & (LS_HEAD_BYTES - 1),
                          (void *)walk->frame))
    return 1;
  walk->frame = ls_field(buffer->frame, python->frame_previous);
  if (python->frame_owner != LS_NO_OFFSET &&
      buffer->frame[python->frame_owner & (LS_HEAD_BYTES - 1)] >= 3)
    return 0;
  walk->chain = ls_mix_word(walk->chain, ls_field(buffer->frame, python->frame_code));
  walk->chain = ls_mix_word(walk->chain, ls_field(buffer->frame, python->frame_instruction));
  return 0;
}

// The thread state of the running thread, searched for as far as it takes; 0 where it has none.
static __noinline __u64 ls_learn_thread_state(struct task_struct *task, struct ls_thread *thread,
                                              const struct ls_python *python, __u64 now) {
  __u64 pointer = ls_thread_pointer(task);
  if (thread->thread_state && ls_read_word(thread->thread_state + python->thread_id) == pointer)
    return thread->thread_state;
  if (thread->stateless_ns && now - thread->stateless_ns < LS_STATELESS_NS) return 0;
  thread->thread_state = ls_find_thread_state(python, pointer, LS_MOST_THREADS);
  thread->stateless_ns = thread->thread_state ? 0 : now;
  return thread->thread_state;
}

// 0 where no frames can be read.
static __noinline __u64 ls_chain_at(const struct ls_python *python, __u64 frame) {
  __u32 zero = 0;
  struct ls_chain_walk walk = {.python = python, .frame = frame, .chain = 1};
  walk.buffer = bpf_map_lookup_elem(&scratch, &zero);
  if (!walk.buffer || !frame) return 0;
  LS_REPEAT(LS_MAX_FRAMES + LS_MAX_SHIMS, ls_chain_step, &walk);
  return walk.chain == 1 ? 0 : walk.chain | 1;
}

#endif
