// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// CPython's own probes (USDT), where the interpreter was built with them: collections, imports,
// audited calls, and on request function calls.
//
// What makes it right: a probe fires in the thread that does the thing, so the loop's own row is
// the one to write, like at its switches. A collection or an import changes what the running slice
// counts as from here on; the waits in between keep their causes, but for an import's, which is one
// cause as a whole. Sites are attached by inode, so whoever runs the same file hits them: a thread
// that is no loop's costs the trap and one storage look-up.
#include "split.bpf.h"

struct user_registers {
  __u64 word[21];  // struct pt_regs of x86-64
};

static __always_inline __u64 ls_register(const void *ctx, __u16 offset) {
  __u64 value = 0;
  if (offset >= sizeof(struct user_registers)) return 0;
  bpf_probe_read_kernel(&value, sizeof(value), (const char *)ctx + offset);
  return value;
}

static __always_inline __u64 ls_argument(const void *ctx, const struct ls_probe_spec *spec,
                                         __u32 number) {
  const struct ls_probe_argument *argument;
  __u64 value;
  __u32 unused;
  if (number >= LS_PROBE_ARGUMENTS) return 0;
  argument = &spec->argument[number];
  value = (__u64)argument->offset;
  if (argument->base != LS_NO_REGISTER) value += ls_register(ctx, argument->base);
  if (argument->index != LS_NO_REGISTER)
    value += ls_register(ctx, argument->index) * argument->scale;
  if (argument->in_memory) {
    __u64 address = value;
    value = 0;
    if (bpf_probe_read_user(&value, sizeof(value), (void *)address))
      ls_count(LS_COUNT_ARGUMENT_UNREADABLE);
  }
  unused = 64 - 8U * argument->size;
  if (unused == 0 || unused >= 64) return value;
  value <<= unused;
  return argument->is_signed ? (__u64)((__s64)value >> unused) : value >> unused;
}

static __always_inline void ls_count_hit(__u32 group) {
  __u64 key = (bpf_get_current_pid_tgid() & ~0xffffffffULL) | group;
  __u64 *hits = bpf_map_lookup_elem(&process_hits, &key);
  __u64 one = 1;
  if (hits)
    __sync_fetch_and_add(hits, 1);
  else
    bpf_map_update_elem(&process_hits, &key, &one, BPF_ANY);
}

static __always_inline struct ls_probe_spec *ls_spec(void *ctx, __u32 group) {
  __u32 index = (__u32)bpf_get_attach_cookie(ctx);
  __u64 *hits = bpf_map_lookup_elem(&probe_hits, &group);
  if (hits) ++*hits;
  ls_count_hit(group);
  return bpf_map_lookup_elem(&probe_specs, &index);
}

// The row of the loop in whose busy phase the running thread is.
static __always_inline struct ls_loop *ls_busy_loop(struct task_struct *task, __u32 *row) {
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_loop *loop;
  if (!thread) return NULL;
  *row = thread->rows[thread->active & 1];
  loop = ls_row(*row);
  return loop && ls_in_busy_phase(loop) ? loop : NULL;
}

// What runs from `now` on counts as something else.
static __always_inline void ls_turn(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                    __u32 cause, __u64 now) {
  ls_settle(loop, row, task, now);
  ls_run(loop, task, now);
  if (now > loop->slice_start_ns) loop->slice_start_ns = now;
  loop->running_cause = cause;
  loop->probed_dirty = 1;
  loop->dirty = 1;
}

static __always_inline __u32 ls_gc_bucket(__u64 ns) {
  // Upper bounds of loopsight_gc_pause_seconds: public, never to change.
  if (ns <= 100000) return 0;
  if (ns <= 250000) return 1;
  if (ns <= 500000) return 2;
  if (ns <= 1000000) return 3;
  if (ns <= 2500000) return 4;
  if (ns <= 5000000) return 5;
  if (ns <= 10000000) return 6;
  if (ns <= 25000000) return 7;
  if (ns <= 50000000) return 8;
  if (ns <= 100000000) return 9;
  if (ns <= 250000000) return 10;
  if (ns <= 500000000) return 11;
  if (ns <= 1000000000) return 12;
  if (ns <= 2500000000) return 13;
  return 14;
}

static __always_inline void ls_gc_done(struct ls_loop *loop, __u64 now) {
  __u64 ns = now > loop->gc_start_ns ? now - loop->gc_start_ns : 0;
  __u32 generation = loop->gc_running;
  __u32 bucket = ls_gc_bucket(ns);
  if (generation < LS_GC_GENERATIONS) {
    loop->gc_ns[generation] += ns;
    if (bucket < LS_MAX_BUCKETS) loop->gc_buckets[generation][bucket]++;
  }
  loop->probed.gc_ns += ns;
  loop->probed.gc_count++;
  if (ns >= loop->probed.gc_longest_ns) {
    loop->probed.gc_longest_ns = ns;
    loop->probed.gc_generation = generation;
  }
  loop->gc_start_ns = 0;
}

