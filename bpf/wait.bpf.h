// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Why a thread left the CPU: the cause of an off-CPU slice from the task state, the system call
// and the kind of its descriptor, read at switch-out, when the thread's own memory is readable;
// and, for a wait that proved long, what exactly the descriptor was, read at switch-in.
#ifndef LOOPSIGHT_BPF_WAIT_H
#define LOOPSIGHT_BPF_WAIT_H

#include "processor.bpf.h"
#include "state.bpf.h"

extern const volatile __u32 has_prev_state;

// A wait at least this long has its target looked up: the look-up costs about a microsecond.
#define LS_TARGET_MIN_NS 1000000

static __always_inline struct file *ls_file(struct task_struct *task, __s32 fd) {
  struct fdtable *table = BPF_CORE_READ(task, files, fdt);
  struct file **files, *file = NULL;
  if (fd < 0 || !table || (__u32)fd >= BPF_CORE_READ(table, max_fds)) return NULL;
  files = BPF_CORE_READ(table, fd);
  if (bpf_probe_read_kernel(&file, sizeof(file), &files[fd])) return NULL;
  return file;
}

static __always_inline __u32 ls_anonymous_object(struct file *file) {
  // The names are those given to anon_inode_getfile: fs/eventfd.c, timerfd.c, eventpoll.c, fork.c.
  char name[8] = {};
  bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
  if (name[0] != '[') return LS_OBJECT_OTHER;
  if (name[1] == 'e' && name[2] == 'v' && name[6] == 'f') return LS_OBJECT_EVENTFD;
  if (name[1] == 'e' && name[2] == 'v' && name[6] == 'p') return LS_OBJECT_EPOLL;
  if (name[1] == 't' && name[2] == 'i') return LS_OBJECT_TIMERFD;
  if (name[1] == 'p' && name[2] == 'i') return LS_OBJECT_PIDFD;
  return LS_OBJECT_OTHER;
}

static __always_inline __u32 ls_object_of(struct file *file) {
  struct inode *inode;
  if (!file) return LS_OBJECT_NONE;
  inode = BPF_CORE_READ(file, f_inode);
  switch (BPF_CORE_READ(inode, i_mode) & LS_S_IFMT) {
    case LS_S_IFSOCK: return LS_OBJECT_SOCKET;
    case LS_S_IFDIR: return LS_OBJECT_DIRECTORY;
    case LS_S_IFBLK: return LS_OBJECT_BLOCK_DEVICE;
    case LS_S_IFCHR: return LS_OBJECT_CHARACTER_DEVICE;
    case LS_S_IFIFO: return LS_OBJECT_PIPE;
    case LS_S_IFREG:
      if (BPF_CORE_READ(inode, i_sb, s_magic) == LS_PIDFS_MAGIC) return LS_OBJECT_PIDFD;
      return LS_OBJECT_FILE;
    default: return ls_anonymous_object(file);
  }
}

// The descriptor that an inner epoll instance watches first: the root of its tree (eventpoll.c).
static __always_inline struct file *ls_watched_file(struct file *epoll) {
  struct eventpoll *ep = BPF_CORE_READ(epoll, private_data);
  struct rb_node *node = BPF_CORE_READ(ep, rbr.rb_root.rb_node);
  struct epitem *item = (void *)((char *)node - bpf_core_field_offset(struct epitem, rbn));
  return node ? BPF_CORE_READ(item, ffd.file) : NULL;
}

static __always_inline __u32 ls_cause_of_object(__u32 object) {
  switch (object) {
    case LS_OBJECT_SOCKET: return LS_CAUSE_NETWORK;
    case LS_OBJECT_FILE:
    case LS_OBJECT_DIRECTORY:
    case LS_OBJECT_BLOCK_DEVICE: return LS_CAUSE_DISK;
    case LS_OBJECT_CHARACTER_DEVICE:
    case LS_OBJECT_PIPE:
    case LS_OBJECT_EVENTFD: return LS_CAUSE_PIPE;
    case LS_OBJECT_TIMERFD: return LS_CAUSE_SLEEP;
    case LS_OBJECT_PIDFD: return LS_CAUSE_SUBPROCESS;
    default: return LS_CAUSE_OTHER;
  }
}

// The position of the lowest bit that is set; `word` is not 0.
static __always_inline __s32 ls_lowest_bit(__u64 word) {
  __s32 bit = 0;
  if (!(word & 0xffffffff)) bit += 32, word >>= 32;
  if (!(word & 0xffff)) bit += 16, word >>= 16;
  if (!(word & 0xff)) bit += 8, word >>= 8;
  if (!(word & 0xf)) bit += 4, word >>= 4;
  if (!(word & 0x3)) bit += 2, word >>= 2;
  return bit + !(word & 1);
}

