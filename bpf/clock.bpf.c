// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Entries into and returns from the poll calls. Two families of hooks do the same: fentry and
// fexit, which cost only the calls themselves, and the per-syscall tracepoints, for kernels that
// refuse the first. User space loads one family (daemon/probe).
#include "clock.bpf.h"

const volatile __u32 listed_only = 0;  // 1: watch only what user space put into `processes`
const volatile __u64 threshold_ns = 50000000;
const volatile __u32 count_functions = 0;  // 1: the function probe is attached
const volatile __u32 exact_delays = 0;     // 1: delays.bpf.c is attached

static __always_inline int ls_enter(__u32 number, __s32 epoll_fd, __s64 timeout_ns) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_thread *thread = ls_thread_of(task);
  struct ls_poll poll = {.syscall = number, .epoll_fd = epoll_fd, .timeout_ns = timeout_ns};
  if (!ls_concerns(task, thread)) return 0;
  poll.now = bpf_ktime_get_ns();
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
  if (is_epoll) poll.epoll_fd = (__s32)regs->di;
  poll.stack_pointer = ls_stack_pointer(regs);
  ls_poll_exit(task, thread, &poll, returned);
  return 0;
}

// Timeouts in nanoseconds, negative where there is none: of the calls that take milliseconds...
static __always_inline __s64 ls_timeout_ms(__s32 timeout_ms) { return timeout_ms * (__s64)LS_MS; }

// ...and of those that point to seconds and fractions. A global function, so that it is one way to
// verify.
__weak __noinline __s64 ls_timeout_at(__u64 pointer, __u32 step_ns) {
  __s64 time[2] = {};
  if (!pointer || bpf_probe_read_user(time, sizeof(time), (void *)pointer)) return -1;
  if ((__u64)time[0] >= 1ULL << 32) return -1;
  return time[0] * 1000000000 + time[1] * step_ns;
}

#define LS_ENTER_MS(number, fd, timeout) ls_enter(number, fd, ls_timeout_ms(timeout))
#define LS_ENTER_AT(number, fd, pointer) \
  ls_enter(number, fd, ls_timeout_at(pointer, ls_timeout_step(number)))

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

#define LS_ENTER(name, call)          \
  SEC("tp/syscalls/sys_enter_" #name) \
  int name##_enter(struct trace_event_raw_sys_enter *ctx) { return call; }
#define LS_EXIT(name, number, is_epoll)                   \
  SEC("tp/syscalls/sys_exit_" #name)                      \
  int name##_exit(struct trace_event_raw_sys_exit *ctx) { \
    return ls_exit(number, is_epoll, ctx->ret);           \
  }
#define LS_FENTRY(name, number, call)                                      \
  SEC("fentry/__x64_sys_" #name)                                           \
  int BPF_PROG(name##_fn_in, const struct pt_regs *regs) { return call; }  \
  SEC("fexit/__x64_sys_" #name)                                            \
  int BPF_PROG(name##_fn_out, const struct pt_regs *regs, long returned) { \
    return ls_exit(number, true, returned);                                \
  }

LS_ENTER(epoll_wait, LS_ENTER_MS(__NR_epoll_wait, (__s32)ctx->args[0], (__s32)ctx->args[3]))
LS_EXIT(epoll_wait, __NR_epoll_wait, true)
LS_ENTER(epoll_pwait, LS_ENTER_MS(__NR_epoll_pwait, (__s32)ctx->args[0], (__s32)ctx->args[3]))
LS_EXIT(epoll_pwait, __NR_epoll_pwait, true)
LS_ENTER(epoll_pwait2, LS_ENTER_AT(441, (__s32)ctx->args[0], ctx->args[3]))
LS_EXIT(epoll_pwait2, 441, true)

// By functions of their own, since of the stack there is hardly enough for what an entry may do.
static __noinline __s32 ls_epoll_argument(const struct pt_regs *regs) {
  return (__s32)BPF_CORE_READ(regs, di);
}
static __noinline __u64 ls_timeout_argument(const struct pt_regs *regs) {
  return BPF_CORE_READ(regs, r10);
}

LS_FENTRY(epoll_wait, __NR_epoll_wait,
          LS_ENTER_MS(__NR_epoll_wait, ls_epoll_argument(regs), (__s32)ls_timeout_argument(regs)))
LS_FENTRY(epoll_pwait, __NR_epoll_pwait,
          LS_ENTER_MS(__NR_epoll_pwait, ls_epoll_argument(regs), (__s32)ls_timeout_argument(regs)))
LS_FENTRY(epoll_pwait2, 441, LS_ENTER_AT(441, ls_epoll_argument(regs), ls_timeout_argument(regs)))

LS_ENTER(poll, LS_ENTER_MS(__NR_poll, -1, (__s32)ctx->args[2]))
LS_EXIT(poll, __NR_poll, false)
LS_ENTER(ppoll, LS_ENTER_AT(__NR_ppoll, -1, ctx->args[2]))
LS_EXIT(ppoll, __NR_ppoll, false)
LS_ENTER(select, LS_ENTER_AT(__NR_select, -1, ctx->args[4]))
LS_EXIT(select, __NR_select, false)
LS_ENTER(pselect6, LS_ENTER_AT(__NR_pselect6, -1, ctx->args[4]))
LS_EXIT(pselect6, __NR_pselect6, false)

SEC("tp/syscalls/sys_exit_epoll_create")
int epoll_create(struct trace_event_raw_sys_exit *ctx) { return ls_created(ctx->ret); }

SEC("tp/syscalls/sys_exit_epoll_create1")
int epoll_create1(struct trace_event_raw_sys_exit *ctx) { return ls_created(ctx->ret); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
