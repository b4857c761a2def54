// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What crosses the border between kernel and user space: the records of the ring buffer and the
// loop table, which both sides map. Kinds and fields are appended, never reused or reordered.
#ifndef LOOPSIGHT_BPF_WIRE_H
#define LOOPSIGHT_BPF_WIRE_H

#include <linux/types.h>

#include "probe_wire.h"
#include "python_wire.h"
#include "share_wire.h"
#include "verdict_wire.h"
#include "wait_wire.h"

#define LS_WIRE_VERSION 3

#define LS_MAX_LOOPS 65536  // rows that the loop table may have; row 0 means "none"
#define LS_LEAST_LOOPS 2048
#define LS_MAX_PROCESSES 4194304  // rows that the process table may have
#define LS_LEAST_PROCESSES 32768
#define LS_MAX_BUCKETS 15   // 14 bounds and +Inf
#define LS_STACK_WORDS 48   // words of the user stack shown at the first poll call
#define LS_POLLED_WORDS 16  // 8-byte words shown of what a select or poll call names

enum ls_phase {
  LS_PHASE_NONE,    // not known: before the first poll call, or suspended by another loop
  LS_PHASE_POLL,    // inside the loop's own poll call
  LS_PHASE_BUSY,    // between its return and its next entry
  LS_PHASE_NESTED,  // busy, while another loop polls on the same thread
};

enum ls_loop_flag {
  LS_LOOP_USED = 1,         // the kernel gave this row to a thread
  LS_LOOP_ASKED = 2,        // a poller record was sent for it
  LS_LOOP_ACCEPTED = 4,     // user space: this is an event loop
  LS_LOOP_REJECTED = 8,     // user space: this is something else that polls
  LS_LOOP_STALE = 16,       // its descriptor number was given to a new epoll instance
  LS_LOOP_NATIVE = 64,      // user space: native code polls (uvloop), from any stack depth
  LS_LOOP_UNWATCHED = 128,  // with REJECTED: a loop that is not to be watched, for now
  LS_LOOP_RELEASED = 32,    // the kernel is done with the row; user space may free it
  LS_LOOP_ADOPTED = 512,    // found in its busy phase; what it polls on is not known
  LS_LOOP_CROWDED = 1024,   // user space: it is busy most of the time, and is to be sampled always
  LS_LOOP_BY_OBJECT = 256,  // with REJECTED: native code polls, the verdict is of this poll object
};

// One row of the loop table. Written by the loop's own thread (the flags also by user space), so
// no field has two concurrent writers that could lose an addition; a reader may see a row in the
// middle of an update and checks `sequence` (odd while the kernel writes).
struct ls_loop {
  __u32 sequence;
  __u32 generation;  // counts the owners that this row has had
  __u32 flags;       // enum ls_loop_flag
  __u32 tgid;
  __u32 tid;
  __s32 epoll_fd;       // -1: a select or poll loop
  __u32 poll_syscall;   // number on this processor
  __u32 phase;          // enum ls_phase
  __u64 instance;       // epoll: address of the struct eventpoll; else the user stack pointer
  __u64 stack_pointer;  // user stack pointer at the poll call
  __u64 created_ns;
  __u64 threshold_ns;    // 0: the global one
  __u64 system_mark_ns;  // the thread's own system time up to which it was counted

