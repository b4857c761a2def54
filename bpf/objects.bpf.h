// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Objects of CPython in the memory of the running thread: thread states, integers, tasks, and what
// asyncio's iteration is at. Nothing here faults or waits: what is not resident is not read.
#ifndef LOOPSIGHT_BPF_OBJECTS_H
#define LOOPSIGHT_BPF_OBJECTS_H

#include "code_identity.h"
#include "processor.bpf.h"
#include "state.bpf.h"

// Has the compiler test a size in all its 64 bits: Linux 6.1 takes what a test of the lower half
// says for that half alone.
#define ls_keep_wide(size) asm volatile("" : "+r"(size))

static __always_inline __u64 ls_read_word(__u64 address) {
  __u64 word = 0;
  if (bpf_probe_read_user(&word, sizeof(word), (void *)address)) return 0;
  return word;
}

struct ls_search {
  const struct ls_python *python;
  __u64 pointer;
  __u64 interpreter;
  __u64 state;
  __u64 found;
};

static long ls_search_step(__u32 round, struct ls_search *search) {
  const struct ls_python *python = search->python;
  if (!search->interpreter) return 1;
  if (!search->state) {  // on to the next interpreter
    search->interpreter = ls_read_word(search->interpreter + python->interpreter_next);
    if (!search->interpreter) return 1;
    search->state = ls_read_word(search->interpreter + python->interpreter_threads);
    return 0;
  }
  // Of several states of one thread (subinterpreters) the one with a frame is at work.
  if (ls_read_word(search->state + python->thread_id) == search->pointer &&
      ls_read_word(search->state + python->thread_frame)) {
    search->found = search->state;
    return 1;
  }
  search->state = ls_read_word(search->state + python->thread_next);
  return 0;
}

// The newest states come first: of a process with thousands of threads a search for the main
// thread's takes a while, which only a poll call that is asked about may (`most`).
__weak __noinline __u64 ls_find_thread_state(const struct ls_python *python, __u64 pointer,
                                             __u32 most) {
  struct ls_search search = {.python = python, .pointer = pointer};
  if (!python) return 0;
  search.interpreter = ls_read_word(python->runtime + python->interpreters_head);
  if (search.interpreter)
    search.state = ls_read_word(search.interpreter + python->interpreter_threads);
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
    bpf_loop(most > LS_MOST_THREADS ? LS_MOST_THREADS : most, ls_search_step, &search, 0);
  } else {
    for (__u32 round = 0; round < LS_MAX_THREADS; round++)
      if (ls_search_step(round, &search)) break;
  }
  return search.found;
}

static __always_inline __u64 ls_first_frame(const struct ls_python *python, __u64 state) {
  __u64 frame = ls_read_word(state + python->thread_frame);
  if (frame && python->cframe_frame != LS_NO_OFFSET)
    frame = ls_read_word(frame + python->cframe_frame);
  return frame;
}

// 0 where it is no code object.
static __always_inline __u32 ls_read_identity(const struct ls_python *python,
                                              struct ls_scratch *buffer, __u64 code) {
  if (bpf_probe_read_user(buffer->code, ls_code_head_bytes(python), (void *)code)) return 0;
  return ls_code_identity(python, buffer->code);
}

// The value of an integer object that is small and not negative; -1 of any other.
static __always_inline long ls_read_integer(const struct ls_python *python, __u64 reference) {
  __u64 object = reference, size;
  __u32 digit = 0;
  if (python->flags & LS_PYTHON_TAGGED) {
    if ((reference & 3) == 3) return (long)(reference >> 2);
    object = reference & ~3ULL;
  }
  if (!object) return -1;
  size = ls_read_word(object + python->object_bytes);
  if (bpf_probe_read_user(&digit, sizeof(digit), (void *)(object + python->object_bytes + 8)))
    return -1;
  // Include/cpython/longintrepr.h: from 3.12 on bits 0 and 1 are the sign (1: zero), the digits
  // are counted from bit 3; before, the size is negative for a negative number.
  if (python->flags & LS_PYTHON_COMPACT_INT) {
    if ((size & 3) == 1) return 0;
    return size >> 3 == 1 && (size & 3) == 0 ? (long)digit : -1;
  }
  if (size == 0) return 0;
  return size == 1 ? (long)digit : -1;
}

