// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where a loop's stack goes on beyond the end of a greenlet's: blocking code under asyncio (all of
// SQLAlchemy's) runs in a greenlet with a stack of its own, to which a coroutine has switched.
//
// What makes it right: that coroutine belongs to the task that runs. From the task's own coroutine
// each one leads to the next: what it awaits lies among its local variables and its value stack,
// and of all objects there only the frame of the awaited one says that this frame has called it.
#ifndef LOOPSIGHT_BPF_SWITCHED_H
#define LOOPSIGHT_BPF_SWITCHED_H

#include "objects.bpf.h"

#define LS_MOST_SLOTS 64  // of one frame that are looked at
#define LS_MOST_AWAITS 32
#define LS_MOST_RUNNING 8  // entries of the dict of running tasks

// Whether a walk looks for a loop.
static __always_inline bool ls_is_wanted(const struct ls_scratch *buffer) {
  return buffer->wanted_code || buffer->wanted_anchor;
}

// The task that runs on the loop that is looked for; 0 where none does.
static __noinline __u64 ls_running_task(const struct ls_python *python, __u64 state,
                                        const struct ls_scratch *buffer) {
  __u64 keys, entry, word;
  if (!python || !buffer) return 0;
  if (python->thread_task != LS_NO_OFFSET) return ls_read_word(state + python->thread_task);
  if (!python->current_tasks) return 0;
  // PyDictObject: ma_used, ma_version_tag, ma_keys; PyDictKeysObject: see python_objects.cpp.
  keys = ls_read_word(python->current_tasks + python->object_bytes + 16);
  word = ls_read_word(keys + 8);  // 3.11 and newer: the second byte is log2 of the indices' bytes
  if (python->minor >= 11) {
    __u32 log2 = (__u32)(word >> 8) & 0xff;
    if (log2 > 16) return 0;
    entry = keys + 32 + (1ULL << log2);
  } else {
    if (word > 0xff) return 0;
    entry = keys + 40 + word;
  }
  for (int i = 0; i < LS_MOST_RUNNING; i++, entry += 24) {
    __u64 loop = ls_read_word(entry + 8);
    __u64 task = ls_read_word(entry + 16);
    if (loop && task && (!buffer->wanted_self || buffer->wanted_self == loop)) return task;
  }
  return 0;
}

// The frame of a coroutine or generator.
static __always_inline __u64 ls_generator_frame(const struct ls_python *python, __u64 object) {
  __u64 frame = object + python->generator_frame;
  return python->minor >= 11 ? frame : ls_read_word(frame);
}

// The frame of `object` where `frame` has called it, be it through the entry of a C call.
static __noinline __u64 ls_called_from(const struct ls_python *python, __u64 object, __u64 frame) {
  __u64 inner, previous;
  if (!python || object < 4096) return 0;
  inner = ls_generator_frame(python, object);
  previous = inner ? ls_read_word(inner + python->frame_previous) : 0;
  if (!previous) return 0;
  if (previous == frame || ls_read_word(previous + python->frame_previous) == frame) return inner;
  return 0;
}

struct ls_inward {
  const struct ls_python *python;
  struct ls_scratch *buffer;
  __u64 frame;
};

static long ls_inward_step(__u32 round, struct ls_inward *inward) {
  const struct ls_python *python = inward->python;
  __u64 object, inner;
  __u64 slot = inward->buffer->slot++;
  if (slot >= LS_MOST_SLOTS) return 1;
  object = ls_read_word(inward->frame + python->frame_locals + 8 * slot) & ~7ULL;
  if (object < 4096) return 0;
  inner = ls_called_from(python, object, inward->frame);
  // What __await__ gives, and an asynchronous generator's next item, refer to it first of all.
  if (!inner)
    inner = ls_called_from(python, ls_read_word(object + python->object_bytes), inward->frame);
  if (!inner || inner == inward->frame) return 0;
  inward->frame = inner;
  inward->buffer->slot = 0;
  return 0;
}

// The innermost frame of the running task outside of the greenlet that runs; 0 not known.
static __noinline __u64 ls_switched_from(const struct ls_python *python, __u64 state,
                                         struct ls_scratch *buffer) {
  struct ls_inward inward = {.python = python, .buffer = buffer};
  __u64 task;
  if (!python || !buffer || python->task_name == LS_NO_OFFSET) return 0;
  if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) return 0;
  task = ls_running_task(python, state, buffer);
  // TaskObj: task_coro, task_name.
  inward.frame = task ? ls_read_word(task + python->task_name - 8) : 0;
  if (!inward.frame) return 0;
  inward.frame = ls_generator_frame(python, inward.frame);
  buffer->slot = 0;
  bpf_loop(LS_MOST_SLOTS * LS_MOST_AWAITS, ls_inward_step, &inward, 0);
  return inward.frame;
}

#endif
