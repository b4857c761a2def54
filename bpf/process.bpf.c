// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The lives of processes and threads: what user space must look at again, and when a loop's thread
// has gone. The maps that all objects share are defined here.
#define LS_MAP
#include "rows.bpf.h"

// Set by user space (daemon/probe/table_sizes.h).
const volatile __u64 share_seed = 0;
const volatile __u32 most_rows = LS_LEAST_LOOPS - 1;
const volatile __u32 most_processes = LS_LEAST_PROCESSES;
const volatile __u32 records_ns_per_kib = 0;
const volatile __u32 ring_bytes = 1 << 22;

static __always_inline struct ls_process *ls_process_record(__u32 kind, struct task_struct *task) {
  struct ls_process *record =
      LS_RESERVE(ls_process, kind, bpf_ktime_get_ns(), (__u32)BPF_CORE_READ(task, tgid),
                 (__u32)BPF_CORE_READ(task, pid));
  if (!record) return NULL;
  record->parent_tgid = 0;
  record->exit_code = 0;
  BPF_CORE_READ_INTO(&record->comm, task, comm);
  return record;
}

// The thread ends in the middle of a stall: its memory is still there, so where it stood is told.
static __always_inline void ls_tell_last_stack(struct ls_loop *loop, __u32 row,
                                               struct task_struct *task, __u64 now) {
  if (loop->phase != LS_PHASE_BUSY || now - loop->phase_start_ns < ls_threshold(loop)) return;
  ls_begin_write(loop);
  ls_settle(loop, row, task, now);
  ls_end_write(loop);
  ls_send_longest(loop, row, now);
}

static __always_inline void ls_release_rows(struct task_struct *task, __u32 reason, __u64 now) {
  struct ls_thread *thread = ls_thread_of(task);
  __u32 code = (__u32)BPF_CORE_READ(task, exit_code);
  struct ls_loop *loop;
  struct ls_run *run;
  if (!thread) return;
  for (int i = 0; i < 2; i++) {
    loop = ls_row(thread->rows[i]);
    if (loop) {
      // A thread that ends by itself came back from its loop, or ended in it: up to where the loop
      // was last seen to run, if its thread has not left the CPU since. Of a loop of which that
      // cannot be told nothing is; of what a signal ended user space tells.
      run = ls_run_of(thread->rows[i]);
      if (reason == LS_END_THREAD_EXIT && !(code & 0x7f) && run && run->flags & LS_RUN_TRACKED &&
          run->inside_ns >= loop->wait.start_ns && ls_in_busy_phase(loop))
        ls_leave(loop, thread->rows[i]);
      if (reason == LS_END_THREAD_EXIT) ls_tell_last_stack(loop, thread->rows[i], task, now);
      ls_release(loop, thread->rows[i], reason, code, ls_is_open(task, loop), now);
    }
    thread->rows[i] = 0;
  }
  thread->polling = 0;
}

// A process that replaced its program is decided anew; whom nobody watches stays unwatched.
SEC("tp_btf/sched_process_exec")
int process_exec(__u64 *ctx) {
  struct task_struct *task = (void *)ctx[0];
  __u32 tgid = (__u32)BPF_CORE_READ(task, tgid);
  struct ls_process_entry *entry = bpf_map_lookup_elem(&processes, &tgid);
  struct ls_process *record;
  if (!entry && listed_only) return 0;
  ls_release_rows(task, LS_END_EXEC, bpf_ktime_get_ns());
  if (entry) entry->state = LS_PROCESS_UNDECIDED;
  bpf_map_delete_elem(&pythons, &tgid);
  record = ls_process_record(LS_KIND_PROCESS_EXEC, task);
  if (record) bpf_ringbuf_submit(record, 0);
  return 0;
}

// A child is what its parent is: a worker forked from a CPython process runs the same interpreter.
SEC("tp_btf/sched_process_fork")
int process_fork(__u64 *ctx) {
  struct task_struct *parent = (void *)ctx[0];
  struct task_struct *child = (void *)ctx[1];
  __u32 parent_tgid = (__u32)BPF_CORE_READ(parent, tgid);
  __u32 tgid = (__u32)BPF_CORE_READ(child, tgid);
  struct ls_process_entry *entry;
  struct ls_process_entry copy = {};
  struct ls_process *record;
  struct ls_python *python;
  if (tgid == parent_tgid) return 0;  // a thread
  entry = bpf_map_lookup_elem(&processes, &parent_tgid);
  if (!entry) return 0;
  copy.state = entry->state;
  entry = bpf_map_lookup_elem(&processes, &tgid);
  if (entry) {  // of one whose end was lost
    entry->state = copy.state;
  } else {
    copy.owners = ls_owners_of(parent);
    if (!ls_hold(copy.owners, LS_HELD_PROCESSES, most_processes)) {
      ls_count(LS_COUNT_PROCESSES_FULL);
      return 0;
    }
    if (bpf_map_update_elem(&processes, &tgid, &copy, BPF_NOEXIST)) {
      ls_give_back(copy.owners, LS_HELD_PROCESSES);
      ls_count(LS_COUNT_PROCESSES_FULL);
      return 0;
    }
  }
  if (copy.state == LS_PROCESS_OTHER && !listed_only) return 0;
  // The same interpreter at the same addresses, until it runs another program.
  python = bpf_map_lookup_elem(&pythons, &parent_tgid);
  if (python) bpf_map_update_elem(&pythons, &tgid, python, BPF_ANY);
  record = ls_process_record(LS_KIND_PROCESS_FORK, child);
  if (!record) return 0;
  record->parent_tgid = parent_tgid;
  bpf_ringbuf_submit(record, 0);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx) {
  struct task_struct *task = (void *)ctx[0];
  __u32 tgid = (__u32)BPF_CORE_READ(task, tgid);
  __u32 tid = (__u32)BPF_CORE_READ(task, pid);
  struct ls_process_entry *entry;
  struct ls_process *record;
  __u32 state, owners;
  ls_release_rows(task, LS_END_THREAD_EXIT, bpf_ktime_get_ns());
  if (tid != tgid) return 0;
  entry = bpf_map_lookup_elem(&processes, &tgid);
  if (!entry) return 0;
  state = entry->state;
  owners = entry->owners;
  if (!bpf_map_delete_elem(&processes, &tgid)) ls_give_back(owners, LS_HELD_PROCESSES);
  bpf_map_delete_elem(&pythons, &tgid);
  if (state == LS_PROCESS_OTHER && !listed_only) return 0;
  record = ls_process_record(LS_KIND_PROCESS_EXIT, task);
  if (!record) return 0;
  record->exit_code = (__u32)BPF_CORE_READ(task, exit_code);
  bpf_ringbuf_submit(record, 0);
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
