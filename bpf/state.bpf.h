// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The maps and the small functions that every program shares. The maps are defined in
// process.bpf.c; the other objects refer to them and bpftool links all into one. Those by row or
// process are made as large as user space says (daemon/probe/table_sizes.h).
#ifndef LOOPSIGHT_BPF_STATE_H
#define LOOPSIGHT_BPF_STATE_H

#include "kernel.bpf.h"
#include "wire.h"

#ifndef LS_MAP
#define LS_MAP extern
#endif

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

#define LS_MAX_ARRIVALS 65536

// A poll call of a thread that is known to be no loop's: what it polls on and by which frames.
struct ls_refusal {
  __u64 instance;
  __u64 chain;
};
#define LS_REFUSALS 4

// What a thread of a CPython process carries: its rows in the loop table, the current one in
// `active`, and what it polls on that is known to be no loop.
struct ls_thread {
  __u32 rows[2];
  __u32 active;   // index into rows
  __u32 polling;  // the row whose poll call the thread is in, 0 none
  __u32 entered;  // 1: the entry into a poll call was seen, so a return without one is nobody's
  __u32 asks;     // how many more poller records it may send now
  __u64 asks_ns;  // when that was last added to
  __u64 thread_state;  // address of its PyThreadState, verified at each walk; 0 not known
  __u64 stateless_ns;  // when it was last found to have none, 0 never
  __u64 sampled_at_ns;
  __u64 sampled_user_ns;  // its CPU time then
  __u64 sampled_system_ns;
  struct ls_refusal refused[LS_REFUSALS];
  __u32 next_refused;
  __u32 owners;  // whom it is charged to, see ls_owners_of; 0: not asked yet
  // The last poll call that was refused, for the next one that is the same.
  __u64 same_stack;
  __u64 same_frame;
  __u64 same_instruction;
  __u64 same_instance;
  __u64 same_ns;
};

// What a walk reads into; the second halves keep masked offsets inside.
struct ls_scratch {
  unsigned char frame[LS_HEAD_BYTES * 2];
  unsigned char code[LS_CODE_BUFFER];
  __u64 leaf_frame;  // address of the innermost frame of the last walk
  __u64 leaf_instruction;
  __u64 base_frame;  // address of the outermost frame that it met
  // Of the loop that a walk looks for: what it is known by, and whether it was met.
  __u64 wanted_code;
  __u64 wanted_self;  // 0: any
  __u64 wanted_anchor;
  __u64 wanted_instruction;
  __u64 met_self;   // the first argument of the innermost frame of `wanted_code`
  __u64 met_inner;  // and the code object of the frame that it called
  __u32 met;
  __u32 pad_met;
  __u64 run_once_frame;  // of asyncio's _run_once, 0 none; and the frame that it called
  __u64 run_once_inner;
  struct ls_stack stack;  // for a look that is not kept
  struct ls_frame turned[LS_OUTER_FRAMES];
  // Counters of loops, kept where the verifier does not follow their values from round to round.
  __u32 total;   // frames that a walk has met
  __u32 met_at;  // 1 + the number of the anchor's, 0 not met
  __u64 slot;    // of a frame, that is looked at
};

// A code object whose names were sent, by what it was then: it may be freed and its address given
// to another.
struct ls_code_key {
  __u64 code;
  __u32 tgid;
  __u32 identity;
};

// A descriptor of a loop, as epoll_ctl named it, and when it became ready in which busy phase.
struct ls_arrival_key {
  __u64 instance;
  __u64 data;
};
struct ls_arrival {
  __u64 phase_start_ns;
  __u64 time_ns;
};

