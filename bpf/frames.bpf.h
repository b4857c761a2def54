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

#include "objects.bpf.h"
#include "switched.bpf.h"

struct ls_walk {
  const struct ls_python *python;
  struct ls_stack *stack;
  struct ls_scratch *buffer;
  __u64 frame;
  __u64 inner;  // the frame before, which this one called
  __u64 inner_code;
};

// Where the frame number `at` is kept: of a deep stack both ends are. What comes after the first
// LS_MAX_FRAMES takes the places of those in the middle, one after the other.
static __always_inline __u32 ls_place(__u32 at) {
  return at < LS_MAX_FRAMES ? at : LS_INNER_FRAMES + (at - LS_INNER_FRAMES) % LS_OUTER_FRAMES;
}

static long ls_walk_step(__u32 round, struct ls_walk *walk) {
  const struct ls_python *python = walk->python;
  struct ls_scratch *buffer = walk->buffer;
  struct ls_stack *stack = walk->stack;
  __u64 code, instruction, place, address = walk->frame;
  __u32 at, identity;
  if (!address) {
    stack->end = LS_STACK_COMPLETE;
    return 1;
  }
  if (bpf_probe_read_user(buffer->frame, python->frame_size & (LS_HEAD_BYTES - 1),
                          (void *)address)) {
    ls_count(LS_COUNT_STACK_UNMAPPED);
    stack->end = LS_STACK_UNMAPPED;
    return 1;
  }
  walk->frame = ls_field(buffer->frame, python->frame_previous);
  // Owners from 3 on are the entries of C calls (CPython 3.12 and newer).
  if (python->frame_owner != LS_NO_OFFSET &&
      buffer->frame[python->frame_owner & (LS_HEAD_BYTES - 1)] >= 3)
    return 0;
  // From 3.13 on the low bits are a tag.
  code = ls_field(buffer->frame, python->frame_code) & ~7ULL;
  instruction = ls_field(buffer->frame, python->frame_instruction);
  at = buffer->total;
  // Most of a deep stack is passed over; what stays of it is looked at when its end is known.
  identity = code && at < LS_MAX_FRAMES ? ls_read_identity(python, buffer, code) : 0;
  if (!identity && (at < LS_MAX_FRAMES || !code)) {
    ls_count(LS_COUNT_STACK_TORN);
    stack->end = LS_STACK_TORN;
    return 1;
  }
  if (at >= LS_DEEPEST) return 1;
  if (at == 0) {
    buffer->leaf_frame = address;
    buffer->leaf_instruction = instruction;
  }
  buffer->base_frame = address;
  if (code == python->run_once) {
    buffer->run_once_frame = address;
    buffer->run_once_inner = walk->inner;
  }
  if (code == buffer->wanted_code && buffer->wanted_code) {
    __u64 self = ls_read_word(address + python->frame_locals) & ~7ULL;
    if (!buffer->met_self) {
      buffer->met_self = self;
      buffer->met_inner = walk->inner_code;
    }
    if (!buffer->wanted_self || buffer->wanted_self == self) buffer->met = 1;
  }
  if (address == buffer->wanted_anchor && instruction == buffer->wanted_instruction) {
    buffer->met = 1;
    buffer->met_at = at + 1;
  }
  if (python->code_thread_bytecode != LS_NO_OFFSET) {
    // Each thread runs a copy of the instructions: say which one it is in the original.
    __u64 copies = ls_read_word(code + python->code_thread_bytecode);
    __u32 number = (__u32)ls_field(buffer->frame, python->frame_thread_bytecode);
    __u64 copy = copies ? ls_read_word(copies + 8 + 8ULL * number) : 0;
    if (copy) instruction += code + python->code_adaptive - copy;
  }
  if (python->minor >= 11) instruction -= code;
  buffer->total = at + 1;
  place = ls_place(at);
  ls_keep_wide(place);
  if (place >= LS_MAX_FRAMES) return 1;
  stack->frames[place].code = code;
  stack->frames[place].offset = instruction > 0xffffffff ? 0xffffffff : (__u32)instruction;
  stack->frames[place].identity = identity;
  if (stack->count <= place) stack->count = (__u32)place + 1;
  walk->inner = address;
  walk->inner_code = code;
  return 0;
}

struct ls_turn {
  const struct ls_python *python;
  struct ls_stack *stack;
  struct ls_scratch *buffer;
  __u32 first;
};

static long ls_turn_step(__u32 round, struct ls_turn *turn) {
  __u64 from = (turn->first + round) % LS_OUTER_FRAMES;
  __u64 to = LS_INNER_FRAMES + (__u64)round;
  struct ls_frame *frame;
  ls_keep_wide(from);
  ls_keep_wide(to);
  if (from >= LS_OUTER_FRAMES || to >= LS_MAX_FRAMES) return 1;
  frame = &turn->stack->frames[to];
  *frame = turn->buffer->turned[from];
  if (!frame->identity) frame->identity = ls_read_identity(turn->python, turn->buffer, frame->code);
  return 0;
}

// Brings the outer end of a deep stack into its order.
static __noinline int ls_turn_outer(const struct ls_python *python, struct ls_stack *stack,
                                    struct ls_scratch *buffer, __u32 total) {
  struct ls_turn turn = {.python = python, .stack = stack, .buffer = buffer};
  if (!stack || !buffer || total <= LS_MAX_FRAMES) return 0;
  turn.first = (total - LS_INNER_FRAMES) % LS_OUTER_FRAMES;
  bpf_probe_read_kernel(buffer->turned, sizeof(buffer->turned), &stack->frames[LS_INNER_FRAMES]);
  LS_REPEAT(LS_OUTER_FRAMES, ls_turn_step, &turn);
  stack->left_out = (__u16)(total - LS_MAX_FRAMES);
  stack->end = LS_STACK_CUT;
  return 1;
}

