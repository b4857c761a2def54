// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Descriptors of the running or the woken thread: what they refer to, and which of several that a
// call waits on stands for the wait.
#ifndef LOOPSIGHT_BPF_DESCRIPTORS_H
#define LOOPSIGHT_BPF_DESCRIPTORS_H

#include "processor.bpf.h"
#include "state.bpf.h"

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

static __always_inline struct sock *ls_sock(struct file *file) {
  struct socket *socket = BPF_CORE_READ(file, private_data);
  return BPF_CORE_READ(socket, sk);
}

#define LS_NEIGHBOURS 3

struct ls_pair {
  __u64 task;
  struct file *file;
  struct inode *inode;  // of a pipe
  struct sock *sk;      // the other end of a socket
  __s32 fd;
  __u32 found;
};

static long ls_neighbour_step(__u32 i, struct ls_pair *pair) {
  struct file *other =
      ls_file((struct task_struct *)pair->task, pair->fd - LS_NEIGHBOURS + (__s32)i);
  if (!other || other == pair->file) return 0;
  if (pair->sk)
    pair->found = ls_object_of(other) == LS_OBJECT_SOCKET && ls_sock(other) == pair->sk;
  else
    pair->found = BPF_CORE_READ(other, f_inode) == pair->inode;
  return pair->found;
}

// Both ends are in this process: one thread of it wakes another by it. The ends of what pipe() and
// socketpair() made mostly have numbers next to each other.
static __noinline int ls_is_own_pair(__u64 task, struct file *file, __s32 fd, __u32 object) {
  struct ls_pair pair = {.task = task, .file = file, .fd = fd};
  struct sock *peer = NULL;
  if (object == LS_OBJECT_SOCKET) {
    struct sock *sk = ls_sock(file);
    if (BPF_CORE_READ(sk, __sk_common.skc_family) != LS_AF_UNIX ||
        !bpf_core_type_exists(struct unix_sock))
      return 0;
    peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
    if (!peer) return 0;
  }
  pair.sk = peer;
  pair.inode = BPF_CORE_READ(file, f_inode);
  LS_REPEAT(2 * LS_NEIGHBOURS + 1, ls_neighbour_step, &pair);
  return pair.found;
}

// The address of a task as a number: the verifier lets a global function have no other.
static __always_inline __u64 ls_address(struct task_struct *task) {
  __u64 distance = (__u64)task, self = (__u64)bpf_get_current_task_btf();
  asm volatile("%0 -= %1" : "+r"(distance) : "r"(self));
  return distance + bpf_get_current_task();
}

#define LS_RANK_WAKES 2  // up to this one, it only wakes the thread

// Of several descriptors of one wait, which one is it about? Rather a peer than what only wakes the
// thread. 0 for what is none. Global functions, here and below, are verified once in a program;
// they take the task by its address, since it need not be the running one.
__weak __noinline __u32 ls_rank(__u64 task, __s32 fd) {
  struct file *file = ls_file((struct task_struct *)task, fd);
  __u32 object = ls_object_of(file);
  switch (object) {
    case LS_OBJECT_NONE: return 0;
    case LS_OBJECT_EVENTFD: return 1;
    case LS_OBJECT_TIMERFD: return 3;
    case LS_OBJECT_PIPE: return ls_is_own_pair(task, file, fd, object) ? 2 : 4;
    case LS_OBJECT_SOCKET: return ls_is_own_pair(task, file, fd, object) ? 2 : 6;
    default: return 5;
  }
}

// The best of the descriptors that were looked at.
struct ls_pick {
  __s32 fd;  // -1: none
  __u32 rank;
  __u32 ready;  // 1: those that are ready were looked at
  __u32 pad;
};

static __always_inline void ls_consider(struct ls_pick *pick, __u64 task, __s32 fd) {
  __u32 rank = ls_rank(task, fd);
  if (rank <= pick->rank) return;
  pick->fd = fd;
  pick->rank = rank;
}

#define LS_READY_ITEMS 4
#define LS_TREE_ITEMS 7  // the root of the tree, its children and theirs

