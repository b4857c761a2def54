// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Why a thread left the CPU: the cause of an off-CPU slice from the task state, the system call
// and the kind of its descriptor, read at switch-out, when the thread's own memory is readable;
// and, for a wait that proved long, what exactly the descriptor was, read at switch-in.
#ifndef LOOPSIGHT_BPF_WAIT_H
#define LOOPSIGHT_BPF_WAIT_H

#include "descriptors.bpf.h"
#include "syscall_kinds.h"

extern const volatile __u32 has_prev_state;

// A wait at least this long has its target looked up: the look-up costs about a microsecond.
#define LS_TARGET_MIN_NS 1000000

static __always_inline __u32 ls_wait_kind(long number) {
  return (__u64)number < LS_SYSCALL_KINDS ? ls_syscall_kinds[number] : LS_WAIT_OTHER;
}

// By the call alone; of a descriptor it depends on what that is.
static __always_inline __u32 ls_cause_of_call(__u32 kind, const __u64 args[3]) {
  switch (kind) {
    case LS_WAIT_SLEEP: return LS_CAUSE_SLEEP;
    case LS_WAIT_LOCK: return LS_CAUSE_LOCK;
    case LS_WAIT_CHILD: return LS_CAUSE_SUBPROCESS;
    case LS_WAIT_DISK:
    case LS_WAIT_PATH:
    case LS_WAIT_PATH_SECOND: return LS_CAUSE_DISK;
    case LS_WAIT_FCNTL:
      // F_SETLKW and F_OFD_SETLKW wait for a lock; the rest of fcntl hardly waits at all.
      return args[1] == 7 || args[1] == 38 ? LS_CAUSE_LOCK : LS_CAUSE_OTHER;
    default: return LS_CAUSE_OTHER;
  }
}

// CLOCK_REALTIME minus CLOCK_MONOTONIC, as user space keeps telling.
extern volatile __s64 realtime_offset_ns;

#define LS_FUTEX_WAIT 0
#define LS_FUTEX_WAIT_BITSET 9
#define LS_FUTEX_COMMAND 127
#define LS_FUTEX_CLOCK_REALTIME 256

// Until when the running thread waits for its futex at most, by CLOCK_MONOTONIC; 0: for ever. What
// the time is relative to follows from the operation (futex(2)).
__weak __noinline __u64 ls_futex_deadline(__u64 operation, __u64 now) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  __u64 pointer = ls_fourth_argument((void *)bpf_task_pt_regs(task));
  __u64 command = operation & LS_FUTEX_COMMAND;
  __s64 time[2] = {}, ns;
  if (command != LS_FUTEX_WAIT && command != LS_FUTEX_WAIT_BITSET) return 0;
  if (!pointer || bpf_probe_read_user(time, sizeof(time), (void *)pointer)) return 0;
  if ((__u64)time[0] >= 1ULL << 33) return 0;
  ns = time[0] * 1000000000 + time[1];
  if (command == LS_FUTEX_WAIT) return now + (__u64)ns;
  if (operation & LS_FUTEX_CLOCK_REALTIME) ns -= realtime_offset_ns;
  return ns > 0 ? (__u64)ns : 0;
}

static __always_inline bool ls_is_stopped(struct task_struct *task, __u32 state) {
  if (state & (LS_TASK_STOPPED | LS_TASK_TRACED | LS_TASK_FROZEN)) return true;
  // cgroup v2's freezer waits in an interruptible sleep and marks the task (do_freezer_trap in
  // kernel/signal.c); a parent that waits for its vfork child is marked too, but in another state.
  if (state & LS_TASK_INTERRUPTIBLE && bpf_core_field_exists(task->frozen) &&
      BPF_CORE_READ_BITFIELD_PROBED(task, frozen))
    return true;
  return BPF_CORE_READ(task, flags) & LS_PF_FROZEN;
}

// A wait in a page fault, or in a call that changes the process's memory map. Where it reads
// nothing it waits for the map's own lock, which another thread has, or for memory: which of them
// only the kernel's stack tells.
static __always_inline void ls_classify_memory(bool reads, bool in_fault, struct ls_wait *wait) {
  wait->cause = in_fault ? LS_CAUSE_PAGE_FAULT : LS_CAUSE_DISK;
  if (reads) return;
  wait->cause = LS_CAUSE_LOCK;
  wait->object = LS_OBJECT_MEMORY_MAP;
}

