// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Entries into and returns from the poll calls. Two families of hooks do the same: fentry and
// fexit, which cost only the calls themselves, and the per-syscall tracepoints, for kernels that
// refuse the first. User space loads one family (daemon/probe).
#include "polled.bpf.h"
#include "rows.bpf.h"

const volatile __u32 listed_only = 0;  // 1: watch only what user space put into `processes`
const volatile __u64 threshold_ns = 50000000;
const volatile __u32 count_functions = 0;  // 1: the function probe is attached
const volatile __u32 exact_delays = 0;     // 1: delays.bpf.c is attached

// The timeout of a poll call in nanoseconds, negative where it has none, read from where the
// argument points to seconds and fractions. A global function, so that it is one way to verify.
__weak __noinline __s64 ls_timeout_at(__u64 pointer, __u32 step_ns) {
  __s64 time[2] = {};
  if (!pointer || bpf_probe_read_user(time, sizeof(time), (void *)pointer)) return -1;
  if ((__u64)time[0] >= 1ULL << 32) return -1;
  return time[0] * 1000000000 + time[1] * step_ns;
}

static __always_inline __s64 ls_timeout(__u32 number, __u64 argument) {
  if (number == __NR_epoll_wait || number == __NR_epoll_pwait || number == __NR_poll)
    return (__s32)argument * (__s64)LS_MS;
  return ls_timeout_at(argument, ls_timeout_step(number));
}

static __always_inline int ls_enter(__u32 number, __s32 epoll_fd, __u64 timeout) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_poll poll = {.syscall = number, .epoll_fd = epoll_fd};
  if (!ls_concerns(task, thread)) return 0;
  poll.now = bpf_ktime_get_ns();
  poll.timeout_ns = ls_timeout(number, timeout);
  if (epoll_fd < 0) poll.stack_pointer = ls_user_stack(task);
  ls_poll_enter(task, thread, &poll);
  return 0;
}

static __always_inline int ls_exit(__u32 number, bool is_epoll, long returned) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_poll poll = {.syscall = number, .epoll_fd = -1};
  const struct pt_regs *regs;
  if (!ls_concerns(task, thread)) return 0;
  poll.now = bpf_ktime_get_ns();
  regs = (void *)bpf_task_pt_regs(task);
  if (is_epoll) poll.epoll_fd = (__s32)ls_first_argument(regs);
  poll.stack_pointer = ls_stack_pointer(regs);
  if (thread && !thread->polling) ls_end_polled(&poll, returned);
  ls_poll_exit(task, thread, &poll, returned);
  return 0;
}

// A new epoll instance got a descriptor number: a row that goes by that number is of an old one.
static __noinline int ls_created(long descriptor) {
  __u64 key = bpf_get_current_pid_tgid() >> 32 << 32 | (__u32)descriptor;
  __u32 *row;
  struct ls_loop *loop;
  if (descriptor < 0) return 0;
  row = bpf_map_lookup_elem(&rows_by_fd, &key);
  if (!row) return 0;
  loop = ls_row(*row);
  if (loop && loop->tgid == (__u32)(key >> 32) && loop->epoll_fd == (__s32)descriptor)
    __sync_fetch_and_or(&loop->flags, LS_LOOP_STALE);
  return 0;
}

// Each of these is for several calls, to whose tracepoints daemon/probe/attach_points.cpp attaches
// it. It may read no argument that one of the calls does not have: the kernel looks.
SEC("tp/syscalls/sys_enter_epoll_wait")
int epoll_enter(struct trace_event_raw_sys_enter *ctx) {
  return ls_enter((__u32)ctx->id, (__s32)ctx->args[0], ctx->args[3]);
}

SEC("tp/syscalls/sys_exit_epoll_wait")
int epoll_exit(struct trace_event_raw_sys_exit *ctx) {
  return ls_exit((__u32)ctx->id, true, ctx->ret);
}

SEC("tp/syscalls/sys_enter_poll")
int poll_enter(struct trace_event_raw_sys_enter *ctx) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
  __u32 number = (__u32)ctx->id;
  bool is_select = number == __NR_select || number == __NR_pselect6;
  return ls_enter(number, -1, is_select ? ls_fifth_argument(regs) : ls_third_argument(regs));
}

SEC("tp/syscalls/sys_exit_poll")
int poll_exit(struct trace_event_raw_sys_exit *ctx) {
  return ls_exit((__u32)ctx->id, false, ctx->ret);
}

SEC("tp/syscalls/sys_exit_epoll_create1")
int epoll_created(struct trace_event_raw_sys_exit *ctx) { return ls_created(ctx->ret); }

// The same by the functions themselves. What a tracepoint of one system call costs, every system
// call of the host pays (the entry code then takes its slow path for all of them), so of a kernel
// that allows this none is used.
#define LS_FUNCTION(name, is_epoll, epoll_fd, timeout)                     \
  SEC("fentry/__x64_sys_" #name)                                           \
  int BPF_PROG(name##_fn_in, const struct pt_regs *regs) {                 \
    return ls_enter(__NR_##name, epoll_fd, timeout);                       \
  }                                                                        \
  SEC("fexit/__x64_sys_" #name)                                            \
  int BPF_PROG(name##_fn_out, const struct pt_regs *regs, long returned) { \
    return ls_exit(__NR_##name, is_epoll, returned);                       \
  }

LS_FUNCTION(epoll_wait, true, ls_first_argument(regs), ls_fourth_argument(regs))
LS_FUNCTION(epoll_pwait, true, ls_first_argument(regs), ls_fourth_argument(regs))
LS_FUNCTION(epoll_pwait2, true, ls_first_argument(regs), ls_fourth_argument(regs))
LS_FUNCTION(poll, false, -1, ls_third_argument(regs))
LS_FUNCTION(ppoll, false, -1, ls_third_argument(regs))
LS_FUNCTION(select, false, -1, ls_fifth_argument(regs))
LS_FUNCTION(pselect6, false, -1, ls_fifth_argument(regs))

SEC("fexit/__x64_sys_epoll_create")
int BPF_PROG(epoll_create_fn_out, const struct pt_regs *regs, long returned) {
  return ls_created(returned);
}

SEC("fexit/__x64_sys_epoll_create1")
int BPF_PROG(epoll_create1_fn_out, const struct pt_regs *regs, long returned) {
  return ls_created(returned);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
