// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What user space says of poll calls and of the loops that make them: the verdicts, how it is told
// whether a loop runs, and the loops that do not poll. Part of wire.h; in no recording.
#ifndef LOOPSIGHT_BPF_VERDICT_WIRE_H
#define LOOPSIGHT_BPF_VERDICT_WIRE_H

#include <linux/types.h>

// A poll call that user space has judged, by the Python frames at it.
struct ls_chain_key {
  __u64 chain;
  __u32 tgid;
  __u32 pad;
};
enum ls_chain_verdict {
  LS_CHAIN_NO_LOOP = 1,  // until it is asked again, LS_CHAIN_HOLDS_NS later
  LS_CHAIN_LOOP = 2,
};
struct ls_chain_entry {
  __u32 verdict;  // enum ls_chain_verdict
  __u32 pad;
  __u64 time_ns;
};
#define LS_CHAIN_HOLDS_NS 30000000000ULL

// How it is told whether the loop of a row runs: its run method is on the thread's stack. The
// kernel side's own, but for what user space says of the method.
enum ls_run_flag {
  LS_RUN_TRACKED = 1,    // `code` or, of a native loop, the anchor tells
  LS_RUN_BY_SELF = 2,    // several loops may run the method on one thread: its self tells which
  LS_RUN_BY_ANCHOR = 4,  // native code polls: the Python frame that called it tells
  LS_RUN_IS_IDLE = 8,    // of an adopted loop: it is in a sleep of `idle_code` now
  LS_RUN_BY_BASE = 16,   // of an adopted loop: its callback has a stack of its own, from `base` on
};
struct ls_run {
  __u64 code;       // address of the run method's code object
  __u64 idle_code;  // of the function by which the loop sleeps when it has nothing to poll, 0 none
  __u64 callback_code;  // of an adopted loop: of the function through which it ran its callback
  __u32 flags;          // enum ls_run_flag
  __u16 thread_frame;   // as in ls_python, so that a poll call needs no look-up
  __u16 cframe_frame;
  __u16 frame_instruction;
  __u16 pad[3];
  // Of the busy phase that began then the loop was left before it could be told whether it runs;
  // written when its verdict comes.
  __u64 left_ns;
  // Written by the kernel side.
  __u64 self;      // the method's first argument, 0 not learned yet
  __u32 sleeping;  // 1: in its idle sleep
  __u32 pad_sleeping;
  __u64 anchor;              // address of the innermost frame at the poll call
  __u64 anchor_instruction;  // where it stood
  __u64 inside_ns;           // when the loop was last seen to run in its busy phase
  __u64 asked_chain;         // at the poll call that user space was asked about
  // Address of the outermost frame when the loop was last seen to run. Another one is that of
  // another greenlet, whose frames say nothing of the loop.
  __u64 base;
  __u32 owners;    // whom the row is charged to, see share_wire.h
  __u32 last_row;  // of row 0 alone: the last row that was ever given
};

// A thread whose loop is to be watched although it does not poll now.
struct ls_adoption {
  __u32 tgid;
  __u32 native;  // 1: native code polls for the loop
  struct ls_run run;
};
#define LS_MAX_ADOPTIONS 1024

// What became of it.
struct ls_adopted {
  __u64 thread_pointer;
  __u32 tid;
  __u32 row;
  __u32 generation;
  __u32 pad;
};

#endif