static __always_inline void ls_walk_on(struct ls_walk *walk) {
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
    bpf_loop(LS_DEEPEST + LS_MAX_SHIMS, ls_walk_step, walk, 0);
  } else {
    for (__u32 round = 0; round < LS_MAX_FRAMES + LS_MAX_SHIMS; round++)
      if (walk->buffer->total >= LS_MAX_FRAMES || ls_walk_step(round, walk)) break;
  }
}

// Walks the frames of a thread state into `stack`; 0 where there are none to read. A global
// function, so that it is verified once in a program and not at each call.
__weak __noinline int ls_walk_state(const struct ls_python *python, __u64 state,
                                    struct ls_stack *stack) {
  __u32 zero = 0;
  struct ls_walk walk = {.python = python, .stack = stack};
  walk.buffer = bpf_map_lookup_elem(&scratch, &zero);
  if (!stack || !python || !walk.buffer) return 0;
  stack->count = 0;
  stack->end = LS_STACK_CUT;
  stack->left_out = 0;
  stack->flags = 0;
  stack->outside = 0;
  stack->ready = 0;
  stack->task_number = 0;
  stack->task_length = 0;
  stack->callee[0] = 0;
  walk.buffer->run_once_frame = 0;
  walk.buffer->total = 0;
  walk.buffer->met_at = 0;
  walk.buffer->met = 0;
  walk.buffer->met_self = 0;
  walk.buffer->met_inner = 0;
  walk.frame = ls_first_frame(python, state);
  ls_walk_on(&walk);
  if (stack->end == LS_STACK_COMPLETE && ls_is_wanted(walk.buffer) && !walk.buffer->met) {
    // The end of a greenlet's stack, perhaps: the loop goes on in the one that switched to it.
    walk.frame = ls_switched_from(python, state, walk.buffer);
    if (walk.frame) ls_walk_on(&walk);
  }
  if (walk.buffer->total > LS_MAX_FRAMES)
    ls_turn_outer(python, stack, walk.buffer, walk.buffer->total);
  if (walk.buffer->met_at <= LS_INNER_FRAMES)
    stack->outside = (__u16)walk.buffer->met_at;
  else if (walk.buffer->met_at - LS_INNER_FRAMES > stack->left_out)
    stack->outside = (__u16)(walk.buffer->met_at - stack->left_out);
  // Not in the walk itself: all frames of our own that are open at once have 512 bytes.
  if (walk.buffer->run_once_frame)
    ls_note_iteration(python, walk.buffer->run_once_frame, walk.buffer->run_once_inner, stack);
  if (stack->end == LS_STACK_CUT) ls_count(LS_COUNT_STACK_CUT);
  return stack->count > 0;
}

static __always_inline bool ls_has_bit(const __u64 bits[4], __u32 bit) {
  return bits[bit >> 6 & 3] >> (bit & 63) & 1;
}

// The C function that the innermost frame of the last walk is calling: the instruction says where
// on the frame's value stack the callable is. CPython keeps the stack pointer there only from 3.14.
__weak __noinline int ls_read_callee(const struct ls_python *python, struct ls_stack *stack) {
  __u32 zero = 0;
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  __u64 top, slot, callable, type, method;
  __u8 instruction[2] = {};
  if (!python || !stack || !buffer || python->frame_stack_pointer == LS_NO_OFFSET) return 0;
  if (bpf_probe_read_user(instruction, sizeof(instruction), (void *)buffer->leaf_instruction))
    return 0;
  top = ls_read_word(buffer->leaf_frame + python->frame_stack_pointer);
  // From the top: the arguments, self or nothing, the callable (Python/bytecodes.c).
  if (ls_has_bit(python->calls, instruction[0]))
    slot = top - 8ULL * (instruction[1] + 2);
  else if (ls_has_bit(python->keyword_calls, instruction[0]))
    slot = top - 8ULL * (instruction[1] + 3);
  else if (ls_has_bit(python->unpacking_calls, instruction[0]))
    slot = top - 8ULL * 4;
  else
    return 0;
  if (slot < buffer->leaf_frame + python->frame_locals || slot >= top) return 0;
  callable = ls_read_word(slot) & ~7ULL;
  type = callable ? ls_read_word(callable + python->object_type) : 0;
  if (!type) return 0;
  if (type == python->function_type)
    method = ls_read_word(callable + python->object_bytes);  // m_ml
  else if (type == python->method_type)
    method = ls_read_word(callable + python->object_bytes + 24);  // d_method
  else
    return 0;
  bpf_probe_read_user_str(stack->callee, sizeof(stack->callee), (void *)ls_read_word(method));
  return 1;
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
    thread->thread_state = ls_find_thread_state(python, pointer, LS_MAX_THREADS);
    if (!thread->thread_state) {
      ls_count(LS_COUNT_NO_THREAD_STATE);
      return 0;
    }
  }
  if (!ls_walk_state(python, thread->thread_state, stack)) return 0;
  ls_read_callee(python, stack);
  if (python->thread_task != LS_NO_OFFSET && python->task_name != LS_NO_OFFSET)
    ls_read_task(python, ls_read_word(thread->thread_state + python->thread_task), stack);
  return 1;
}

#endif