static __always_inline void ls_classify_descriptor(struct task_struct *task, __u32 kind,
                                                   struct ls_wait *wait) {
  struct ls_pick pick = {.fd = -1};
  struct file *file = ls_file(task, wait->fd);
  wait->object = ls_object_of(file);
  if (kind == LS_WAIT_EPOLL && wait->object == LS_OBJECT_EPOLL) {
    ls_pick_watched(ls_address(task), (__u64)file, &pick);
    wait->cause = ls_cause_of_object(ls_object_of(ls_file(task, pick.fd)));
    return;
  }
  wait->cause = ls_cause_of_object(wait->object);
}

// Fills `wait` for the task that leaves the CPU now, in `state` (0: preempted), or has left it:
// then it is not the current one, and what the call's arguments point to cannot be read.
static __always_inline void ls_classify_wait(struct task_struct *task, __u32 state, __u64 now,
                                             struct ls_wait *wait) {
  bool is_foreign = task != (struct task_struct *)bpf_get_current_task_btf();
  const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
  struct ls_pick pick = {.fd = -1};
  bool reads;
  __u32 kind;
  long number;

  wait->start_ns = now;
  wait->duration_ns = 0;
  wait->syscall = -1;
  wait->fd = -1;
  wait->object = LS_OBJECT_NONE;
  wait->family = 0;
  wait->flags = 0;
  wait->names[0][0] = 0;
  if (state == 0) {
    wait->cause = LS_CAUSE_RUN_QUEUE;
    return;
  }
  number = ls_syscall_number(regs);
  if (number >= 0) {
    wait->syscall = (__s32)number;
    ls_syscall_args(regs, wait->args);
  }
  if (ls_is_stopped(task, state)) {
    wait->cause = LS_CAUSE_STOPPED;
    return;
  }
  reads = state & LS_TASK_UNINTERRUPTIBLE && BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait);
  kind = number < 0 ? LS_WAIT_MEMORY : ls_wait_kind(number);
  if (kind == LS_WAIT_MEMORY) {
    ls_classify_memory(reads, number < 0, wait);
    return;
  }
  wait->cause = ls_cause_of_call(kind, wait->args);
  switch (kind) {
    case LS_WAIT_FD:
    case LS_WAIT_EPOLL: wait->fd = (__s32)wait->args[0]; break;
    case LS_WAIT_FD_SECOND: wait->fd = (__s32)wait->args[1]; break;
    case LS_WAIT_POLL:
      if (is_foreign) {
        // What it polls on stands in memory that is not readable from here.
        bool on_nothing = wait->args[ls_is_poll(number)] == 0;
        wait->cause = on_nothing ? LS_CAUSE_SLEEP : LS_CAUSE_NETWORK;
        return;
      }
      ls_pick_polled((__u32)number, wait->args[0], wait->args[1], wait->args[2], &pick);
      wait->fd = pick.fd;
      if (pick.fd < 0) {
        wait->cause = LS_CAUSE_SLEEP;  // time.sleep before 3.11 is a select on nothing
        return;
      }
      break;
    case LS_WAIT_PATH:
    case LS_WAIT_PATH_SECOND:
      wait->object = LS_OBJECT_PATH;
      if (is_foreign) return;
      bpf_probe_read_user_str(wait->names, sizeof(wait->names),
                              (void *)wait->args[kind == LS_WAIT_PATH_SECOND]);
      // With AT_EMPTY_PATH, or none at all, the call is about the descriptor itself.
      if (kind == LS_WAIT_PATH || wait->names[0][0]) return;
      wait->object = LS_OBJECT_NONE;
      wait->fd = (__s32)wait->args[0];
      break;
    default: break;
  }
  if (wait->fd >= 0) ls_classify_descriptor(task, kind, wait);
  // Uninterruptible sleep with iowait is disk whatever the call says; without it, it is the
  // kernel's own lock and stays what the call makes of it.
  if (wait->cause == LS_CAUSE_OTHER && reads) wait->cause = LS_CAUSE_DISK;
}