  __u64 phase_start_ns;
  __u64 slice_start_ns;  // of the running on-CPU slice
  __u64 slice_end_ns;    // off-CPU: when the thread came back, 0 while it has not
  __u64 run_delay_ns;    // the thread's run-queue total when the off-CPU slice began
  __u64 throttled_ns;    // its cfs_rq's throttled total then
  __u64 throttled_rq;    // the address of that cfs_rq
  __u64 exec_ns;         // the CPU time of the thread then
  __u32 off_cpu;         // 1: an off-CPU slice is open or not yet settled
  __u32 dirty;           // 1: phase_ns or longest hold something
  __u64 sampled_ns;      // CPU time of the busy phase up to the last CPU sample
  __u32 wait_records;    // long waits of the busy phase whose stacks were sent
  __u32 system_debt_us;  // system time that short busy phases had no room for (ls_count_system)
  // What every iteration touches stands together: a cache line costs more than its use.
  __u64 iterations;
  __u64 zero_polls;  // poll calls that were not to wait
  __u64 polls;
  __u64 idle_ns;
  __u64 running_ns;       // CPU time of the current busy phase, whatever its cause
  __u32 running_cause;    // what a running slice counts as: cpu, gc or import (enum ls_cause)
  __u32 import_depth;     // imports within imports that are open
  __u64 gc_start_ns;      // of the open collection, 0 none
  __u32 gc_running;       // generation of the open collection
  __u32 probed_dirty;     // 1: `probed` holds something
  __u32 returned;         // descriptors that the last poll call found ready
  __u32 ready;            // callbacks of the iteration whose frames were read last
  __u32 phase_gil_waits;  // of the current busy phase
  __u32 faults_mark;      // minor faults of the thread when the busy phase began
  // The loop's next timer is due between these two; 0: none, or not known.
  __u64 deadline_from_ns;
  __u64 deadline_to_ns;
  __u64 due_ns;   // of the timer that this busy phase fires, 0 none
  __u64 lock_ns;  // until when the busy phase has waited for the interpreter lock, from its start
  __u64 poll_switches;  // how often the thread had gone to sleep when its poll call began
  struct ls_waiters waiters;
  __u64 phase_ns[LS_PHASE_CAUSES];  // of the current busy phase
  struct ls_wait wait;              // the open or last off-CPU slice
  struct ls_wait longest;           // of the current busy phase

  __u64 busy_ns[LS_PHASE_CAUSES];
  __u64 buckets[LS_MAX_BUCKETS];  // busy phases by length, not cumulated
  __u64 stalls;
  __u64 stall_records;  // of these, how many reached the ring buffer

  __u64 import_start_ns;                                // of the outermost open import
  char importing[LS_IMPORT_NAME_SIZE];                  // its name
  struct ls_probed probed;                              // of the current busy phase
  __u64 gc_ns[LS_GC_GENERATIONS];                       // all collections in busy phases
  __u64 gc_buckets[LS_GC_GENERATIONS][LS_MAX_BUCKETS];  // their lengths, not cumulated
  __u64 late_ns;                                        // by all timers
  __u64 late_buckets[LS_MAX_BUCKETS];                   // timers by lateness, not cumulated
  __u64 over_ns;     // length of the busy phases over the threshold
  __u64 gil_waits;   // waits for the interpreter lock, each of one or more slices
  __u64 gil_end_ns;  // when its newest slice ended, and how long that one was
  __u64 gil_slice_ns;
  __u64 gil_untold_ns;  // waited for it since the last LS_STACK_OF_LOCK
  __u64 gil_told_ns;    // when that was
  // Recordings of before 2026-11-29 end here.
  __u64 phase_system_ns;  // of the current busy phase, by the scheduler's ticks
  __u64 busy_system_ns;   // of all of them: part of busy_ns[LS_CAUSE_CPU]
  __u64 deadline_ns;      // until when the newest wait for a futex was to take at most, 0 none
  struct ls_kernel_stack wait_kernel;     // of the newest long wait
  struct ls_kernel_stack longest_kernel;  // of the longest
  __u64 busy_due_ns;                      // LS_LOOP_CROWDED: when it is sampled next
};
#define LS_LOOP_FIRST_SIZE offsetof(struct ls_loop, phase_system_ns)

// Two stacks of a row: that of its newest wait, and that of the longest wait of the busy phase.
struct ls_row_stacks {
  __u32 longest;  // index of the longest wait's
  __u32 holder_tid;
  struct ls_stack stack[2];
  struct ls_stack holder;  // of the thread that had the interpreter lock in the newest wait for it
};

enum ls_kind {
  LS_KIND_POLLER = 1,    // a thread polls on something for the first time
  LS_KIND_STALL = 2,     // a busy phase over the threshold ended
  LS_KIND_LOOP_END = 3,  // a loop's thread ended or the loop was replaced
  LS_KIND_PROCESS_EXEC = 4,
  LS_KIND_PROCESS_FORK = 5,
  LS_KIND_PROCESS_EXIT = 6,
  LS_KIND_STACK = 7,      // the frames of a stall, before its record; or of a CPU sample
  LS_KIND_CODE = 8,       // a code object that a stack names for the first time
  LS_KIND_FUNCTIONS = 9,  // what a stalled busy phase called most, before its record
  LS_KIND_WAITERS = 16,   // what waited for a stall to end, after its record
  LS_KIND_WAKER = 17,     // who ended a long wait for a lock, before the stall's record
};

