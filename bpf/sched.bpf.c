// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Context switches of loop threads. Every switch of the host pays a look at both tasks.
#include "idle.bpf.h"

// 0 before Linux 5.18, whose tracepoint does not hand the previous task's state over (kernel
// commit fa2c3254d7cf); user space looks the prototype up in BTF.
const volatile __u32 has_prev_state = 1;
volatile __s64 realtime_offset_ns = 0;

// The clock is read only where the switch matters: that alone costs as much as all the rest of a
// switch that does not, and most switches of a loop's thread are those of its poll call.
static __always_inline void ls_row_out(__u32 row, struct ls_thread *thread,
                                       struct task_struct *task, __u32 state) {
  struct ls_loop *loop = ls_row(row);
  struct ls_row_stacks *kept = NULL;
  int runs = -1;
  __u64 now;
  if (!loop) return;
  if (!ls_in_busy_phase(loop)) {
    ls_sleep_in_poll(loop, row, state);
    return;
  }
  now = bpf_ktime_get_ns();
  ls_settle_out(loop, row, task, now);
  ls_look_for(row);
  if (ls_keep_stack(loop, row, thread, task, state)) {
    kept = bpf_map_lookup_elem(&stacks, &row);
    runs = kept ? ls_was_met(row, &kept->stack[~kept->longest & 1], now) : -1;
  }
  ls_look_for(0);
  if (runs == 0) {
    ls_leave(loop, row);
    return;
  }
  if (kept && ls_begin_idle_sleep(loop, row, &kept->stack[~kept->longest & 1], task, now)) return;
  ls_switch_out(loop, task, state, now);
  if (runs) ls_name_lock(loop, row, thread);
}

static __always_inline void ls_row_in(__u32 row, struct task_struct *task) {
  struct ls_loop *loop = ls_row(row);
  if (!loop) return;
  if (ls_in_busy_phase(loop) && loop->off_cpu)
    ls_switch_in(loop, task, bpf_ktime_get_ns());
  else if (loop->phase == LS_PHASE_POLL)
    ls_end_idle_sleep(loop, row, task);
}

SEC("tp_btf/sched_switch")
int sched_switch(__u64 *ctx) {
  struct task_struct *prev = (void *)ctx[1];
  struct task_struct *next = (void *)ctx[2];
  struct ls_thread *left = ls_thread_of(prev);
  struct ls_thread *came = ls_thread_of(next);
  if (left) {
    __u32 state = ls_left_in(ctx, prev);
    ls_row_out(left->rows[0], left, prev, state);
    ls_row_out(left->rows[1], left, prev, state);
  }
  if (came) {
    ls_row_in(came->rows[0], next);
    ls_row_in(came->rows[1], next);
  }
  return 0;
}

#define LS_TICK_NS (1000000000ULL / LS_SAMPLE_HZ)
#define LS_TICK_SLACK_NS (LS_TICK_NS / 4)  // the scheduler's tick need not divide LS_TICK_NS

// Does the sample stand for the kernel's time? Inside a system call it does, and which one that is
// the registers tell that were saved at its entry. In a page fault they look like those of user
// mode: then it is what the ticks since the last sample found, the scheduler counts this one later.
static __always_inline void ls_note_mode(struct task_struct *task, struct ls_thread *thread,
                                         struct ls_stack_facts *facts) {
  long number = ls_syscall_number((void *)bpf_task_pt_regs(task));
  __u64 user = BPF_CORE_READ(task, utime), system = BPF_CORE_READ(task, stime);
  bool in_kernel = system - thread->sampled_system_ns > user - thread->sampled_user_ns;
  thread->sampled_system_ns = system;
  thread->sampled_user_ns = user;
  if (number >= 0) facts->syscall_plus = (__u32)number + 1;
  if (number >= 0 || in_kernel) facts->cause = LS_CAUSE_SYSTEM;
}

// Where a loop's thread runs long it is sampled, about LS_SAMPLE_HZ times a second.
// Nothing is done before half the threshold has passed, but of a crowded loop now and then.
static __noinline int ls_sample(struct task_struct *task, struct ls_thread *thread) {
  struct ls_row_stacks *kept;
  struct ls_stack_facts facts = {.source = LS_STACK_OF_SAMPLE};
  struct ls_stack *stack;
  struct ls_loop *loop;
  __u64 now, ran;
  bool is_long, is_due;
  int runs;
  __u32 row = thread->rows[thread->active & 1];
  loop = ls_row(row);
  // An odd sequence: the tick came in the middle of one of our own programs.
  if (!loop || loop->phase != LS_PHASE_BUSY || loop->sequence & 1) return 0;
  now = bpf_ktime_get_ns();
  is_long = now - loop->phase_start_ns >= ls_threshold(loop) / 2;
  is_due = ls_is_busy_due(loop, now);
  if (is_long && now - thread->sampled_at_ns < LS_TICK_NS - LS_TICK_SLACK_NS) is_long = false;
  if (!is_long && !is_due) return 0;
  kept = bpf_map_lookup_elem(&stacks, &row);
  if (!kept) return 0;
  if (is_long) thread->sampled_at_ns = now;
  ls_settle_out(loop, row, task, now);
  stack = &kept->stack[~kept->longest & 1];
  ls_look_for(row);
  runs = ls_walk(ls_thread_pointer(task), thread, stack) ? ls_was_met(row, stack, now) : -1;
  ls_look_for(0);
  if (runs == 0) {
    ls_leave(loop, row);
    return 0;
  }
  if (!stack->count) return 0;
  if (stack->ready) loop->ready = stack->ready;
  if (ls_is_collecting(thread)) stack->flags |= LS_STACK_IN_GC;
  stack->flags |= (__u16)ls_lock_flag(thread);
  facts.row = row;
  facts.cause = loop->running_cause;
  if (facts.cause == LS_CAUSE_CPU) ls_note_mode(task, thread, &facts);
  if (is_due) {
    facts.source = LS_STACK_OF_BUSY;
    ls_send_stack(loop, stack, &facts, now);
  }
  if (!is_long) return 0;
  // It stands for the CPU time since the sample before it; the first one for one tick.
  ran = loop->running_ns + now - loop->slice_start_ns;
  facts.source = LS_STACK_OF_SAMPLE;
  facts.slice_ns = ran - loop->sampled_ns;
  if (!loop->sampled_ns && facts.slice_ns > LS_TICK_NS) facts.slice_ns = LS_TICK_NS;
  loop->sampled_ns = ran;
  ls_send_stack(loop, stack, &facts, now);
  return 0;
}

// The scheduler's own tick, and whatever other timer ends on the CPU where a loop's thread runs: an
// interrupt that comes anyway. A timer for each thread would have to be set at each of its context
// switches, which costs it more than all the rest of a switch.
SEC("tp_btf/hrtimer_expire_entry")
int cpu_tick(__u64 *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  return thread ? ls_sample(task, thread) : 0;
}

// That timer, for kernels whose tick is none or may stop while a thread runs: a tick of the
// thread's own CPU clock.
SEC("perf_event")
int cpu_sample(void *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  return thread ? ls_sample(task, thread) : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