// The name of an asyncio task: a string, or the number of "Task-7" (3.13 and newer).
__weak __noinline int ls_read_task(const struct ls_python *python, __u64 task,
                                   struct ls_stack *stack) {
  __u64 name, flags, length;
  __u32 state = 0;
  __u64 kind, size;
  long number;
  if (!python || !stack || !task) return 0;
  name = ls_read_word(task + python->task_name);
  if (!name) return 0;
  flags = ls_read_word(ls_read_word(name + python->object_type) + python->type_name + 144);
  if (flags & 1ULL << 24) {  // Py_TPFLAGS_LONG_SUBCLASS
    number = ls_read_integer(python, name);
    stack->task_number = number > 0 ? (__u32)number : 0;
    return 1;
  }
  if (!(flags & 1ULL << 28)) return 0;  // Py_TPFLAGS_UNICODE_SUBCLASS
  length = ls_read_word(name + python->text_length);
  bpf_probe_read_user(&state, sizeof(state), (void *)(name + python->text_state));
  kind = state >> 2 & 7;
  size = length > LS_TASK_NAME_SIZE ? LS_TASK_NAME_SIZE : length;
  size *= kind;
  ls_keep_wide(size);
  if (size > LS_TASK_NAME_SIZE) size = LS_TASK_NAME_SIZE;
  if (bpf_probe_read_user(
          stack->task, size,
          (void *)(name + (state >> 6 & 1 ? python->text_ascii : python->text_other))))
    return 0;
  stack->task_state = state;
  stack->task_length = length > 0xffffffff ? 0xffffffff : (__u32)length;
  return 1;
}

static __always_inline bool ls_is_task(const struct ls_python *python, __u64 object) {
  static const char wanted[] = "_asyncio.Task";
  char name[sizeof(wanted)] = {};
  __u64 type = object ? ls_read_word(object + python->object_type) : 0;
  if (!type) return false;
  if (bpf_probe_read_user(name, sizeof(name), (void *)ls_read_word(type + python->type_name)))
    return false;
  for (int i = 0; i < (int)sizeof(wanted); i++)
    if (name[i] != wanted[i]) return false;
  return true;
}

// Reads what asyncio's _run_once, whose frame this is, is at: how many callbacks it runs in this
// iteration, which one of them, and, up to 3.13, of which task. `inner` is the frame that it
// called, Handle._run, whose self leads to the callback and that to its task.
__weak __noinline int ls_note_iteration(const struct ls_python *python, __u64 frame, __u64 inner,
                                        struct ls_stack *stack) {
  long ready, index;
  __u64 locals, callback, object;
  if (!python || !stack) return 0;
  locals = frame + python->frame_locals + 8ULL * python->ready_local;
  ready = ls_read_integer(python, ls_read_word(locals));
  index = ls_read_integer(python, ls_read_word(locals + 8));
  if (ready > 0 && ready <= LS_MAX_READY && index >= 0 && index < ready) {
    stack->ready = (__u32)ready;
    stack->ready_index = (__u32)index;
  }
  if (!inner || python->thread_task != LS_NO_OFFSET || python->task_name == LS_NO_OFFSET) return 1;
  // Handle.__slots__ are kept in the order of their names: _args, _callback.
  object = ls_read_word(inner + python->frame_locals);
  callback = object ? ls_read_word(object + python->object_bytes + 8) : 0;
  if (!callback) return 1;
  object = ls_read_word(callback + python->object_bytes);  // TaskStepMethWrapper.sw_task
  if (!ls_is_task(python, object)) {
    object = ls_read_word(callback + python->object_bytes + 8);  // PyCFunctionObject.m_self
    if (!ls_is_task(python, object)) return 1;
  }
  ls_read_task(python, object, stack);
  return 1;
}

#endif
