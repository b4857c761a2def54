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

// Calls step(i, context) for i from 0 on, at most `most` times or until it returns 1. The helper
// for that (Linux 5.17) has the verifier look at a step once, where an ordinary loop has it look at
// each of its rounds: of a hundred, in twenty programs, that is seconds at every start.
#define LS_REPEAT(most, step, context)                                 \
  do {                                                                 \
    if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) { \
      bpf_loop(most, step, context, 0);                                \
    } else {                                                           \
      for (__u32 round = 0; round < (most); round++)                   \
        if (step(round, context)) break;                               \
    }                                                                  \
  } while (0)

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

__weak __noinline __u64 ls_find_thread_state(const struct ls_python *python, __u64 pointer) {
  struct ls_search search = {.python = python, .pointer = pointer};
  if (!python) return 0;
  search.interpreter = ls_read_word(python->runtime + python->interpreters_head);
  if (search.interpreter)
    search.state = ls_read_word(search.interpreter + python->interpreter_threads);
  LS_REPEAT(LS_MAX_THREADS, ls_search_step, &search);
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
  if (bpf_probe_read_user(buffer->code, LS_CODE_HEAD_BYTES, (void *)code)) return 0;
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

struct ls_walk {
  const struct ls_python *python;
  struct ls_stack *stack;
  struct ls_scratch *buffer;
  __u64 frame;
  __u64 inner;  // the frame before, which this one called
};

static long ls_walk_step(__u32 round, struct ls_walk *walk) {
  const struct ls_python *python = walk->python;
  struct ls_scratch *buffer = walk->buffer;
  struct ls_stack *stack = walk->stack;
  __u64 code, instruction, address = walk->frame;
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
  identity = code ? ls_read_identity(python, buffer, code) : 0;
  if (!identity) {
    ls_count(LS_COUNT_STACK_TORN);
    stack->end = LS_STACK_TORN;
    return 1;
  }
  at = stack->count;
  if (at >= LS_MAX_FRAMES) return 1;
  if (at == 0) {
    buffer->leaf_frame = address;
    buffer->leaf_instruction = instruction;
  }
  if (code == python->run_once) {
    buffer->run_once_frame = address;
    buffer->run_once_inner = walk->inner;
  }
  if (python->code_thread_bytecode != LS_NO_OFFSET) {
    // Each thread runs a copy of the instructions: say which one it is in the original.
    __u64 copies = ls_read_word(code + python->code_thread_bytecode);
    __u32 number = (__u32)ls_field(buffer->frame, python->frame_thread_bytecode);
    __u64 copy = copies ? ls_read_word(copies + 8 + 8ULL * number) : 0;
    if (copy) instruction += code + python->code_adaptive - copy;
  }
  if (python->minor >= 11) instruction -= code;
  stack->frames[at].code = code;
  stack->frames[at].offset = instruction > 0xffffffff ? 0xffffffff : (__u32)instruction;
  stack->frames[at].identity = identity;
  stack->count = at + 1;
  walk->inner = address;
  return 0;
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
  stack->flags = 0;
  stack->ready = 0;
  stack->task_number = 0;
  stack->task_length = 0;
  stack->callee[0] = 0;
  walk.buffer->run_once_frame = 0;
  walk.frame = ls_first_frame(python, state);
  LS_REPEAT(LS_MAX_FRAMES + LS_MAX_SHIMS, ls_walk_step, &walk);
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
    thread->thread_state = ls_find_thread_state(python, pointer);
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

static __always_inline __u64 ls_gil(const struct ls_python *python, __u64 state) {
  __u64 interpreter;
  if (python->interpreter_gil == LS_NO_OFFSET) return python->runtime + python->runtime_gil;
  interpreter = ls_read_word(state + python->thread_interpreter);
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
// Notes who has it and what that thread is doing.
__weak __noinline int ls_check_gil(__u64 address, struct ls_thread *thread, struct ls_stack *holder,
                                   __u32 *tid) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  __u64 gil, state, conditions;
  if (!python || !thread || !holder || !tid || !thread->thread_state) return 0;
  gil = ls_gil(python, thread->thread_state);
  if (!gil) return 0;
  if (python->gil_enabled != LS_NO_OFFSET && !(__u32)ls_read_word(gil + python->gil_enabled))
    return 0;
  conditions = gil + python->gil_holder + 24;
  if (address - conditions >= 176 &&
      !(python->flags & LS_PYTHON_MUSL &&
        (ls_waits_on_musl(conditions, address) || ls_waits_on_musl(conditions + 88, address))))
    return 0;
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

static __always_inline void ls_read_text(const struct ls_python *python, __u64 object,
                                         struct ls_text *text) {
  __u64 length = ls_read_word(object + python->text_length);
  __u32 state = 0;
  __u64 kind, size;
  bpf_probe_read_user(&state, sizeof(state), (void *)(object + python->text_state));
  // Include/cpython/unicodeobject.h: bits 2 to 4 are the bytes of a character, bit 6 says ASCII.
  kind = state >> 2 & 7;
  size = length > LS_CODE_NAME_SIZE ? LS_CODE_NAME_SIZE : length;
  size *= kind;
  ls_keep_wide(size);
  if (size > LS_CODE_NAME_SIZE) size = LS_CODE_NAME_SIZE;
  text->state = state;
  text->length = length > 0xffffffff ? 0xffffffff : (__u32)length;
  if (bpf_probe_read_user(
          text->bytes, size,
          (void *)(object + (state >> 6 & 1 ? python->text_ascii : python->text_other))))
    text->length = 0;
}

// Sends the names and lines of the code object that a frame ran, unless they were sent before; not
// where another one has taken its place since.
__weak __noinline int ls_send_code(const struct ls_frame *frame, __u64 now) {
  __u64 id = bpf_get_current_pid_tgid();
  __u32 tgid = (__u32)(id >> 32), zero = 0, part, known = 1;
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  struct ls_code_key key = {.tgid = tgid};
  struct ls_code *record;
  __u64 code, size, lines;
  if (!python || !buffer || !frame) return 0;
  code = key.code = frame->code;
  key.identity = frame->identity;
  if (bpf_map_lookup_elem(&codes, &key)) return 0;
  if (ls_read_identity(python, buffer, code) != key.identity) {
    ls_count(LS_COUNT_CODE_REPLACED);
    return 0;
  }
  record = LS_RESERVE(ls_code, LS_KIND_CODE, now, tgid, (__u32)id);
  if (!record) return 0;
  record->code = code;
  record->identity = key.identity;
  record->adaptive = python->code_adaptive;
  record->first_line = 0;
  bpf_probe_read_user(&record->first_line, sizeof(record->first_line),
                      (void *)(code + python->code_first_line));
  ls_read_text(python, ls_read_word(code + python->code_filename), &record->filename);
  ls_read_text(python, ls_read_word(code + python->code_name), &record->name);
  lines = ls_read_word(code + python->code_lines);
  size = ls_read_word(lines + python->bytes_size);
  record->lines_size = size > 0xffffffff ? 0xffffffff : (__u32)size;
  part = size > LS_CODE_LINES_SIZE ? LS_CODE_LINES_SIZE : (__u32)size;
  if (bpf_probe_read_user(record->lines, part, (void *)(lines + python->bytes_data)))
    record->lines_size = 0;
  if (!record->filename.length || !record->name.length) ls_count(LS_COUNT_CODE_UNREADABLE);
  bpf_ringbuf_submit(record, 0);
  bpf_map_update_elem(&codes, &key, &known, BPF_ANY);
  return 1;
}

// What a stack record says beside the stack.
struct ls_stack_facts {
  __u32 row;
  __u32 source;  // enum ls_stack_source
  __u32 holder_tid;
  __u32 cause;
  __u64 slice_start_ns;
  __u64 slice_ns;
};

static __noinline void ls_send_stack(struct ls_loop *loop, struct ls_stack *stack,
                                     const struct ls_stack_facts *facts, __u64 now) {
  struct ls_stack_record *record;
  if (stack->count == 0) return;
  for (__u32 i = 0; i < LS_MAX_FRAMES; i++) {
    if (i >= stack->count) break;
    ls_send_code(&stack->frames[i], now);
  }
  record = LS_RESERVE(ls_stack_record, LS_KIND_STACK, now, loop->tgid, loop->tid);
  if (!record) return;
  record->row = facts->row;
  record->generation = loop->generation;
  record->phase_start_ns = loop->phase_start_ns;
  record->source = facts->source;
  record->holder_tid = facts->holder_tid;
  record->slice_start_ns = facts->slice_start_ns;
  record->slice_ns = facts->slice_ns;
  record->cause = facts->cause;
  record->pad = 0;
  bpf_probe_read_kernel(&record->stack, sizeof(record->stack), stack);
  bpf_ringbuf_submit(record, 0);
}

#endif
