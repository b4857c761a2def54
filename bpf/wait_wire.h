// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a loop's time went to: the causes, a wait and what it was on, and who waited for a stall to
// end. Part of wire.h, and under its rules.
#ifndef LOOPSIGHT_BPF_WAIT_WIRE_H
#define LOOPSIGHT_BPF_WAIT_WIRE_H

#include <linux/types.h>

#define LS_PATH_NAMES 8  // path components kept of a file, the innermost first
#define LS_PATH_NAME_SIZE 32

// A slice of a busy phase belongs to exactly one cause. The order is that of the contract.
enum ls_cause {
  LS_CAUSE_CPU,
  LS_CAUSE_GC,
  LS_CAUSE_IMPORT,
  LS_CAUSE_GIL,
  LS_CAUSE_LOCK,
  LS_CAUSE_SLEEP,
  LS_CAUSE_NETWORK,
  LS_CAUSE_DISK,
  LS_CAUSE_PIPE,
  LS_CAUSE_SUBPROCESS,
  LS_CAUSE_PAGE_FAULT,
  LS_CAUSE_RUN_QUEUE,
  LS_CAUSE_THROTTLED,
  LS_CAUSE_STOPPED,
  LS_CAUSE_OTHER,
  LS_CAUSE_UNKNOWN,
  LS_PHASE_CAUSES,  // those that the kernel side adds up; a power of two: see ls_add
  // The part of what it adds up as LS_CAUSE_CPU that the kernel ran on the thread's behalf.
  LS_CAUSE_SYSTEM = LS_PHASE_CAUSES,
  LS_CAUSES
};

// What a waiting system call's descriptor refers to.
enum ls_object {
  LS_OBJECT_NONE,
  LS_OBJECT_SOCKET,
  LS_OBJECT_FILE,
  LS_OBJECT_DIRECTORY,
  LS_OBJECT_BLOCK_DEVICE,
  LS_OBJECT_CHARACTER_DEVICE,
  LS_OBJECT_PIPE,
  LS_OBJECT_EVENTFD,
  LS_OBJECT_TIMERFD,
  LS_OBJECT_EPOLL,
  LS_OBJECT_PIDFD,
  LS_OBJECT_OTHER,
  LS_OBJECT_PATH,           // path names given to the system call, as one string in `names`
  LS_OBJECT_STOPPED_WORLD,  // a free-threaded interpreter whose threads all have to wait
  LS_OBJECT_MEMORY_MAP,     // the process's own memory map
};

enum ls_wait_flag {
  LS_WAIT_TIMED_OUT = 1,  // its time was up
  LS_WAIT_RETURNED = 2,   // the poll call that it was in has returned
};

// One off-CPU slice inside a busy phase.
struct ls_wait {
  __u64 start_ns;     // CLOCK_MONOTONIC
  __u64 duration_ns;  // without the time ready to run but not running
  __u32 cause;        // enum ls_cause
  __s32 syscall;      // number on this processor, -1 outside a system call
  __u64 args[3];      // the system call's first three arguments
  __s32 fd;           // the descriptor waited on, -1 none
  __u32 object;       // enum ls_object
  __u16 family;       // AF_INET, AF_INET6, AF_UNIX; 0 unknown
  __u16 flags;        // enum ls_wait_flag
  __u32 port;         // host order
  __u8 address[16];   // network order, 4 bytes used for AF_INET
  char names[LS_PATH_NAMES][LS_PATH_NAME_SIZE];  // innermost first, "" ends
};

#define LS_KERNEL_FRAMES 16

// The kernel's functions in which a thread slept, by the addresses they return to, innermost first;
// 0 ends.
struct ls_kernel_stack {
  __u64 address[LS_KERNEL_FRAMES];
};

// What waited for a stall to end, as the poll calls after it tell.
struct ls_waiters {
  __u64 start_ns;  // of the stall; 0: none is open
  __u64 end_ns;
  __u64 timer_due_ns;  // of the first timer that it kept waiting, 0 none
  __u64 timer_late_ns;
  __u64 wait_ns;  // sum and longest of the waits of `seen`
  __u64 longest_ns;
  __u32 ready;         // descriptors that the next poll call returned
  __u32 ready_before;  // those that the poll call before the stall had returned
  __u32 seen;          // of `ready`, those that were seen to become ready during the stall
  __u32 pad;
};

#endif
