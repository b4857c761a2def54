// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Of CPython's own probes: what they told of a busy phase, and how user space describes their
// sites. Part of wire.h, and under its rules.
#ifndef LOOPSIGHT_BPF_PROBE_WIRE_H
#define LOOPSIGHT_BPF_PROBE_WIRE_H

#include <linux/types.h>

#define LS_GC_GENERATIONS 3
#define LS_IMPORT_NAME_SIZE 96
#define LS_EVENT_NAME_SIZE 32  // of an audit event
#define LS_CALL_TEXT_SIZE 96

enum ls_call_argument {
  LS_ARGUMENT_NONE,    // none, or of another type
  LS_ARGUMENT_TEXT,    // a string object: state, length and bytes, as in ls_text
  LS_ARGUMENT_BYTES,   // a bytes object: length and bytes
  LS_ARGUMENT_NUMBER,  // a small integer
};

// A call that may block, as CPython's audit probe told it before the call began.
struct ls_call {
  __u64 time_ns;  // 0: none
  __u32 kind;     // enum ls_call_argument
  __u32 state;
  __u32 length;
  __u32 number;  // LS_ARGUMENT_NUMBER: its value; else the port of an address tuple, 0 none
  char event[LS_EVENT_NAME_SIZE];
  unsigned char text[LS_CALL_TEXT_SIZE];
};

// What CPython's own probes told of a busy phase.
struct ls_probed {
  __u64 gc_ns;          // in collections, from start to done
  __u64 gc_longest_ns;  // the longest of them
  __u32 gc_count;
  __u32 gc_generation;                    // of the longest
  __u64 import_ns;                        // the longest outermost import, from start to done
  char import_name[LS_IMPORT_NAME_SIZE];  // of that one
  struct ls_call call;                    // the last one
  struct ls_call longest_call;            // the last one before the longest wait began
};

// CPython's own probes (USDT): where its sites are comes from the notes of the interpreter's file
// (daemon/live/usdt_policy); a site's cookie is the index of its specification.
enum ls_probe_kind {
  LS_PROBE_GC_START,
  LS_PROBE_GC_DONE,
  LS_PROBE_IMPORT_START,
  LS_PROBE_IMPORT_DONE,
  LS_PROBE_AUDIT,
  LS_PROBE_FUNCTION_ENTRY,
  LS_PROBE_KINDS
};

enum ls_probe_group {
  LS_GROUP_GC,
  LS_GROUP_IMPORTS,
  LS_GROUP_AUDIT,
  LS_GROUP_FUNCTIONS,
  LS_GROUPS
};

// The inode that is really behind a mapping, whatever an overlay calls it.
struct ls_real_file {
  __u64 inode;
  __u64 device;  // the kernel's own number of it
};

#define LS_MAX_PROBE_SPECS 1024
#define LS_PROBE_ARGUMENTS 3
#define LS_NO_REGISTER 0xffff

// value = constant, or register base + index * scale + offset, or what memory holds there.
struct ls_probe_argument {
  __s64 offset;    // the constant where there is no base
  __u16 base;      // offset of the register in struct pt_regs, or LS_NO_REGISTER
  __u16 index;     // LS_NO_REGISTER: none
  __u8 scale;      // 1, 2, 4, 8
  __u8 in_memory;  // 1: what memory holds there
  __u8 size;       // bytes of the value: 1, 2, 4, 8
  __u8 is_signed;
};

struct ls_probe_spec {
  __u32 kind;  // enum ls_probe_kind
  __u32 arguments;
  struct ls_probe_argument argument[LS_PROBE_ARGUMENTS];
};

// An audit event that means a call that may block, by name, and which of its arguments to show.
struct ls_audit_event {
  __u32 argument;  // index in the event's tuple; LS_NO_ARGUMENT none
  __u32 pad;
};
#define LS_NO_ARGUMENT 0xffff

#endif
