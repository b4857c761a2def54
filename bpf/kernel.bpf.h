// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The few kernel structures that loopsight reads, each with only the members it touches. Their
// real offsets come from the running kernel's BTF at load time, so nothing here has to match a
// version; a member that not every kernel has is guarded by bpf_core_field_exists where it is read.
#ifndef LOOPSIGHT_BPF_KERNEL_H
#define LOOPSIGHT_BPF_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
//
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr {
  const unsigned char *name;
};

struct dentry {
  struct dentry *d_parent;
  struct qstr d_name;
};

struct vfsmount {
  struct dentry *mnt_root;
};

struct mount {
  struct mount *mnt_parent;
  struct dentry *mnt_mountpoint;
  struct vfsmount mnt;
};

struct path {
  struct vfsmount *mnt;
  struct dentry *dentry;
};

struct fs_struct {
  struct path root;
};

struct super_block {
  unsigned int s_dev;
  unsigned long s_magic;
};

struct inode {
  unsigned short i_mode;
  unsigned long i_ino;
  struct super_block *i_sb;
};

struct hlist_node {
  struct hlist_node *next;
};

struct hlist_head {
  struct hlist_node *first;
};

struct file {
  void *private_data;
  struct hlist_head *f_ep;
  struct inode *f_inode;
  struct path f_path;
};

struct fdtable {
  unsigned int max_fds;
  struct file **fd;
};

struct files_struct {
  struct fdtable *fdt;
};

struct list_head {
  struct list_head *next;
};

struct rb_node {
  struct rb_node *rb_right;
  struct rb_node *rb_left;
};

struct rb_root {
  struct rb_node *rb_node;
};

struct rb_root_cached {
  struct rb_root rb_root;
};

struct eventpoll {
  struct list_head rdllist;
  struct rb_root_cached rbr;
};

struct epoll_filefd {
  struct file *file;
  int fd;
} __attribute__((packed));

struct epoll_event {
  __u32 events;
  __u64 data;
} __attribute__((packed));

struct epitem {
  struct rb_node rbn;
  struct list_head rdllink;
  struct epoll_filefd ffd;
  struct eventpoll *ep;
  struct hlist_node fllink;
  struct epoll_event event;
};

struct wait_queue_entry {
  unsigned int flags;
};

struct eppoll_entry {
  struct epitem *base;
  struct wait_queue_entry wait;
};

struct in6_addr {
  unsigned char bytes[16];
};

struct sock_common {
  __u32 skc_daddr;
  __u16 skc_dport;
  unsigned short skc_family;
  struct in6_addr skc_v6_daddr;
};

struct socket;

struct sock {
  struct sock_common __sk_common;
  struct socket *sk_socket;
};

struct socket {
  struct file *file;
  struct sock *sk;
};

struct sockaddr_un {
  unsigned short sun_family;
  char sun_path[108];
};

struct unix_address {
  int len;
  struct sockaddr_un name[0];
};

struct unix_sock {
  struct unix_address *addr;
  struct sock *peer;
};

struct cfs_rq {
  __u64 throttled_clock_pelt_time;
};

// The same member before Linux 5.19 (kernel commit 64eaf50731ac).
struct cfs_rq___before_5_19 {
  __u64 throttled_clock_task_time;
};

struct sched_entity {
  __u64 sum_exec_runtime;
  __u64 prev_sum_exec_runtime;
  struct cfs_rq *cfs_rq;
};

struct thread_struct {
  unsigned long fsbase;
};

struct sched_info {
  unsigned long long run_delay;
  unsigned long long last_arrival;
};

struct bpf_local_storage;

struct mm_struct {
  unsigned long total_vm;
};

typedef struct {
  unsigned int val;
} kuid_t;

struct cred {
  kuid_t uid;
};

struct kernfs_iattrs {
  kuid_t ia_uid;
};

struct kernfs_node {
  struct kernfs_node *__parent;
  __u64 id;
  struct kernfs_iattrs *iattr;
};

// The same member before Linux 6.15.
struct kernfs_node___before_6_15 {
  struct kernfs_node *parent;
};

struct cgroup {
  struct kernfs_node *kn;
};

struct css_set {
  struct cgroup *dfl_cgrp;
};

struct task_struct {
  unsigned int flags;
  int pid;
  int tgid;
  int exit_code;
  __u64 utime;
  __u64 stime;
  unsigned long nvcsw;
  unsigned long min_flt;
  unsigned int frozen : 1;
  unsigned int in_iowait : 1;
  struct sched_entity se;
  struct sched_info sched_info;
  struct mm_struct *mm;
  struct fs_struct *fs;
  struct files_struct *files;
  struct task_struct *group_leader;
  const struct cred *real_cred;
  struct css_set *cgroups;
  char comm[16];
  struct bpf_local_storage *bpf_storage;
  struct thread_struct thread;
};

// The saved user registers; which of them carry a system call is processor.bpf.h's business.
struct pt_regs {
  unsigned long di;
  unsigned long si;
  unsigned long dx;
  unsigned long r10;
  unsigned long r8;
  unsigned long sp;
  unsigned long ip;
  unsigned long orig_ax;
};

struct trace_entry {
  unsigned short type;
};

struct trace_event_raw_sys_enter {
  struct trace_entry ent;
  long id;
  unsigned long args[6];
};

struct trace_event_raw_sys_exit {
  struct trace_entry ent;
  long id;
  long ret;
};

#pragma clang attribute pop

// include/linux/sched.h; the state that sched_switch hands over carries more flag bits than these.
#define LS_TASK_INTERRUPTIBLE 0x1
#define LS_TASK_UNINTERRUPTIBLE 0x2
#define LS_TASK_STOPPED 0x4
#define LS_TASK_TRACED 0x8
#define LS_TASK_DEAD 0x80
#define LS_TASK_FROZEN 0x8000  // since Linux 6.1
#define LS_PF_FROZEN 0x10000   // before it
#define LS_PF_KTHREAD 0x200000
#define LS_PF_IO_WORKER \
  0x10  // threads that io_uring makes in the process; they run none of its code

#define LS_S_IFMT 0170000
#define LS_S_IFSOCK 0140000
#define LS_S_IFREG 0100000
#define LS_S_IFBLK 0060000
#define LS_S_IFDIR 0040000
#define LS_S_IFCHR 0020000
#define LS_S_IFIFO 0010000

#define LS_PIDFS_MAGIC 0x50494446  // include/uapi/linux/magic.h, since Linux 6.9

#define LS_AF_UNIX 1
#define LS_AF_INET 2
#define LS_AF_INET6 10

#endif