// The first descriptor of a poll or select call, -1 where there is none or it is unreadable.
static __always_inline __s32 ls_polled_fd(long number, const __u64 args[3]) {
  if (number == __NR_poll || number == __NR_ppoll) {
    __s32 fd = -1;
    if (args[1] == 0 || bpf_probe_read_user(&fd, sizeof(fd), (void *)args[0])) return -1;
    return fd;
  }
  for (int set = 1; set <= 2; set++) {  // the read set, then the write set
    __u64 words[2] = {};
    const void *pointer = (void *)(set == 1 ? args[1] : args[2]);
    // glibc's fd_set has 1024 bits, so 16 bytes are there whatever nfds says.
    if (!pointer || bpf_probe_read_user(words, sizeof(words), pointer)) continue;
    if (words[0]) return ls_lowest_bit(words[0]);
    if (words[1]) return 64 + ls_lowest_bit(words[1]);
  }
  return -1;
}

// What kind of thing a system call waits on. The descriptor, if any, goes to wait->fd.
enum ls_wait_kind {
  LS_WAIT_FD_FIRST,  // args[0] is the descriptor; the cause is that of its object
  LS_WAIT_POLL,
  LS_WAIT_EPOLL,
  LS_WAIT_PATH,  // args[0] or args[1] is a path
  LS_WAIT_CAUSE,
};

static __always_inline __u32 ls_wait_kind(long number, const __u64 args[3], __u32 *cause) {
  *cause = LS_CAUSE_OTHER;
  switch (number) {
    case __NR_nanosleep:
    case __NR_clock_nanosleep:
    case __NR_pause: *cause = LS_CAUSE_SLEEP; return LS_WAIT_CAUSE;
    case __NR_futex:
    case 449:  // futex_waitv
    case 455:  // futex_wait
    case __NR_flock:
    case __NR_semop:
    case __NR_semtimedop: *cause = LS_CAUSE_LOCK; return LS_WAIT_CAUSE;
    case __NR_fcntl:
      // F_SETLKW and F_OFD_SETLKW wait for a lock; the rest of fcntl hardly waits at all.
      if (args[1] == 7 || args[1] == 38) *cause = LS_CAUSE_LOCK;
      return LS_WAIT_CAUSE;
    case __NR_wait4:
    case __NR_waitid:
    case __NR_vfork:
    case __NR_clone:
    case 435:  // clone3; a parent waits in these for a CLONE_VFORK child
      *cause = LS_CAUSE_SUBPROCESS;
      return LS_WAIT_CAUSE;
    case __NR_select:
    case __NR_pselect6:
    case __NR_poll:
    case __NR_ppoll: return LS_WAIT_POLL;
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2: return LS_WAIT_EPOLL;
    case __NR_connect:
    case __NR_accept:
    case __NR_accept4:
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_recvmmsg:
    case __NR_sendto:
    case __NR_sendmsg:
    case __NR_sendmmsg:
    case __NR_shutdown:
    case __NR_read:
    case __NR_readv:
    case __NR_pread64:
    case __NR_preadv:
    case 327:  // preadv2
    case __NR_write:
    case __NR_writev:
    case __NR_pwrite64:
    case __NR_pwritev:
    case 328:  // pwritev2
    case __NR_sendfile:
    case __NR_splice:
    case 326:  // copy_file_range
    case __NR_fsync:
    case __NR_fdatasync:
    case __NR_sync_file_range:
    case __NR_syncfs:
    case __NR_fallocate:
    case __NR_ftruncate:
    case __NR_fstat:
    case __NR_getdents:
    case __NR_getdents64:
    case __NR_lseek:
    case __NR_close:
    case __NR_ioctl: return LS_WAIT_FD_FIRST;
    case __NR_sync:
    case __NR_msync:
    case __NR_io_getevents:
    case __NR_mount:
    case __NR_umount2: *cause = LS_CAUSE_DISK; return LS_WAIT_CAUSE;
    case __NR_open:
    case __NR_openat:
    case 437:  // openat2
    case __NR_stat:
    case __NR_lstat:
    case __NR_newfstatat:
    case 332:  // statx
    case __NR_access:
    case __NR_faccessat:
    case 439:  // faccessat2
    case __NR_mkdir:
    case __NR_mkdirat:
    case __NR_rmdir:
    case __NR_unlink:
    case __NR_unlinkat:
    case __NR_rename:
    case __NR_renameat:
    case __NR_renameat2:
    case __NR_link:
    case __NR_symlink:
    case __NR_readlink:
    case __NR_chmod:
    case __NR_chown:
    case __NR_truncate:
    case __NR_chdir:
    case __NR_statfs:
    case __NR_execve: *cause = LS_CAUSE_DISK; return LS_WAIT_PATH;
    default: return LS_WAIT_CAUSE;
  }
}

