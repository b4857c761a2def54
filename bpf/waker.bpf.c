// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Who wakes a loop that waits for a lock, and what that thread itself had waited for: one hop.
//
// The threads of watched processes are followed by their own storage while this is attached, each
// with its longest wait since it last woke a loop or was woken by one. What makes it right: a lock
// is released by the thread that had it, in its own context, so at sched_waking the current task is
// the waker, and its memory is readable. In an interrupt the current task is anybody; a thread of
// the same process that happens to run then would be taken for the waker, which is why only a
// wait for a lock or an eventfd, which interrupts hardly end, is followed.
#include "split.bpf.h"

struct ls_followed {
  struct ls_thread thread;  // for the address of its PyThreadState alone
  struct ls_wait wait;      // open, or the last
  struct ls_wait longest;
  __u64 since_ns;       // `longest` and what follows is of the time after
  __u64 since_exec_ns;  // its CPU time then
  __u64 gil_ns;         // it has waited for the interpreter lock
  __u32 open;
  __u32 for_gil;  // 1: the open wait is for the interpreter lock
  __u32 kept;     // index of the longest wait's stack
  struct ls_stack stack[2];
};

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct ls_followed);
} followed SEC(".maps");

static __always_inline bool ls_is_watched(__u32 tgid) {
  struct ls_process_entry *entry = bpf_map_lookup_elem(&processes, &tgid);
  return entry && entry->state == LS_PROCESS_PYTHON;
}

static __always_inline struct ls_followed *ls_followed_of(struct task_struct *task) {
  if (!ls_carries_storage(task)) return NULL;
  return bpf_task_storage_get(&followed, task, NULL, 0);
}

static __noinline int ls_follow_out(struct task_struct *task, __u32 state) {
  struct ls_followed *one = ls_followed_of(task);
  __u64 now;
  if (!one) {
    if (task->flags & LS_PF_KTHREAD || !ls_is_watched((__u32)task->tgid)) return 0;
    one = bpf_task_storage_get(&followed, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!one) {
      ls_count(LS_COUNT_STORAGE_FULL);
      return 0;
    }
  }
  now = bpf_ktime_get_ns();
  if (!one->since_ns) one->since_ns = now;  // all that it ever ran is of the time after
  ls_classify_wait(task, state, now, &one->wait);
  one->open = 1;
  return 1;
}

static __noinline int ls_follow_stack(struct task_struct *task) {
  struct ls_followed *one = ls_followed_of(task);
  if (!one) return 0;
  return ls_walk(ls_thread_pointer(task), &one->thread, &one->stack[~one->kept & 1]);
}

// After the walk, which finds the thread's state.
static __noinline int ls_follow_lock(struct task_struct *task) {
  struct ls_followed *one = ls_followed_of(task);
  if (!one) return 0;
  one->for_gil = 0;
  if (one->wait.cause != LS_CAUSE_LOCK || one->wait.syscall != __NR_futex) return 0;
  one->for_gil = ls_is_gil(one->wait.args[0], &one->thread) != 0;
  if (one->for_gil) one->wait.cause = LS_CAUSE_GIL;
  return 1;
}

static __noinline int ls_follow_in(struct task_struct *task) {
  struct ls_followed *one = ls_followed_of(task);
  __u64 now;
  __u32 cause;
  if (!one || !one->open) return 0;
  now = bpf_ktime_get_ns();
  one->open = 0;
  one->wait.duration_ns = now > one->wait.start_ns ? now - one->wait.start_ns : 0;
  if (one->for_gil) one->gil_ns += one->wait.duration_ns;
  if (one->wait.start_ns < one->since_ns || one->wait.duration_ns <= one->longest.duration_ns)
    return 0;
  cause = one->wait.cause;
  if (one->wait.duration_ns >= LS_TARGET_MIN_NS) ls_find_target(task, &one->wait);
  // A thread that serves sockets still does where it is woken for another reason.
  if (cause == LS_CAUSE_NETWORK && one->wait.cause == LS_CAUSE_PIPE) one->wait.cause = cause;
  __builtin_memcpy(&one->longest, &one->wait, sizeof(one->longest));
  one->kept ^= 1;
  return 1;
}

