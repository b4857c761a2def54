// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Loops that do not poll while we come: they stand in a busy phase, which may never end, or sleep
// where other loops poll. User space found them by the frames of their threads and names these in
// `adoptions`; here each gets a row, as if its busy phase had just begun. When that is over, at the
// loop's next poll call, the row is released and the loop is met like any other (rows.bpf.h).
#include "rows.bpf.h"
#include "slept.bpf.h"

__u32 adopted_tgid = 0;

static __noinline int ls_fill_adopted(struct ls_loop *loop, __u32 row, struct task_struct *task,
                                      const struct ls_adoption *adoption, __u32 owners) {
  struct ls_run *run = ls_run_of(row);
  __u64 now = bpf_ktime_get_ns();
  __u32 state = ls_state_of(task);
  if (!run || !adoption) return 0;
  run->owners = owners;
  run->code = adoption->run.code;
  run->idle_code = adoption->run.idle_code;
  run->callback_code = adoption->run.callback_code;
  run->flags = adoption->run.flags;
  run->base = adoption->run.base;
  run->thread_frame = adoption->run.thread_frame;
  run->cframe_frame = adoption->run.cframe_frame;
  run->frame_instruction = adoption->run.frame_instruction;
  loop->generation++;
  loop->tgid = (__u32)BPF_CORE_READ(task, tgid);
  loop->tid = (__u32)BPF_CORE_READ(task, pid);
  loop->epoll_fd = -2;
  loop->created_ns = now;
  loop->phase_start_ns = now;
  loop->slice_start_ns = now;
  loop->phase = LS_PHASE_BUSY;
  loop->system_mark_ns = BPF_CORE_READ(task, stime);
  loop->faults_mark = (__u32)BPF_CORE_READ(task, min_flt);
  if (run->flags & LS_RUN_IS_IDLE) {
    loop->phase = LS_PHASE_POLL;
    run->sleeping = 1;
  } else if (state) {
    loop->phase_start_ns = ls_slept_since(task, now);
    loop->slice_start_ns = loop->phase_start_ns;
    ls_classify_wait(task, state, loop->phase_start_ns, &loop->wait);
    ls_find_target(task, &loop->wait);
    loop->run_delay_ns = ls_run_delay(task);
    loop->exec_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
    loop->off_cpu = 1;
    loop->dirty = 1;
  }
  __sync_fetch_and_or(&loop->flags, LS_LOOP_USED | LS_LOOP_ASKED | LS_LOOP_ACCEPTED |
                                        LS_LOOP_ADOPTED | (adoption->native ? LS_LOOP_NATIVE : 0));
  return 1;
}

static __always_inline bool ls_is_in_libuv(struct task_struct *task) {
  const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
  __u64 args[3];
  ls_syscall_args(regs, args);
  return ls_state_of(task) && ls_polls_as_libuv(ls_syscall_number(regs), args);
}

SEC("iter/task")
int adopt_thread(struct bpf_iter__task *ctx) {
  struct task_struct *task = ctx->task;
  struct ls_adopted told = {};
  struct ls_adoption *adoption;
  struct ls_thread *thread;
  struct ls_loop *loop;
  __u64 pointer;
  __u32 row = 0, slot;
  if (!task || (__u32)BPF_CORE_READ(task, tgid) != adopted_tgid) return 0;
  if (!ls_runs_program(task)) return 0;
  pointer = ls_thread_pointer(task);
  adoption = bpf_map_lookup_elem(&adoptions, &pointer);
  if (!adoption || adoption->tgid != adopted_tgid) return 0;
  thread = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (!thread) {
    ls_count(LS_COUNT_STORAGE_FULL);
    return 0;
  }
  // It polls by now, and is met there.
  if (thread->rows[0] && thread->rows[1]) return 0;
  if (adoption->native && ls_is_in_libuv(task)) return 0;
  thread->owners = ls_owners_of(task);
  if (!ls_hold(thread->owners, LS_HELD_ROWS, most_rows)) {
    ls_count(LS_COUNT_LOOPS_FULL);
    return 0;
  }
  if (bpf_map_pop_elem(&free_rows, &row) || !(loop = ls_row(row))) {
    ls_give_back(thread->owners, LS_HELD_ROWS);
    ls_count(LS_COUNT_LOOPS_FULL);
    return 0;
  }
  ls_note_row(row);
  ls_fill_adopted(loop, row, task, adoption, thread->owners);
  slot = thread->rows[0] ? 1 : 0;
  if (__sync_val_compare_and_swap(&thread->rows[slot & 1], 0, row)) {
    __sync_fetch_and_or(&loop->flags, LS_LOOP_RELEASED);
    return 0;
  }
  if (!thread->rows[(slot ^ 1) & 1]) thread->active = slot;
  told.thread_pointer = pointer;
  told.tid = loop->tid;
  told.row = row;
  told.generation = loop->generation;
  bpf_seq_write(ctx->meta->seq, &told, sizeof(told));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