SEC("uprobe")
int gc_probe(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_probe_spec *spec = ls_spec(ctx, LS_GROUP_GC);
  struct ls_loop *loop;
  __u64 now, generation;
  __u32 row;
  if (!spec || !(loop = ls_busy_loop(task, &row))) return 0;
  now = bpf_ktime_get_ns();
  // A finalizer may collect again; the outer collection goes on meanwhile and CPython does not
  // begin another (gcstate->collecting), so what does not match was missed.
  if ((spec->kind == LS_PROBE_GC_START) != (loop->gc_start_ns == 0)) {
    ls_count(LS_COUNT_PROBE_UNMATCHED);
    if (spec->kind != LS_PROBE_GC_START) return 0;
  }
  ls_begin_write(loop);
  if (spec->kind == LS_PROBE_GC_START) {
    generation = ls_argument(ctx, spec, 0);
    loop->gc_running = generation < LS_GC_GENERATIONS ? (__u32)generation : LS_GC_GENERATIONS - 1;
    loop->gc_start_ns = now;
    ls_turn(loop, row, task, LS_CAUSE_GC, now);
  } else {
    ls_turn(loop, row, task, loop->import_depth ? LS_CAUSE_IMPORT : LS_CAUSE_CPU, now);
    ls_gc_done(loop, now);
  }
  ls_end_write(loop);
  return 0;
}

static __always_inline void ls_import_start(void *ctx, const struct ls_probe_spec *spec,
                                            struct ls_loop *loop, __u32 row,
                                            struct task_struct *task, __u64 now) {
  if (loop->import_depth++) return;
  loop->import_start_ns = now;
  if (bpf_probe_read_user_str(loop->importing, sizeof(loop->importing),
                              (void *)ls_argument(ctx, spec, 0)) < 0) {
    loop->importing[0] = 0;
    ls_count(LS_COUNT_ARGUMENT_UNREADABLE);
  }
  if (loop->running_cause == LS_CAUSE_CPU) ls_turn(loop, row, task, LS_CAUSE_IMPORT, now);
}

static __always_inline void ls_import_done(struct ls_loop *loop, __u32 row,
                                           struct task_struct *task, __u64 now) {
  __u64 ns = now > loop->import_start_ns ? now - loop->import_start_ns : 0;
  if (loop->import_depth > 1) {
    loop->import_depth--;
    return;
  }
  if (loop->running_cause == LS_CAUSE_IMPORT) ls_turn(loop, row, task, LS_CAUSE_CPU, now);
  loop->import_depth = 0;
  if (ns < loop->probed.import_ns) return;
  loop->probed.import_ns = ns;
  bpf_probe_read_kernel(loop->probed.import_name, sizeof(loop->probed.import_name),
                        loop->importing);
}

SEC("uprobe")
int import_probe(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_probe_spec *spec = ls_spec(ctx, LS_GROUP_IMPORTS);
  struct ls_loop *loop;
  __u64 now;
  __u32 row;
  if (!spec || !(loop = ls_busy_loop(task, &row))) return 0;
  now = bpf_ktime_get_ns();
  if (spec->kind == LS_PROBE_IMPORT_DONE && loop->import_depth == 0) {
    ls_count(LS_COUNT_PROBE_UNMATCHED);
    return 0;
  }
  ls_begin_write(loop);
  ls_settle(loop, row, task, now);  // a wait before the import is not the import's
  if (spec->kind == LS_PROBE_IMPORT_START)
    ls_import_start(ctx, spec, loop, row, task, now);
  else
    ls_import_done(loop, row, task, now);
  ls_end_write(loop);
  return 0;
}

static __always_inline __u64 ls_type_flags(const struct ls_python *python, __u64 object) {
  __u64 type = ls_read_word(object + python->object_type);
  return type ? ls_read_word(type + python->type_name + 144) : 0;  // tp_flags
}

// The parts of an argument that are shown: of a string or bytes its text, of an integer its value,
// of an address tuple the host and the port. Returns the flags of its type.
static __always_inline __u64 ls_read_argument(const struct ls_python *python, __u64 object,
                                              struct ls_call *call) {
  __u64 flags = ls_type_flags(python, object), length, data, size;
  if (flags & 1ULL << 28) {  // Py_TPFLAGS_UNICODE_SUBCLASS
    length = ls_read_word(object + python->text_length);
    bpf_probe_read_user(&call->state, sizeof(call->state), (void *)(object + python->text_state));
    data = object + (call->state >> 6 & 1 ? python->text_ascii : python->text_other);
    size = length > LS_CALL_TEXT_SIZE ? LS_CALL_TEXT_SIZE : length;
    size *= call->state >> 2 & 7;
    call->kind = LS_ARGUMENT_TEXT;
  } else if (flags & 1ULL << 27) {  // Py_TPFLAGS_BYTES_SUBCLASS
    length = ls_read_word(object + python->bytes_size);
    data = object + python->bytes_data;
    size = length > LS_CALL_TEXT_SIZE ? LS_CALL_TEXT_SIZE : length;
    call->kind = LS_ARGUMENT_BYTES;
  } else {
    long number = flags & 1ULL << 24 ? ls_read_integer(python, object) : -1;
    if (number < 0) return flags;
    call->kind = LS_ARGUMENT_NUMBER;
    call->number = (__u32)number;
    return flags;
  }
  ls_keep_wide(size);
  if (size > LS_CALL_TEXT_SIZE) size = LS_CALL_TEXT_SIZE;
  call->length = length > 0xffffffff ? 0xffffffff : (__u32)length;
  if (bpf_probe_read_user(call->text, size, (void *)data)) call->kind = LS_ARGUMENT_NONE;
  return flags;
}

