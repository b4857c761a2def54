// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// One look at all threads of a process: which of them runs, and what each other one waits for since
// when. Nothing is attached for it and nothing is kept.
//
// What a poll or select watches stands in the thread's own memory, which cannot be read from here:
// user space reads it and asks a second time, with the descriptor of each such thread in
// `surveyed_fds`.
#include "slept.bpf.h"
#include "survey_wire.h"
#include "wait.bpf.h"

__u32 surveyed_tgid = 0;

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LS_MAX_SURVEYED_FDS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);  // tid
  __type(value, __s32);
} surveyed_fds SEC(".maps");

static __always_inline void ls_use_fd(struct task_struct *task, __u32 tid, struct ls_wait *wait) {
  __s32 *fd = bpf_map_lookup_elem(&surveyed_fds, &tid);
  struct file *file;
  if (!fd) return;
  wait->fd = *fd;
  file = ls_file(task, *fd);
  wait->object = ls_object_of(file);
  wait->cause = ls_cause_of_object(wait->object);
}

// The record is made here, since the stack has no room for it; who surveys does so alone.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct ls_surveyed);
} survey_place SEC(".maps");

SEC("iter/task")
int survey_thread(struct bpf_iter__task *ctx) {
  struct task_struct *task = ctx->task;
  struct task_struct___told *told = (void *)task;
  struct ls_surveyed *seen;
  __u32 state, zero = 0;
  if (!task || (__u32)BPF_CORE_READ(task, tgid) != surveyed_tgid) return 0;
  seen = bpf_map_lookup_elem(&survey_place, &zero);
  if (!seen) return 0;
  __builtin_memset(seen, 0, sizeof(*seen));
  state = ls_state_of(task);
  seen->thread_pointer = ls_runs_program(task) ? ls_thread_pointer(task) : 0;
  seen->tid = (__u32)BPF_CORE_READ(task, pid);
  seen->now_ns = bpf_ktime_get_ns();
  seen->switches = BPF_CORE_READ(task, nvcsw);
  if (bpf_core_field_exists(told->nivcsw)) seen->switches += BPF_CORE_READ(told, nivcsw);
  seen->runtime_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
  BPF_CORE_READ_STR_INTO(&seen->comm, task, comm);
  if (state) {
    seen->activity = LS_THREAD_WAITS;
    ls_classify_wait(task, state, ls_slept_since(task, seen->now_ns), &seen->wait);
    ls_use_fd(task, seen->tid, &seen->wait);
    ls_find_target(task, &seen->wait);
  } else {
    bool is_ready = bpf_core_field_exists(told->on_cpu) && !BPF_CORE_READ(told, on_cpu);
    seen->activity = is_ready ? LS_THREAD_READY : LS_THREAD_RUNS;
    seen->wait.syscall = -1;
    seen->wait.fd = -1;
  }
  bpf_seq_write(ctx->meta->seq, seen, sizeof(*seen));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
