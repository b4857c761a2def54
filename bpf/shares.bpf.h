// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Nobody can blind anybody: what the kernel side has one table or buffer of for all is charged to
// the user and the cgroup that take it.
//
// What is held (rows, processes) is given as long as its owner has no more than LS_HELD_FACTOR
// times what is left: one alone may have three quarters, and whoever comes then still finds a
// tenth. What passes (records, questions) has a rate and a burst. Who has his share gets no more,
// and is counted; nobody else notices.
#ifndef LOOPSIGHT_BPF_SHARES_H
#define LOOPSIGHT_BPF_SHARES_H

#include "kernel.bpf.h"
#include "wire.h"

extern const volatile __u64 share_seed;
extern const volatile __u32 most_rows;
extern const volatile __u32 most_processes;
extern const volatile __u32 records_ns_per_kib;  // of the ring buffer; 0: records are not charged
extern const volatile __u32 ring_bytes;

LS_MAP struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, LS_SHARES);
  __type(key, __u32);
  __type(value, struct ls_share);
} shares SEC(".maps");

#define LS_CGROUP_DEPTH 64

static __always_inline struct ls_share *ls_share_of(__u32 number) {
  __u32 key = number & (LS_SHARES - 1);
  return bpf_map_lookup_elem(&shares, &key);
}

static __always_inline struct kernfs_node *ls_parent_of(struct kernfs_node *node) {
  struct kernfs_node___before_6_15 *old = (void *)node;
  if (bpf_core_field_exists(node->__parent)) return BPF_CORE_READ(node, __parent);
  if (bpf_core_field_exists(old->parent)) return BPF_CORE_READ(old, parent);
  return NULL;
}

// The outermost cgroup of a task that another user than root controls; else its own. 0: none.
static __noinline __u64 ls_cgroup_of(struct task_struct *task) {
  struct kernfs_node *node;
  struct kernfs_iattrs *attributes;
  __u64 found;
  if (!bpf_core_field_exists(task->cgroups)) return 0;
  node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
  found = BPF_CORE_READ(node, id);
  for (int i = 0; i < LS_CGROUP_DEPTH && node; i++) {
    attributes = BPF_CORE_READ(node, iattr);
    if (attributes && BPF_CORE_READ(attributes, ia_uid.val) != 0) found = BPF_CORE_READ(node, id);
    node = ls_parent_of(node);
  }
  return node ? 0 : found;  // deeper than anybody needs
}

// The numbers of a task's two owners: its user in the lower half, its cgroup in the upper one.
static __noinline __u32 ls_owners_of(struct task_struct *task) {
  __u64 cgroup = ls_cgroup_of(task);
  __u32 user = BPF_CORE_READ(task, real_cred, uid.val);
  return ls_share_number(share_seed, cgroup, user) |
         ls_share_number(share_seed, cgroup, LS_WHOLE_CGROUP) << 16;
}

// Of the running thread, whose the charge is.
static __always_inline int ls_note_shed(__u32 owners, __u32 what) {
  struct task_struct *task = (void *)bpf_get_current_task_btf();
  struct ls_share *share = ls_share_of(owners & 0xffff);
  if (!share || what >= LS_SHED_KINDS) return 0;
  __sync_fetch_and_add(&share->shed[what], 1);
  share->user = BPF_CORE_READ(task, real_cred, uid.val);
  share->tgid = (__u32)BPF_CORE_READ(task, tgid);
  return 0;
}

// One of `most` for these owners; 0 where they have their share, or there is none.
static __noinline int ls_hold(__u32 owners, __u32 what, __u32 most) {
  struct ls_share *all = ls_share_of(0);
  struct ls_share *user = ls_share_of(owners & 0xffff);
  struct ls_share *cgroup = ls_share_of(owners >> 16);
  __u32 used, left;
  if (!all || !user || !cgroup || what >= LS_HELD_KINDS) return 0;
  used = all->held[what];
  left = used < most ? most - used : 0;
  if (!left) return 0;
  if (user->held[what] >= LS_HELD_FACTOR * left ||
      (cgroup->held[what] >= LS_HELD_FACTOR * left && user->held[what] >= left / LS_HELD_LITTLE)) {
    ls_note_shed(owners, what);
    return 0;
  }
  __sync_fetch_and_add(&user->held[what], 1);
  __sync_fetch_and_add(&cgroup->held[what], 1);
  __sync_fetch_and_add(&all->held[what], 1);
  return 1;
}