static __always_inline const void *ls_path_argument(long number, const __u64 args[3]) {
  switch (number) {
    case __NR_openat:
    case 437:
    case __NR_newfstatat:
    case 332:
    case __NR_faccessat:
    case 439:
    case __NR_mkdirat:
    case __NR_unlinkat:
    case __NR_renameat:
    case __NR_renameat2: return (void *)args[1];
    default: return (void *)args[0];
  }
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

// Fills `wait` for the task that leaves the CPU now, in `state` (0: preempted), or has left it:
// then it is not the current one, and what the call's arguments point to cannot be read.
static __always_inline void ls_classify_wait(struct task_struct *task, __u32 state, __u64 now,
                                             struct ls_wait *wait) {
  bool is_foreign = task != (struct task_struct *)bpf_get_current_task_btf();
  const struct pt_regs *regs = (void *)bpf_task_pt_regs(task);
  struct file *file;
  __u32 kind;
  long number;

  wait->start_ns = now;
  wait->duration_ns = 0;
  wait->syscall = -1;
  wait->fd = -1;
  wait->object = LS_OBJECT_NONE;
  wait->family = 0;
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
  if (number < 0) {
    // An exception from user space that sleeps is a page fault that had to wait for its page.
    wait->cause = LS_CAUSE_PAGE_FAULT;
    return;
  }
  kind = ls_wait_kind(number, wait->args, &wait->cause);
  switch (kind) {
    case LS_WAIT_FD_FIRST: wait->fd = (__s32)wait->args[0]; break;
    case LS_WAIT_EPOLL: wait->fd = (__s32)wait->args[0]; break;
    case LS_WAIT_POLL:
      if (is_foreign) {
        // What it polls on stands in memory that is not readable from here.
        bool on_nothing = wait->args[number == __NR_poll || number == __NR_ppoll ? 1 : 0] == 0;
        wait->cause = on_nothing ? LS_CAUSE_SLEEP : LS_CAUSE_NETWORK;
        return;
      }
      wait->fd = ls_polled_fd(number, wait->args);
      break;
    case LS_WAIT_PATH:
      wait->object = LS_OBJECT_PATH;
      if (is_foreign) return;
      bpf_probe_read_user_str(wait->names, sizeof(wait->names),
                              ls_path_argument(number, wait->args));
      return;
    default: break;
  }
  if (kind == LS_WAIT_POLL && wait->fd < 0) {
    wait->cause = LS_CAUSE_SLEEP;  // time.sleep before 3.11 is a select on nothing
    return;
  }
  if (kind != LS_WAIT_CAUSE) {
    file = ls_file(task, wait->fd);
    wait->object = ls_object_of(file);
    if (kind == LS_WAIT_EPOLL && wait->object == LS_OBJECT_EPOLL)
      wait->cause = ls_cause_of_object(ls_object_of(ls_watched_file(file)));
    else
      wait->cause = ls_cause_of_object(wait->object);
  }
  // Uninterruptible sleep with iowait is disk whatever the call says; without it, it is the
  // kernel's own lock and stays what the call makes of it.
  if (wait->cause == LS_CAUSE_OTHER && (state & LS_TASK_UNINTERRUPTIBLE) &&
      BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
    wait->cause = LS_CAUSE_DISK;
}

static __always_inline void ls_socket_target(struct file *file, struct ls_wait *wait) {
  struct socket *socket = BPF_CORE_READ(file, private_data);
  struct sock *sk = BPF_CORE_READ(socket, sk);
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

// Says what the descriptor of a long wait was. `task` comes back to the CPU now, still inside the
// system call, so its descriptor is still open.
static __always_inline void ls_find_target(struct task_struct *task, struct ls_wait *wait) {
  struct file *file;
  if (wait->fd < 0) return;
  file = ls_file(task, wait->fd);
  if (file && wait->object == LS_OBJECT_EPOLL) file = ls_watched_file(file);
  if (!file) {
    ls_count(LS_COUNT_TARGET_UNREADABLE);
    return;
  }
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

#endif
