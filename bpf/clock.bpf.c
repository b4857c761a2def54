// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Entries into and returns from the poll calls. Two families of hooks do the same: fentry and
// fexit, which cost only the calls themselves, and the per-syscall tracepoints, for kernels that
// refuse the first. User space loads one family (daemon/probe).
#include "clock.bpf.h"

const volatile __u32 listed_only = 0;  // 1: watch only what user space put into `processes`
const volatile __u64 threshold_ns = 50000000;
const volatile __u32 count_functions = 0;  // 1: the function probe is attached

static __noinline int ls_enter(__u32 number, __s32 epoll_fd, __u32 no_wait) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_poll poll = {
      .syscall = number,
      .epoll_fd = epoll_fd,
      .no_wait = no_wait,
      .now = bpf_ktime_get_ns(),
      .stack_pointer = ls_stack_pointer((void *)bpf_task_pt_regs(task)),
  };
  ls_poll_enter(task, &poll);
  return 0;
}

static __noinline int ls_exit(__u32 number, bool is_epoll) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
  struct ls_poll poll = {
      .syscall = number,
      .epoll_fd = is_epoll ? (__s32)BPF_CORE_READ(regs, di) : -1,
      .now = bpf_ktime_get_ns(),
      .stack_pointer = ls_stack_pointer(regs),
  };
  ls_poll_exit(task, &poll);
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

#define LS_ENTER(name, number, fd, no_wait) \
  SEC("tp/syscalls/sys_enter_" #name)       \
  int name##_enter(struct trace_event_raw_sys_enter *ctx) { return ls_enter(number, fd, no_wait); }
#define LS_EXIT(name, number, is_epoll) \
  SEC("tp/syscalls/sys_exit_" #name)    \
  int name##_exit(struct trace_event_raw_sys_exit *ctx) { return ls_exit(number, is_epoll); }
#define LS_FENTRY(name, number, no_wait)                              \
  SEC("fentry/__x64_sys_" #name)                                      \
  int BPF_PROG(name##_fn_in, const struct pt_regs *regs) {            \
    return ls_enter(number, (__s32)BPF_CORE_READ(regs, di), no_wait); \
  }                                                                   \
  SEC("fexit/__x64_sys_" #name)                                       \
  int BPF_PROG(name##_fn_out, const struct pt_regs *regs) { return ls_exit(number, true); }

LS_ENTER(epoll_wait, __NR_epoll_wait, (__s32)ctx->args[0], (__s32)ctx->args[3] == 0)
LS_EXIT(epoll_wait, __NR_epoll_wait, true)
LS_ENTER(epoll_pwait, __NR_epoll_pwait, (__s32)ctx->args[0], (__s32)ctx->args[3] == 0)
LS_EXIT(epoll_pwait, __NR_epoll_pwait, true)
LS_ENTER(epoll_pwait2, 441, (__s32)ctx->args[0], 0)
LS_EXIT(epoll_pwait2, 441, true)

LS_FENTRY(epoll_wait, __NR_epoll_wait, (__s32)BPF_CORE_READ(regs, r10) == 0)
LS_FENTRY(epoll_pwait, __NR_epoll_pwait, (__s32)BPF_CORE_READ(regs, r10) == 0)
LS_FENTRY(epoll_pwait2, 441, 0)

LS_ENTER(poll, __NR_poll, -1, (__s32)ctx->args[2] == 0)
LS_EXIT(poll, __NR_poll, false)
LS_ENTER(ppoll, __NR_ppoll, -1, 0)
LS_EXIT(ppoll, __NR_ppoll, false)
LS_ENTER(select, __NR_select, -1, 0)
LS_EXIT(select, __NR_select, false)
LS_ENTER(pselect6, __NR_pselect6, -1, 0)
LS_EXIT(pselect6, __NR_pselect6, false)

SEC("tp/syscalls/sys_exit_epoll_create")
int epoll_create(struct trace_event_raw_sys_exit *ctx) { return ls_created(ctx->ret); }

SEC("tp/syscalls/sys_exit_epoll_create1")
int epoll_create1(struct trace_event_raw_sys_exit *ctx) { return ls_created(ctx->ret); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