static __always_inline void ls_note_call(const struct ls_python *python, __u64 tuple,
                                         const struct ls_audit_event *event, struct ls_call *call) {
  __u64 object, host, port;
  long number;
  call->kind = LS_ARGUMENT_NONE;
  call->number = 0;
  if (event->argument == LS_NO_ARGUMENT || !tuple) return;
  if (ls_read_word(tuple + python->bytes_size) <= event->argument) return;  // ob_size
  object = ls_read_word(tuple + python->tuple_items + 8ULL * event->argument);
  if (!object) return;
  if (!(ls_read_argument(python, object, call) & 1ULL << 26)) return;  // a tuple
  if (ls_read_word(object + python->bytes_size) < 2) return;
  host = ls_read_word(object + python->tuple_items);
  port = ls_read_word(object + python->tuple_items + 8);
  if (!host || !port) return;
  ls_read_argument(python, host, call);
  number = ls_type_flags(python, port) & 1ULL << 24 ? ls_read_integer(python, port) : -1;
  if (call->kind != LS_ARGUMENT_NUMBER) call->number = number > 0 ? (__u32)number : 0;
}

SEC("uprobe")
int audit_probe(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_probe_spec *spec = ls_spec(ctx, LS_GROUP_AUDIT);
  __u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32), row;
  char name[LS_EVENT_NAME_SIZE] = {};
  const struct ls_audit_event *event;
  struct ls_python *python;
  struct ls_loop *loop;
  if (!spec || !(loop = ls_busy_loop(task, &row))) return 0;
  if (bpf_probe_read_user_str(name, sizeof(name), (void *)ls_argument(ctx, spec, 0)) < 0) {
    ls_count(LS_COUNT_ARGUMENT_UNREADABLE);
    return 0;
  }
  event = bpf_map_lookup_elem(&audit_events, name);
  python = bpf_map_lookup_elem(&pythons, &tgid);
  if (!event || !python) return 0;
  ls_begin_write(loop);
  ls_settle(loop, row, task, bpf_ktime_get_ns());  // the wait before belongs to the call before
  __builtin_memcpy(loop->probed.call.event, name, sizeof(name));
  ls_note_call(python, ls_argument(ctx, spec, 1), event, &loop->probed.call);
  loop->probed.call.time_ns = bpf_ktime_get_ns();
  loop->probed_dirty = 1;
  ls_end_write(loop);
  return 0;
}

#define LS_FUNCTION_TRIES 4

// Counts the calls of a busy phase by function, in a table of the row that a stall's record is
// preceded by.
SEC("uprobe")
int function_probe(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_probe_spec *spec = ls_spec(ctx, LS_GROUP_FUNCTIONS);
  struct ls_function_table *table;
  struct ls_function *function;
  struct ls_loop *loop;
  __u64 name, file;
  __u32 row, line, place;
  long length;
  if (!spec || !(loop = ls_busy_loop(task, &row))) return 0;
  table = bpf_map_lookup_elem(&functions, &row);
  if (!table) return 0;
  if (table->phase_start_ns != loop->phase_start_ns) {
    table->phase_start_ns = loop->phase_start_ns;
    table->calls = 0;
    for (int i = 0; i < LS_MAX_FUNCTIONS; i++) table->functions[i].calls = 0;
  }
  table->calls++;
  name = ls_argument(ctx, spec, 1);
  line = (__u32)ls_argument(ctx, spec, 2);
  place = (__u32)(name >> 4) * 2654435761U >> 16;
  for (int i = 0; i < LS_FUNCTION_TRIES; i++) {
    function = &table->functions[(place + (__u32)i) & (LS_MAX_FUNCTIONS - 1)];
    if (function->calls && function->name_address == name && function->line == line) {
      function->calls++;
      return 0;
    }
    if (function->calls) continue;
    file = ls_argument(ctx, spec, 0);
    function->name_address = name;
    function->line = line;
    function->calls = 1;
    if (bpf_probe_read_user_str(function->name, sizeof(function->name), (void *)name) < 0)
      function->name[0] = 0;
    length = bpf_probe_read_user_str(function->file, sizeof(function->file), (void *)file);
    if (length < 0) function->file[0] = 0;
    return 0;
  }
  ls_count(LS_COUNT_FUNCTIONS_FULL);
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