struct ls_header {
  __u32 kind;  // enum ls_kind
  __u32 size;  // of the whole record in bytes
  __u64 time_ns;
  __u32 tgid;  // in the initial PID namespace, like every pid here
  __u32 tid;
};

struct ls_poller {
  struct ls_header header;
  __u32 row;
  __u32 generation;
  __u64 instance;
  __s32 epoll_fd;
  __u32 poll_syscall;
  __u32 process_known;  // 1: user space has already said that this is CPython
  __u32 nested;         // 1: inside the busy phase of another row of the thread
  __u32 polled_count;   // select: nfds; poll: entries in `polled`; epoll: 0
  __u32 pad;
  __u64 polled[LS_POLLED_WORDS];  // select: the read set; poll: an array of struct pollfd
  __u64 stack[LS_STACK_WORDS];    // from the stack pointer upwards; 0 where unreadable
  // Recordings of before 2026-11-29 end here.
  __u64 chain;           // names the Python frames and where each of them stands; 0: none were read
  __u64 thread_pointer;  // as pthread_self() gives it
  __u32 borrowed;        // 1: the row is that of the loop whose busy phase the poll call is in
  __u32 pad_borrowed;
};
#define LS_POLLER_FIRST_SIZE offsetof(struct ls_poller, chain)

struct ls_stall {
  struct ls_header header;
  __u32 row;
  __u32 generation;
  __u64 start_ns;
  __u64 end_ns;
  __u64 iteration;  // its number in the loop, from 1
  __u32 nested;     // 1: another loop polled on this thread meanwhile
  __u32 pad;
  __u64 phase_ns[LS_PHASE_CAUSES];
  struct ls_wait longest;
  struct ls_probed probed;
  __u32 waiters_follow;  // 1: a record of them will
  __u32 gil_waits;
  // Recordings of before 2026-11-29 end here.
  __u64 system_ns;  // part of phase_ns[LS_CAUSE_CPU]
  __u32 minor_faults;
  __u32 mapped_pages;             // of the process's address space
  struct ls_kernel_stack kernel;  // of the longest wait
};
#define LS_STALL_FIRST_SIZE offsetof(struct ls_stall, system_ns)

struct ls_waiters_record {
  struct ls_header header;
  __u32 row;
  __u32 generation;
  struct ls_waiters waiters;
};

enum ls_stack_source {
  LS_STACK_OF_WAIT = 1,    // at the beginning of a long wait
  LS_STACK_OF_SAMPLE = 2,  // while on the CPU
  LS_STACK_OF_POLLER = 3,  // at the poll call that a poller record is about, just before it
  LS_STACK_OF_HOLDER = 4,  // of the thread that had the interpreter lock in the longest wait
  LS_STACK_OF_BUSY = 32,   // what a crowded loop does at an instant, in however short a busy phase
  LS_STACK_OF_LOCK = 16,   // of the one that has it now; sent once a second while it is waited for
};

struct ls_stack_record {
  struct ls_header header;
  __u32 row;
  __u32 generation;
  __u64 phase_start_ns;
  __u32 source;          // enum ls_stack_source
  __u32 holder_tid;      // LS_STACK_OF_HOLDER: in its own PID namespace, 0 not known
  __u64 slice_start_ns;  // LS_STACK_OF_WAIT: when the wait began
  // LS_STACK_OF_WAIT: its length; LS_STACK_OF_SAMPLE: CPU time since the last one;
  // LS_STACK_OF_LOCK: waited for the lock since the last one.
  __u64 slice_ns;
  __u32 cause;         // of that time, enum ls_cause
  __u32 syscall_plus;  // LS_STACK_OF_SAMPLE: 1 + the number of the call that it was in, 0 none
  struct ls_stack stack;
};

struct ls_text {
  __u32 state;   // the string object's state word: kind and whether ASCII
  __u32 length;  // characters; more than are here where it was cut
  unsigned char bytes[LS_CODE_NAME_SIZE];
};

struct ls_code {
  struct ls_header header;
  __u64 code;
  __u32 identity;  // as in ls_frame
  __u32 adaptive;  // offset of the first instruction in the code object; before 3.11 unused
  __u32 first_line;
  __u32 lines_size;  // of the whole line table; more than is here where it was cut
  struct ls_text filename;
  struct ls_text name;
  unsigned char lines[LS_CODE_LINES_SIZE];
};

