// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Python frames of the running thread, read from its own memory.
//
// What makes it right: the walk is done by the thread itself, at the moment it leaves the CPU or in
// a tick of its own CPU clock, so its frames cannot change meanwhile; the thread state is believed
// only while its thread_id is this thread's pointer, a frame only while its code object's type is
// PyCode_Type. Only addresses are kept; the names of a code object are sent once, when a stall
// needs them. Nothing here faults or waits: a page that is not resident ends the walk.
#ifndef LOOPSIGHT_BPF_FRAMES_H
#define LOOPSIGHT_BPF_FRAMES_H

#include "processor.bpf.h"
#include "state.bpf.h"

static __always_inline __u64 ls_read_word(__u64 address) {
  __u64 word = 0;
  if (bpf_probe_read_user(&word, sizeof(word), (void *)address)) return 0;
  return word;
}

__weak __noinline __u64 ls_find_thread_state(const struct ls_python *python, __u64 pointer) {
  __u64 interpreter, state;
  if (!python) return 0;
  interpreter = ls_read_word(python->runtime + python->interpreters_head);
  state = interpreter ? ls_read_word(interpreter + python->interpreter_threads) : 0;
  for (int i = 0; i < LS_MAX_THREADS; i++) {
    if (!interpreter) break;
    if (!state) {  // on to the next interpreter
      interpreter = ls_read_word(interpreter + python->interpreter_next);
      if (!interpreter) break;
      state = ls_read_word(interpreter + python->interpreter_threads);
      continue;
    }
    // Of several states of one thread (subinterpreters) the one with a frame is at work.
    if (ls_read_word(state + python->thread_id) == pointer &&
        ls_read_word(state + python->thread_frame))
      return state;
    state = ls_read_word(state + python->thread_next);
  }
  return 0;
}

static __always_inline __u64 ls_first_frame(const struct ls_python *python, __u64 state) {
  __u64 frame = ls_read_word(state + python->thread_frame);
  if (frame && python->cframe_frame != LS_NO_OFFSET)
    frame = ls_read_word(frame + python->cframe_frame);
  return frame;
}

static __always_inline __u64 ls_field(const struct ls_scratch *buffer, __u16 offset) {
  __u64 word;
  __builtin_memcpy(&word, buffer->frame + (offset & (LS_FRAME_BYTES - 1)), sizeof(word));
  return word;
}

// Walks the frames of a thread state into `stack`; 0 where there are none to read. A global
// function, so that it is verified once and not at each call; the count is kept in memory, or the
// verifier would follow every combination of it and the loop.
__weak __noinline int ls_walk_state(const struct ls_python *python, __u64 state,
                                    struct ls_stack *stack) {
  __u32 zero = 0;
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  __u64 frame;
  __u32 size;

  if (!stack || !python || !buffer) return 0;
  stack->count = 0;
  stack->end = LS_STACK_CUT;
  size = python->frame_size & (LS_FRAME_BYTES - 1);
  frame = ls_first_frame(python, state);
  for (int i = 0; i < LS_MAX_FRAMES + LS_MAX_SHIMS; i++) {
    __u64 code;
    __u32 at;
    if (!frame) {
      stack->end = LS_STACK_COMPLETE;
      break;
    }
    if (bpf_probe_read_user(buffer->frame, size, (void *)frame)) {
      ls_count(LS_COUNT_STACK_UNMAPPED);
      stack->end = LS_STACK_UNMAPPED;
      break;
    }
    frame = ls_field(buffer, python->frame_previous);
    // Owners from 3 on are the entries of C calls (CPython 3.12 and newer).
    if (python->frame_owner != LS_NO_OFFSET &&
        buffer->frame[python->frame_owner & (LS_FRAME_BYTES - 1)] >= 3)
      continue;
    // From 3.13 on the low bits are a tag.
    code = ls_field(buffer, python->frame_code) & ~7ULL;
    if (!code || ls_read_word(code + python->object_type) != python->code_type) {
      ls_count(LS_COUNT_STACK_TORN);
      stack->end = LS_STACK_TORN;
      break;
    }
    at = stack->count;
    if (at >= LS_MAX_FRAMES) break;
    stack->frames[at].code = code;
    stack->frames[at].instruction = ls_field(buffer, python->frame_instruction);
    stack->count = at + 1;
  }
  return stack->count > 0;
}

// Walks the frames of the running thread, whose thread pointer is `pointer`.
__weak __noinline int ls_walk(__u64 pointer, struct ls_thread *thread, struct ls_stack *stack) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python;

  if (!stack || !thread) return 0;
  stack->count = 0;
  stack->end = LS_STACK_NONE;
  python = bpf_map_lookup_elem(&pythons, &tgid);
  if (!python) return 0;
  if (!thread->thread_state || ls_read_word(thread->thread_state + python->thread_id) != pointer) {
    thread->thread_state = ls_find_thread_state(python, pointer);
    if (!thread->thread_state) {
      ls_count(LS_COUNT_NO_THREAD_STATE);
      return 0;
    }
  }
  return ls_walk_state(python, thread->thread_state, stack);
}