static __always_inline void ls_socket_target(struct file *file, struct ls_wait *wait) {
  struct sock *sk = ls_sock(file);
  wait->family = BPF_CORE_READ(sk, __sk_common.skc_family);
  wait->port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
  if (wait->family == LS_AF_INET) {
    __u32 address = BPF_CORE_READ(sk, __sk_common.skc_daddr);
    __builtin_memcpy(wait->address, &address, sizeof(address));
  } else if (wait->family == LS_AF_INET6) {
    BPF_CORE_READ_INTO(&wait->address, sk, __sk_common.skc_v6_daddr);
  } else if (wait->family == LS_AF_UNIX && bpf_core_type_exists(struct unix_sock)) {
    struct unix_sock *peer = (void *)BPF_CORE_READ((struct unix_sock *)sk, peer);
    struct unix_address *address = peer ? BPF_CORE_READ(peer, addr) : NULL;
    if (address)
      bpf_probe_read_kernel_str(wait->names, sizeof(wait->names), address->name[0].sun_path);
  }
}

// The path as the task sees it: up to its own root directory.
static __always_inline void ls_path_target(struct task_struct *task, struct file *file,
                                           struct ls_wait *wait) {
  struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);
  struct vfsmount *root_mount = BPF_CORE_READ(task, fs, root.mnt);
  struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
  struct vfsmount *vfs = BPF_CORE_READ(file, f_path.mnt);
  __u32 depth = 0;
  for (int step = 0; step < LS_PATH_NAMES + 4; step++) {
    struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
    if (dentry == root && vfs == root_mount) break;
    if (dentry == BPF_CORE_READ(vfs, mnt_root)) {
      struct mount *mount = (void *)((char *)vfs - bpf_core_field_offset(struct mount, mnt));
      struct mount *above = BPF_CORE_READ(mount, mnt_parent);
      if (above == mount) break;
      dentry = BPF_CORE_READ(mount, mnt_mountpoint);
      vfs = (void *)((char *)above + bpf_core_field_offset(struct mount, mnt));
      continue;
    }
    if (dentry == parent || depth >= LS_PATH_NAMES) break;
    bpf_probe_read_kernel_str(wait->names[depth & (LS_PATH_NAMES - 1)], LS_PATH_NAME_SIZE,
                              BPF_CORE_READ(dentry, d_name.name));
    depth++;
    dentry = parent;
  }
  if (depth < LS_PATH_NAMES) wait->names[depth & (LS_PATH_NAMES - 1)][0] = 0;
}

struct task_struct___state {
  unsigned int __state;
} __attribute__((preserve_access_index));

// The state in which `prev` leaves the CPU, as the tracepoint sched_switch hands it over; 0:
// preempted.
static __always_inline __u32 ls_left_in(const __u64 *ctx, struct task_struct *prev) {
  struct task_struct___state *old = (void *)prev;
  if ((bool)ctx[0]) return 0;
  if (has_prev_state) return (__u32)ctx[3];
  return bpf_core_field_exists(old->__state) ? BPF_CORE_READ(old, __state) : 0;
}

static __always_inline void ls_name_target(struct task_struct *task, struct file *file,
                                           struct ls_wait *wait) {
  switch (ls_object_of(file)) {
    case LS_OBJECT_SOCKET: ls_socket_target(file, wait); break;
    case LS_OBJECT_FILE:
    case LS_OBJECT_DIRECTORY:
    case LS_OBJECT_BLOCK_DEVICE:
    case LS_OBJECT_CHARACTER_DEVICE:
    case LS_OBJECT_PIPE: ls_path_target(task, file, wait); break;
    default: break;
  }
}

// Says what the descriptor of a long wait was. `task` comes back to the CPU now, still inside the
// system call, so its descriptor is still open; an epoll instance has its ready ones in its list.
static __always_inline void ls_find_target(struct task_struct *task, struct ls_wait *wait) {
  struct ls_pick pick = {.fd = -1};
  struct file *file;
  if (wait->fd < 0) return;
  file = ls_file(task, wait->fd);
  if (file && wait->object == LS_OBJECT_EPOLL) {
    ls_pick_watched(ls_address(task), (__u64)file, &pick);
    file = ls_file(task, pick.fd);
    if (file && pick.ready) wait->cause = ls_cause_of_object(ls_object_of(file));
  }
  if (!file) {
    ls_count(LS_COUNT_TARGET_UNREADABLE);
    return;
  }
  ls_name_target(task, file, wait);
}

#endif