enum ls_end_reason {
  LS_END_THREAD_EXIT = 1,
  LS_END_REPLACED = 2,  // the thread polls on a new instance and this one is closed
  LS_END_REJECTED = 3,
  LS_END_EXEC = 4,
};

#define LS_MAX_FUNCTIONS 64  // counted by name in one busy phase
#define LS_FUNCTION_NAME_SIZE 64

// A function that CPython's function__entry probe told of.
struct ls_function {
  __u64 name_address;  // of its name's characters, which tells one function from another
  __u64 calls;
  __u32 line;
  __u32 pad;
  char name[LS_FUNCTION_NAME_SIZE];      // UTF-8
  char file[2 * LS_FUNCTION_NAME_SIZE];  // as much of its path
};

struct ls_functions {
  struct ls_header header;
  __u32 row;
  __u32 generation;
  __u64 phase_start_ns;
  __u64 calls;  // all of the busy phase, those of functions that found no place included
  struct ls_function functions[LS_MAX_FUNCTIONS];  // calls 0: an empty place
};

// The thread that woke a loop which waited for a lock, and its own longest wait before.
struct ls_waker {
  struct ls_header header;
  __u32 row;
  __u32 generation;
  __u64 phase_start_ns;
  __u64 slice_start_ns;  // of the loop's wait
  __u32 waker_tid;
  __u32 pad;
  char comm[16];
  struct ls_wait wait;    // duration_ns 0: none
  struct ls_stack stack;  // at the beginning of that wait
  // Recordings of before 2026-11-29 end here.
  __u64 ran_ns;  // since it last began anew: on a CPU, and waiting for the interpreter lock
  __u64 gil_ns;
};
#define LS_WAKER_FIRST_SIZE offsetof(struct ls_waker, ran_ns)

struct ls_loop_end {
  struct ls_header header;
  __u32 row;
  __u32 generation;
  __u32 reason;     // enum ls_end_reason
  __u32 exit_code;  // LS_END_THREAD_EXIT: as wait4 reports it
  __u32 open;       // 1: the epoll descriptor was still open
  __u32 pad;
};

struct ls_process {
  struct ls_header header;
  __u32 parent_tgid;  // fork
  __u32 exit_code;    // exit: as wait4 reports it
  char comm[16];
};

// What user space has said of a process.
enum ls_process_state {
  LS_PROCESS_UNDECIDED = 1,
  LS_PROCESS_PYTHON = 2,
  LS_PROCESS_OTHER = 3,
};

// Events that the kernel side counts instead of reporting each.
enum ls_counter {
  LS_COUNT_RING_FULL,          // a record did not fit into the ring buffer
  LS_COUNT_LOOPS_FULL,         // no free row in the loop table
  LS_COUNT_PROCESSES_FULL,     // no free row in the process table
  LS_COUNT_STORAGE_FULL,       // no task storage for a thread
  LS_COUNT_NO_INSTANCE,        // a poll call on a descriptor that is no epoll instance
  LS_COUNT_PHASE_DROPPED,      // a busy phase that did not end at its own poll call
  LS_COUNT_MISSED_SWITCH,      // a thread came back to the CPU unseen
  LS_COUNT_TARGET_UNREADABLE,  // a wait's descriptor could not be followed
  LS_COUNT_NO_THREAD_STATE,    // no thread state with this thread's pointer
  LS_COUNT_STACK_TORN,
  LS_COUNT_STACK_UNMAPPED,
  LS_COUNT_CODE_UNREADABLE,
  LS_COUNT_CODE_REPLACED,  // a code object was freed and its memory given to another
  LS_COUNT_STACK_CUT,
  LS_COUNT_PROBE_UNMATCHED,      // a gc or import probe without its other half
  LS_COUNT_ARGUMENT_UNREADABLE,  // a probe's argument could not be read
  LS_COUNT_FUNCTIONS_FULL,       // a function that found no place to be counted in
  LS_COUNT_LOOP_LEFT,            // a busy phase ended because its loop no longer ran
  LS_COUNT_ASKS_REFUSED,         // a thread asked about too many different poll calls
  LS_COUNT_RECORDS_SHED,         // a record whose owner had sent its share
  LS_COUNTERS
};

#endif