// What an epoll instance waits on: one of its descriptors that are ready or, before one is, one of
// the first few of its tree (fs/eventpoll.c), by its number when it was added.
__weak __noinline int ls_pick_watched(__u64 task, __u64 epoll, struct ls_pick *pick) {
  struct eventpoll *ep = BPF_CORE_READ((struct file *)epoll, private_data);
  struct list_head *head, *ready;
  struct rb_node *nodes[LS_TREE_ITEMS] = {};
  if (!ep || !pick) return 0;
  head = (void *)((char *)ep + bpf_core_field_offset(struct eventpoll, rdllist));
  ready = BPF_CORE_READ(head, next);
  for (int i = 0; i < LS_READY_ITEMS; i++) {
    struct epitem *item;
    if (!ready || ready == head) break;
    item = (void *)((char *)ready - bpf_core_field_offset(struct epitem, rdllink));
    ls_consider(pick, task, BPF_CORE_READ(item, ffd.fd));
    ready = BPF_CORE_READ(ready, next);
  }
  if (pick->rank) {
    pick->ready = 1;
    return 1;
  }
  nodes[0] = BPF_CORE_READ(ep, rbr.rb_root.rb_node);
#pragma unroll
  for (int i = 0; i < LS_TREE_ITEMS; i++) {
    struct epitem *item;
    if (!nodes[i]) continue;
    item = (void *)((char *)nodes[i] - bpf_core_field_offset(struct epitem, rbn));
    ls_consider(pick, task, BPF_CORE_READ(item, ffd.fd));
    if (2 * i + 2 >= LS_TREE_ITEMS) continue;
    nodes[2 * i + 1] = BPF_CORE_READ(nodes[i], rb_left);
    nodes[2 * i + 2] = BPF_CORE_READ(nodes[i], rb_right);
  }
  return 1;
}

#define LS_POLLED_ENTRIES 16  // of what a poll call names that are looked at
#define LS_SELECT_WORDS 2     // of a select call's sets: descriptors below 128

static __always_inline bool ls_is_poll(long number) {
  return number == __NR_poll || number == __NR_ppoll;
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

struct ls_polled {
  struct ls_pick *pick;
  __u64 task;
  __u64 entries;  // poll: the array of them
  __u64 count;
  __u64 words[2 * LS_SELECT_WORDS];  // select: the read set's, then the write set's
};

static long ls_poll_step(__u32 i, struct ls_polled *polled) {
  struct {
    __s32 fd;
    __s16 events;
    __s16 revents;
  } entry = {};
  if (i >= polled->count ||
      bpf_probe_read_user(&entry, sizeof(entry), (void *)(polled->entries + 8 * (__u64)i)))
    return 1;
  if (!polled->pick->ready || entry.revents) ls_consider(polled->pick, polled->task, entry.fd);
  return 0;
}

static long ls_select_step(__u32 i, struct ls_polled *polled) {
  __s32 base = 0;
  __u64 word = polled->words[0] | polled->words[2];
  if (!word) base = 64, word = polled->words[1] | polled->words[3];
  if (!word) return 1;
  ls_consider(polled->pick, polled->task, base + ls_lowest_bit(word));
  word &= word - 1;
  if (base)
    polled->words[1] = word, polled->words[3] = 0;
  else
    polled->words[0] = word, polled->words[2] = 0;
  return 0;
}

// What a poll or select call of the running thread waits on or, where the call is over
// (pick->ready), which of it became ready: the kernel has then written that into what it was given.
__weak __noinline int ls_pick_polled(__u32 number, __u64 first, __u64 second, __u64 third,
                                     struct ls_pick *pick) {
  struct ls_polled polled = {
      .pick = pick, .task = bpf_get_current_task(), .entries = first, .count = second};
  if (!pick) return 0;
  if (ls_is_poll(number)) {
    LS_REPEAT(LS_POLLED_ENTRIES, ls_poll_step, &polled);
    return 1;
  }
  // glibc's fd_set has 1024 bits, so 16 bytes are there whatever nfds says.
  if (second) bpf_probe_read_user(&polled.words[0], 16, (void *)second);
  if (third) bpf_probe_read_user(&polled.words[2], 16, (void *)third);
  LS_REPEAT(LS_POLLED_ENTRIES, ls_select_step, &polled);
  return 1;
}

#endif
