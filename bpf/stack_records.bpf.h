// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Stacks on their way to user space: the names of each code object once, then the frames.
#ifndef LOOPSIGHT_BPF_STACK_RECORDS_H
#define LOOPSIGHT_BPF_STACK_RECORDS_H

#include "frames.bpf.h"

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

// Whether the names and lines of the code object that a frame ran were not sent before; not where
// another one has taken its place since.
__weak __noinline int ls_is_new_code(const struct ls_frame *frame) {
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32), zero = 0;
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  struct ls_scratch *buffer = bpf_map_lookup_elem(&scratch, &zero);
  struct ls_code_key key = {.tgid = tgid};
  if (!python || !buffer || !frame) return 0;
  key.code = frame->code;
  key.identity = frame->identity;
  if (bpf_map_lookup_elem(&codes, &key)) return 0;
  if (ls_read_identity(python, buffer, key.code) == key.identity) return 1;
  ls_count(LS_COUNT_CODE_REPLACED);
  return 0;
}

// Sends them.
__weak __noinline int ls_send_code(const struct ls_frame *frame, __u64 now) {
  __u64 id = bpf_get_current_pid_tgid();
  __u32 tgid = (__u32)(id >> 32), part, known = 1;
  struct ls_python *python = bpf_map_lookup_elem(&pythons, &tgid);
  struct ls_code_key key = {.tgid = tgid};
  struct ls_code *record;
  __u64 code, size, lines;
  if (!python || !frame) return 0;
  code = key.code = frame->code;
  key.identity = frame->identity;
  record = ls_reserve_paid(LS_KIND_CODE, sizeof(*record), now, tgid, (__u32)id);
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
  if (!record->filename.length || !record->name.length) {
    ls_count(LS_COUNT_CODE_UNREADABLE);
    known = 0;  // it may be there the next time
  }
  bpf_ringbuf_submit(record, 0);
  if (known) bpf_map_update_elem(&codes, &key, &known, BPF_ANY);
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
  __u32 syscall_plus;
  __u32 pad;
};

// A global function, so that it is verified once in a program and not at each call.
__weak __noinline int ls_send_stack(struct ls_loop *loop, struct ls_stack *stack,
                                    const struct ls_stack_facts *facts, __u64 now) {
  struct ls_stack_record *record;
  if (!loop || !stack || !facts || stack->count == 0) return 0;
  for (__u32 i = 0; i < LS_MAX_FRAMES; i++) {
    if (i >= stack->count) break;
    if (ls_is_new_code(&stack->frames[i]) && ls_may_send(sizeof(struct ls_code), now))
      ls_send_code(&stack->frames[i], now);
  }
  record = LS_RESERVE(ls_stack_record, LS_KIND_STACK, now, loop->tgid, loop->tid);
  if (!record) return 0;
  record->row = facts->row;
  record->generation = loop->generation;
  record->phase_start_ns = loop->phase_start_ns;
  record->source = facts->source;
  record->holder_tid = facts->holder_tid;
  record->slice_start_ns = facts->slice_start_ns;
  record->slice_ns = facts->slice_ns;
  record->cause = facts->cause;
  record->syscall_plus = facts->syscall_plus;
  bpf_probe_read_kernel(&record->stack, sizeof(record->stack), stack);
  bpf_ringbuf_submit(record, 0);
  return 1;
}

#endif
