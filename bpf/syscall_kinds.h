// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What each system call that can sleep waits on. One list, syscall_list.h, for the kernel side and
// for the test that compares it with the running kernel's own (tests/bpf/syscall_kinds_test.cpp):
// every call that takes a path or a descriptor stands there.
#ifndef LOOPSIGHT_BPF_SYSCALL_KINDS_H
#define LOOPSIGHT_BPF_SYSCALL_KINDS_H

#include <asm/unistd_64.h>
#include <linux/types.h>

enum ls_wait_kind {
  LS_WAIT_OTHER,        // none of these
  LS_WAIT_FD,           // the first argument is the descriptor; the cause is that of its object
  LS_WAIT_FD_SECOND,    // the second is
  LS_WAIT_POLL,         // poll and select
  LS_WAIT_EPOLL,        // on an epoll instance
  LS_WAIT_PATH,         // the first argument is a path
  LS_WAIT_PATH_SECOND,  // the second is; the first is the folder that it begins at
  LS_WAIT_DISK,         // the disk, whatever the arguments say
  LS_WAIT_SLEEP,
  LS_WAIT_LOCK,
  LS_WAIT_CHILD,   // a child process
  LS_WAIT_FCNTL,   // a lock of a file, with some of its commands
  LS_WAIT_MEMORY,  // the process's own memory map
};

#define LS_SYSCALL_KINDS 512

#ifndef __cplusplus
static const __u8 ls_syscall_kinds[LS_SYSCALL_KINDS] = {
#define LS_CALL(number, kind) [number] = kind,
#include "syscall_list.h"
#undef LS_CALL
};
#endif

#endif