SEC("tp_btf/sched_switch")
int waker_switch(__u64 *ctx) {
  struct task_struct *prev = (void *)ctx[1];
  __u32 state = ls_left_in(ctx, prev);
  ls_follow_in((void *)ctx[2]);
  if (state && !(state & LS_TASK_DEAD) && ls_follow_out(prev, state)) {
    ls_follow_stack(prev);
    ls_follow_lock(prev);
  }
  return 0;
}

// Forgets what a thread waited for before `now`.
static __always_inline void ls_start_anew(struct ls_followed *one, struct task_struct *task,
                                          __u64 now) {
  one->since_ns = now;
  one->since_exec_ns = BPF_CORE_READ(task, se.sum_exec_runtime);
  one->gil_ns = 0;
  one->longest.duration_ns = 0;
}

static __noinline int ls_send_waker(struct ls_loop *loop, __u32 row, struct task_struct *waker,
                                    __u64 now) {
  struct ls_followed *one = ls_followed_of(waker);
  struct ls_waker *record;
  struct ls_stack *stack;
  if (!one || !loop) return 0;
  stack = &one->stack[one->kept & 1];
  if (one->longest.duration_ns == 0) stack->count = 0;
  for (__u32 i = 0; i < LS_MAX_FRAMES; i++) {
    if (i >= stack->count) break;
    ls_send_code(&stack->frames[i], now);
  }
  record = LS_RESERVE(ls_waker, LS_KIND_WAKER, now, loop->tgid, loop->tid);
  if (!record) return 0;
  record->row = row;
  record->generation = loop->generation;
  record->phase_start_ns = loop->phase_start_ns;
  record->slice_start_ns = loop->wait.start_ns;
  record->waker_tid = (__u32)BPF_CORE_READ(waker, pid);
  record->pad = 0;
  BPF_CORE_READ_INTO(&record->comm, waker, comm);
  bpf_probe_read_kernel(&record->wait, sizeof(record->wait), &one->longest);
  bpf_probe_read_kernel(&record->stack, sizeof(record->stack), stack);
  record->ran_ns = BPF_CORE_READ(waker, se.sum_exec_runtime) - one->since_exec_ns;
  record->gil_ns = one->gil_ns;
  bpf_ringbuf_submit(record, 0);
  ls_start_anew(one, waker, now);
  return 1;
}

static __always_inline bool ls_has_loop(const struct ls_thread *thread) {
  struct ls_loop *loop = thread ? ls_row(thread->rows[thread->active & 1]) : NULL;
  return loop && loop->flags & LS_LOOP_ACCEPTED;
}

// An eventfd, like a lock, is what another thread of the process wakes the loop by.
static __always_inline bool ls_is_ended_by_thread(const struct ls_wait *wait) {
  return wait->cause == LS_CAUSE_LOCK || wait->object == LS_OBJECT_EVENTFD;
}

SEC("tp_btf/sched_waking")
int waker_waking(__u64 *ctx) {
  struct task_struct *woken = (void *)ctx[0];
  struct task_struct *waker = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(woken);
  struct ls_followed *one;
  struct ls_loop *loop;
  __u64 now;
  __u32 row;
  if (ls_has_loop(thread)) {
    row = thread->rows[thread->active & 1];
    loop = ls_row(row);
    if (!loop || loop->phase != LS_PHASE_BUSY || !loop->off_cpu || loop->slice_end_ns ||
        !ls_is_ended_by_thread(&loop->wait))
      return 0;
    now = bpf_ktime_get_ns();
    if (now - loop->wait.start_ns < ls_threshold(loop) / 2 ||
        loop->tgid != (__u32)(bpf_get_current_pid_tgid() >> 32))
      return 0;
    ls_send_waker(loop, row, waker, now);
    return 0;
  }
  // A loop hands work to this thread: what it waited for until now was the work itself.
  one = ls_followed_of(woken);
  if (!one || !ls_has_loop(ls_thread_of(waker))) return 0;
  one->open = 0;
  ls_start_anew(one, woken, bpf_ktime_get_ns());
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
