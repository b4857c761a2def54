// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What each owner has of the kernel side's tables and budgets. Part of wire.h; in no recording.
//
// An owner is a user (of the initial user namespace) in a cgroup, and the cgroup as a whole: the
// outermost one that another user than root controls, so that making further ones below it gives
// nobody more. Owners are told apart by a number of 14 bits, chosen anew by each start: two of a
// host may share one, but nobody can arrange it.
#ifndef LOOPSIGHT_BPF_SHARE_WIRE_H
#define LOOPSIGHT_BPF_SHARE_WIRE_H

#include <linux/types.h>

#define LS_SHARES 16384             // a power of two; number 0 has the sums of all
#define LS_WHOLE_CGROUP 0xffffffff  // in the place of a user

// What is held until it is given back.
enum ls_held { LS_HELD_ROWS, LS_HELD_PROCESSES, LS_HELD_KINDS };

// What an owner did not get, since it had its share.
enum ls_shed {
  LS_SHED_ROWS = LS_HELD_ROWS,
  LS_SHED_PROCESSES = LS_HELD_PROCESSES,
  LS_SHED_RECORDS,
  LS_SHED_QUESTIONS,
  LS_SHED_KINDS
};

struct ls_share {
  __u32 held[LS_HELD_KINDS];
  __u64 records_ns;    // up to when its records are paid for
  __u64 questions_ns;  // and its poll calls that user space is asked about
  __u32 shed[LS_SHED_KINDS];
  __u32 user;  // of whom something was shed last, and one of its processes
  __u32 tgid;
  __u64 pad;
};

#define LS_HELD_FACTOR 3   // nobody gets more than so many times what is left
#define LS_HELD_LITTLE 32  // a part of what is left so small that a user gets it in any cgroup
#define LS_QUESTION_NS 4000000ULL            // one in that time for a user, and for his cgroup
#define LS_QUESTIONS_BURST_NS 4000000000ULL  // LS_HELD_FACTOR in it
#define LS_RECORDS_BURST_NS 125000000ULL

// Both sides compute it.
static inline __u32 ls_share_number(__u64 seed, __u64 cgroup, __u32 user) {
  __u64 sum = (seed ^ cgroup) * 0x9e3779b97f4a7c15ULL;
  sum = ((sum ^ sum >> 29) ^ user) * 0xbf58476d1ce4e5b9ULL;
  sum = (sum ^ sum >> 32) & (LS_SHARES - 1);
  return sum ? (__u32)sum : 1;
}

#endif
