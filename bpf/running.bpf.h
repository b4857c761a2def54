// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Does a loop run? While it does, its run method is on the stack of its thread: run_forever came
// back between two calls of run_until_complete, and what the thread does then is none of the
// loop's.
//
// What makes it right: a Python loop is known by the code object of the method in which it polls
// and, where several loops may run it on one thread, by the method's first argument. A loop whose
// poll call native code makes is known by the Python frame that called that code: the loop runs as
// long as this frame is there and stands at the same instruction. Frames that cannot be read up to
// the outermost tell nothing, and then a loop is taken to run on.
#ifndef LOOPSIGHT_BPF_RUNNING_H
#define LOOPSIGHT_BPF_RUNNING_H

#include "frames.bpf.h"

static __always_inline struct ls_run *ls_run_of(__u32 row) {
  return bpf_map_lookup_elem(&runs, &row);
}

// User space looks at no row beyond the last one that was ever given.
static __always_inline void ls_note_row(__u32 row) {
  __u32 zero = 0;
  struct ls_run *all = bpf_map_lookup_elem(&runs, &zero);
  if (all && all->last_row < row) all->last_row = row;
}

// Has the walks that follow look for the run method of a row's loop; row 0: for none.
static __always_inline void ls_look_for(__u32 row) {
  __u32 zero = 0;
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  struct ls_run *run = row ? ls_run_of(row) : NULL;
  if (!buffer) return;
  buffer->met = 0;
  buffer->met_self = 0;
  buffer->wanted_code = run ? run->code : 0;
  buffer->wanted_self = run ? run->self : 0;
  buffer->wanted_anchor = run && run->flags & LS_RUN_BY_ANCHOR ? run->anchor : 0;
  buffer->wanted_instruction = run ? run->anchor_instruction : 0;
}

// What the last walk, which read `stack` at `now`, says of a row's loop: 1 it runs, 0 it does not,
// -1 it cannot be told.
static __always_inline int ls_was_met(__u32 row, const struct ls_stack *stack, __u64 now) {
  __u32 zero = 0;
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  struct ls_run *run = ls_run_of(row);
  if (!run || !buffer || !(run->flags & LS_RUN_TRACKED)) return -1;
  if (run->flags & LS_RUN_BY_ANCHOR ? !run->anchor : !run->code) return -1;
  if (buffer->met) {
    run->base = buffer->base_frame;
    run->inside_ns = now;
    return 1;
  }
  return stack->count && stack->end == LS_STACK_COMPLETE && buffer->base_frame == run->base ? 0
                                                                                            : -1;
}

// Walks the frames of the running thread to see whether a row's loop runs.
static __noinline int ls_is_running(__u32 row, struct task_struct *task, struct ls_thread *thread) {
  __u32 zero = 0;
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  struct ls_run *run = ls_run_of(row);
  int met;
  if (!buffer || !run || !(run->flags & LS_RUN_TRACKED)) return -1;
  ls_look_for(row);
  ls_walk(ls_thread_pointer(task), thread, &buffer->stack);
  met = ls_was_met(row, &buffer->stack, bpf_ktime_get_ns());
  ls_look_for(0);
  return met;
}

// A loop enters its own poll call: by what can it be known until the next one?
static __noinline int ls_note_running(__u32 row, struct task_struct *task,
                                      struct ls_thread *thread) {
  __u32 zero = 0;
  struct ls_run *run = ls_run_of(row);
  struct ls_scratch *buffer;
  __u64 frame;
  if (!run || !thread) return 0;
  if (run->flags & LS_RUN_BY_ANCHOR) {
    frame = thread->thread_state ? ls_read_word(thread->thread_state + run->thread_frame) : 0;
    if (frame && run->cframe_frame != LS_NO_OFFSET) frame = ls_read_word(frame + run->cframe_frame);
    run->anchor = frame;
    run->anchor_instruction = frame ? ls_read_word(frame + run->frame_instruction) : 0;
  }
  if (run->base && (run->self || !(run->flags & LS_RUN_BY_SELF))) return 0;
  buffer = bpf_map_lookup_elem(&scratch, &zero);
  if (!buffer) return 0;
  ls_look_for(row);
  if (ls_walk(ls_thread_pointer(task), thread, &buffer->stack)) {
    if (run->flags & LS_RUN_BY_SELF) run->self = buffer->met_self;
    run->base = buffer->base_frame;
  }
  ls_look_for(0);
  return 0;
}

#endif
