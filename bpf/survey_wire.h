// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What one look at the threads of a process tells (survey.bpf.c). In no recording.
#ifndef LOOPSIGHT_BPF_SURVEY_WIRE_H
#define LOOPSIGHT_BPF_SURVEY_WIRE_H

#include "wire.h"

#define LS_MAX_SURVEYED_FDS 8192

enum ls_thread_activity {
  LS_THREAD_RUNS = 1,   // on a CPU
  LS_THREAD_READY = 2,  // waits for a CPU
  LS_THREAD_WAITS = 3,  // for what `wait` says
};

struct ls_surveyed {
  __u64 thread_pointer;  // as pthread_self() gives it; 0: it runs no code of the program
  __u32 tid;
  __u32 activity;    // enum ls_thread_activity
  __u64 now_ns;      // CLOCK_MONOTONIC, of the look
  __u64 switches;    // how often it has left a CPU: the same at two looks, and it slept meanwhile
  __u64 runtime_ns;  // CPU time
  char comm[16];
  struct ls_wait wait;  // start_ns: since when, not before; now_ns where that cannot be told
};

#endif