static __always_inline void ls_take_off(struct ls_share *share, __u32 what) {
  if (share && what < LS_HELD_KINDS && share->held[what])
    __sync_fetch_and_add(&share->held[what], -1);
}

// `owners` 0: user space took it, which charges nobody.
static __noinline int ls_give_back(__u32 owners, __u32 what) {
  ls_take_off(ls_share_of(0), what);
  if (!owners) return 0;
  ls_take_off(ls_share_of(owners & 0xffff), what);
  ls_take_off(ls_share_of(owners >> 16), what);
  return 0;
}

// A budget as the time up to which it is spent, at most `burst` behind the clock.
static __always_inline bool ls_pay(__u64 *paid_ns, __u64 cost, __u64 burst, __u64 now) {
  __u64 paid = *paid_ns, first = now > burst ? now - burst : 0;
  if (paid < first) __sync_val_compare_and_swap(paid_ns, paid, first);
  paid = __sync_fetch_and_add(paid_ns, cost);
  if (paid + cost <= now) return true;
  __sync_fetch_and_add(paid_ns, -cost);
  return false;
}

static __noinline bool ls_may_ask_for(__u32 owners, __u64 now) {
  struct ls_share *user = ls_share_of(owners & 0xffff);
  struct ls_share *cgroup = ls_share_of(owners >> 16);
  if (!user || !cgroup) return false;
  if (ls_pay(&user->questions_ns, LS_QUESTION_NS, LS_QUESTIONS_BURST_NS, now)) {
    if (ls_pay(&cgroup->questions_ns, LS_QUESTION_NS / LS_HELD_FACTOR, LS_QUESTIONS_BURST_NS, now))
      return true;
    __sync_fetch_and_add(&user->questions_ns, -LS_QUESTION_NS);
  }
  ls_note_shed(owners, LS_SHED_QUESTIONS);
  return false;
}

// Whether a record of that size may be sent for the running thread. The last quarter of the ring
// buffer is for the ends of loops and processes, which are few and which nothing can stand in for.
// It has a frame of its own, beside those of who sends and not below the deepest of them, and is a
// global function, so that it is verified once in a program.
__weak __noinline int ls_may_send(__u32 size, __u64 now) {
  struct ls_thread *thread = ls_thread_of((void *)bpf_get_current_task_btf());
  __u32 owners = thread ? thread->owners : 0;
  struct ls_share *user = ls_share_of(owners & 0xffff);
  struct ls_share *cgroup = ls_share_of(owners >> 16);
  __u64 cost = (__u64)size * records_ns_per_kib >> 10;
  if (bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) > ring_bytes / 4 * 3) {
    ls_count(LS_COUNT_RING_FULL);
    return false;
  }
  if (!cost || !owners || !user || !cgroup) return true;
  if (ls_pay(&user->records_ns, cost, LS_RECORDS_BURST_NS, now)) {
    if (ls_pay(&cgroup->records_ns, cost / LS_HELD_FACTOR, LS_RECORDS_BURST_NS, now)) return true;
    __sync_fetch_and_add(&user->records_ns, -cost);
  }
  ls_note_shed(owners, LS_SHED_RECORDS);
  ls_count(LS_COUNT_RECORDS_SHED);
  return false;
}

static __always_inline bool ls_is_end(__u32 kind) {
  return kind == LS_KIND_LOOP_END || kind == LS_KIND_PROCESS_EXEC || kind == LS_KIND_PROCESS_FORK ||
         kind == LS_KIND_PROCESS_EXIT;
}

// Of a record that is paid for already.
static __always_inline void *ls_reserve_paid(__u32 kind, __u32 size, __u64 now, __u32 tgid,
                                             __u32 tid) {
  struct ls_header *header = bpf_ringbuf_reserve(&records, size, 0);
  if (!header) {
    ls_count(LS_COUNT_RING_FULL);
    return NULL;
  }
  header->kind = kind;
  header->size = size;
  header->time_ns = now;
  header->tgid = tgid;
  header->tid = tid;
  return header;
}

static __always_inline void *ls_reserve(__u32 kind, __u32 size, __u64 now, __u32 tgid, __u32 tid) {
  if (!ls_is_end(kind) && !ls_may_send(size, now)) return NULL;
  return ls_reserve_paid(kind, size, now, tgid, tid);
}

#define LS_RESERVE(type, kind, now, tgid, tid) \
  ((struct type *)ls_reserve(kind, sizeof(struct type), now, tgid, tid))

#endif