struct ls_process_entry {
  __u32 state;   // enum ls_process_state
  __u32 owners;  // whom it is charged to; 0: nobody
};

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct ls_thread);
} threads SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, LS_LEAST_LOOPS);
  __type(key, __u32);
  __type(value, struct ls_loop);
} loops SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_STACK);  // so that the rows in use stay the first ones
  __uint(max_entries, LS_LEAST_LOOPS);
  __type(value, __u32);
} free_rows SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LS_LEAST_PROCESSES);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);  // tgid
  __type(value, struct ls_process_entry);
} processes SEC(".maps");

// (tgid << 32 | epoll descriptor) -> row: finds the loop whose descriptor number is given away.
LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, LS_LEAST_LOOPS);
  __type(key, __u64);
  __type(value, __u32);
} rows_by_fd SEC(".maps");

// Address of an epoll instance -> row.
LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, LS_LEAST_LOOPS);
  __type(key, __u64);
  __type(value, __u32);
} instances SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, LS_MAX_ARRIVALS);
  __type(key, struct ls_arrival_key);
  __type(value, struct ls_arrival);
} arrivals SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LS_LEAST_PROCESSES);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);  // tgid
  __type(value, struct ls_python);
} pythons SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, LS_LEAST_LOOPS);
  __type(key, __u32);
  __type(value, struct ls_row_stacks);
} stacks SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, LS_LEAST_LOOPS);
  __type(key, __u32);
  __type(value, struct ls_run);
} runs SEC(".maps");

// By thread pointer, as pthread_self() gives it.
LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LS_MAX_ADOPTIONS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u64);
  __type(value, struct ls_adoption);
} adoptions SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct ls_chain_key);
  __type(value, struct ls_chain_entry);
} chains SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct ls_scratch);
} scratch SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct ls_code_key);
  __type(value, __u32);
} codes SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LS_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 21);
} records SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LS_MAX_PROBE_SPECS);
  __type(key, __u32);
  __type(value, struct ls_probe_spec);
} probe_specs SEC(".maps");

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, char[LS_EVENT_NAME_SIZE]);
  __type(value, struct ls_audit_event);
} audit_events SEC(".maps");

// How often the probes of a group were hit, by whomever: each hit is a trap that somebody pays.
LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LS_GROUPS);
  __type(key, __u32);
  __type(value, __u64);
} probe_hits SEC(".maps");

// The same by process.
LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, __u64);  // tgid << 32 | enum ls_probe_group
  __type(value, __u64);
} process_hits SEC(".maps");

struct ls_function_table {
  __u64 phase_start_ns;
  __u64 calls;
  struct ls_function functions[LS_MAX_FUNCTIONS];
};

// By row; only as long as functions are counted.
LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LS_LEAST_LOOPS);
  __type(key, __u32);
  __type(value, struct ls_function_table);
} functions SEC(".maps");

static __always_inline void ls_count(__u32 counter) {
  __u64 *value = bpf_map_lookup_elem(&counters, &counter);
  if (value) ++*value;
}

// Hardly a task of a host carries anything of anybody's, and the task itself tells (task_struct's
// bpf_storage, kernel commit a10787e6d58c): a read is all that it costs the others.
static __always_inline bool ls_carries_storage(struct task_struct *task) {
  return !bpf_core_field_exists(task->bpf_storage) || task->bpf_storage;
}

static __always_inline struct ls_thread *ls_thread_of(struct task_struct *task) {
  if (!ls_carries_storage(task)) return NULL;
  return bpf_task_storage_get(&threads, task, NULL, 0);
}

static __always_inline struct ls_loop *ls_row(__u32 row) {
  if (row == 0) return NULL;
  return bpf_map_lookup_elem(&loops, &row);
}

// The sequence of a row is odd while its one writer is at work. BPF programs do not nest on a
// row: tracepoints of one thread follow one another.
static __always_inline void ls_begin_write(struct ls_loop *loop) {
  __sync_fetch_and_add(&loop->sequence, 1);
}

static __always_inline void ls_end_write(struct ls_loop *loop) {
  __sync_fetch_and_add(&loop->sequence, 1);
}

#include "shares.bpf.h"

#endif
