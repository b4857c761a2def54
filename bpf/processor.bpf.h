// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// All that depends on the processor: which saved registers carry a system call, and the numbers.
#ifndef LOOPSIGHT_BPF_PROCESSOR_H
#define LOOPSIGHT_BPF_PROCESSOR_H

#include "kernel.bpf.h"

#ifndef __TARGET_ARCH_x86
#error "only x86-64 is supported"
#endif

#include <asm/unistd_64.h>

// arch/x86/entry/entry_64.S: orig_ax is the number, or -1 in an exception taken from user space.
static __always_inline long ls_syscall_number(const struct pt_regs *regs) {
  return (long)regs->orig_ax;
}

static __always_inline void ls_syscall_args(const struct pt_regs *regs, __u64 args[3]) {
  args[0] = regs->di;
  args[1] = regs->si;
  args[2] = regs->dx;
}

static __always_inline __u64 ls_first_argument(const struct pt_regs *regs) { return regs->di; }
static __always_inline __u64 ls_third_argument(const struct pt_regs *regs) { return regs->dx; }
static __always_inline __u64 ls_fourth_argument(const struct pt_regs *regs) { return regs->r10; }
static __always_inline __u64 ls_fifth_argument(const struct pt_regs *regs) { return regs->r8; }

static __always_inline __u64 ls_stack_pointer(const struct pt_regs *regs) { return regs->sp; }

static __always_inline __u64 ls_user_stack(struct task_struct *task) {
  return ls_stack_pointer((void *)bpf_task_pt_regs(task));
}

// What pthread_self() returns, and CPython keeps as thread_id: on x86-64 the FS base, for glibc and
// musl alike.
static __always_inline __u64 ls_thread_pointer(struct task_struct *task) {
  return BPF_CORE_READ(task, thread.fsbase);
}

#endif