// A futex wait of the running thread on a word inside the interpreter lock's structure is a wait
// for that lock: its condition and mutexes stand in bytes 32 to 208 (ceval_gil.h, glibc x86-64).
// Notes who has it and what that thread is doing.
__weak __noinline int ls_check_gil(__u64 address, struct ls_thread *thread, struct ls_stack *holder,
                                   __u32 *tid) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 gil, state;
  if (!python || !thread || !holder || !tid || !thread->thread_state) return 0;
  gil = python->runtime + python->runtime_gil;
  if (python->interpreter_gil != LS_NO_OFFSET) {
    gil = ls_read_word(thread->thread_state + python->thread_interpreter);
    if (gil) gil = ls_read_word(gil + python->interpreter_gil);
  }
  if (!gil || address - gil - 32 >= 208 - 32) return 0;
  *tid = 0;
  state = ls_read_word(gil + 8);  // last_holder
  if (!state || state == thread->thread_state || !ls_walk_state(python, state, holder)) {
    holder->count = 0;
    return 1;
  }
  if (python->thread_native != LS_NO_OFFSET)
    *tid = (__u32)ls_read_word(state + python->thread_native);
  return 1;
}

static __always_inline void ls_read_text(const struct ls_python *python, __u64 object,
                                         struct ls_text *text) {
  __u64 length = ls_read_word(object + python->text_length);
  __u32 state = 0, kind, size;
  bpf_probe_read_user(&state, sizeof(state), (void *)(object + python->text_state));
  // Include/cpython/unicodeobject.h: bits 2 to 4 are the bytes of a character, bit 6 says ASCII.
  kind = state >> 2 & 7;
  size = length > LS_CODE_NAME_SIZE ? LS_CODE_NAME_SIZE : (__u32)length;
  size *= kind;
  if (size > LS_CODE_NAME_SIZE) size = LS_CODE_NAME_SIZE;
  text->state = state;
  text->length = length > 0xffffffff ? 0xffffffff : (__u32)length;
  if (bpf_probe_read_user(
          text->bytes, size,
          (void *)(object + (state >> 6 & 1 ? python->text_ascii : python->text_other))))
    text->length = 0;
}

// Sends the names and lines of a code object, unless they were sent for this very one.
__weak __noinline int ls_send_code(__u64 code, __u64 now) {
  __u64 id = bpf_get_current_pid_tgid();
  __u32 tgid = (__u32)(id >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  struct ls_code_key key = {.code = code, .tgid = tgid};
  struct ls_code_identity identity = {}, *known;
  struct ls_code *record;
  __u64 size;
  __u32 part;
  if (!python) return 0;
  if (ls_read_word(code + python->object_type) != python->code_type) {
    ls_count(LS_COUNT_CODE_UNREADABLE);
    return 0;
  }
  identity.filename = ls_read_word(code + python->code_filename);
  identity.name = ls_read_word(code + python->code_name);
  identity.lines = ls_read_word(code + python->code_lines);
  known = bpf_map_lookup_elem(&codes, &key);
  if (known && known->filename == identity.filename && known->name == identity.name &&
      known->lines == identity.lines)
    return 0;
  record = LS_RESERVE(ls_code, LS_KIND_CODE, now, tgid, (__u32)id);
  if (!record) return 0;
  record->code = code;
  record->adaptive = code + python->code_adaptive;
  record->first_line = 0;
  bpf_probe_read_user(&record->first_line, sizeof(record->first_line),
                      (void *)(code + python->code_first_line));
  ls_read_text(python, identity.filename, &record->filename);
  ls_read_text(python, identity.name, &record->name);
  size = ls_read_word(identity.lines + python->bytes_size);
  record->lines_size = size > 0xffffffff ? 0xffffffff : (__u32)size;
  part = size > LS_CODE_LINES_SIZE ? LS_CODE_LINES_SIZE : (__u32)size;
  if (bpf_probe_read_user(record->lines, part, (void *)(identity.lines + python->bytes_data)))
    record->lines_size = 0;
  bpf_ringbuf_submit(record, 0);
  bpf_map_update_elem(&codes, &key, &identity, BPF_ANY);
  return 1;
}

static __always_inline void ls_send_stack(struct ls_loop *loop, __u32 row, __u32 source,
                                          const struct ls_stack *stack, __u32 holder_tid,
                                          __u64 now) {
  struct ls_stack_record *record;
  if (stack->count == 0) return;
  for (__u32 i = 0; i < LS_MAX_FRAMES; i++) {
    if (i >= stack->count) break;
    ls_send_code(stack->frames[i].code, now);
  }
  record = LS_RESERVE(ls_stack_record, LS_KIND_STACK, now, loop->tgid, loop->tid);
  if (!record) return;
  record->row = row;
  record->generation = loop->generation;
  record->phase_start_ns = loop->phase_start_ns;
  record->source = source;
  record->holder_tid = holder_tid;
  bpf_probe_read_kernel(&record->stack, sizeof(record->stack), stack);
  bpf_ringbuf_submit(record, 0);
}

#endif
