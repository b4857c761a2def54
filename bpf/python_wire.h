// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Of CPython's memory: where a version keeps what a walk reads, and the stack that a walk makes.
// Part of wire.h, and under its rules.
#ifndef LOOPSIGHT_BPF_PYTHON_WIRE_H
#define LOOPSIGHT_BPF_PYTHON_WIRE_H

#include <linux/types.h>

#define LS_MAX_FRAMES 80       // Python frames of one stack, the innermost first
#define LS_INNER_FRAMES 30     // of a deeper one as many innermost frames are kept, and for the
#define LS_OUTER_FRAMES 50     // rest the outermost ones
#define LS_DEEPEST 1024        // and no further out is looked
#define LS_SAMPLE_HZ 99        // CPU samples of a loop's thread for each second of its CPU time
#define LS_MAX_THREADS 256     // thread states searched for a thread's own at a context switch
#define LS_MOST_THREADS 8192   // and at a poll call that is asked about
#define LS_MAX_SHIMS 16        // frames of C calls passed over in one walk
#define LS_CODE_NAME_SIZE 192  // bytes kept of a code object's names, in their own encoding
#define LS_CODE_LINES_SIZE 3072

// Where a version of CPython keeps what a walk reads; offsets in bytes. What is true of a version
// or file is the same for each of its processes (see daemon/python/python_layout).
struct ls_python {
  __u64 runtime;    // address of _PyRuntime in this process
  __u64 code_type;  // address of PyCode_Type in this process
  __u32 minor;      // of 3.minor
  __u16 interpreters_head;
  __u16 interpreter_next;
  __u16 interpreter_threads;
  __u16 thread_next;
  __u16 thread_id;
  __u16 thread_frame;  // of the frame, or of the cframe that leads to it
  __u16 cframe_frame;  // LS_NO_OFFSET: there is no cframe
  __u16 frame_previous;
  __u16 frame_code;
  __u16 frame_instruction;
  __u16 frame_owner;  // LS_NO_OFFSET: frames have none
  __u16 frame_size;   // bytes to read of a frame, at most LS_HEAD_BYTES
  __u16 object_type;
  __u16 code_filename;
  __u16 code_name;  // the qualified name where there is one
  __u16 code_first_line;
  __u16 code_lines;     // line table, a bytes object
  __u16 code_adaptive;  // start of the instructions in the code object; before 3.11 unused
  __u16 bytes_size;
  __u16 bytes_data;
  __u16 text_length;
  __u16 text_state;
  __u16 text_ascii;  // offset of the characters of an ASCII string
  __u16 text_other;  // of any other compact string
  __u16 thread_interpreter;
  __u16 thread_native;    // the id of the thread in its own PID namespace; LS_NO_OFFSET: not kept
  __u16 runtime_gil;      // up to 3.11: of the interpreter lock in _PyRuntime
  __u16 interpreter_gil;  // from 3.12 on: of the pointer to it; LS_NO_OFFSET before
  __u16 gil_holder;       // of last_holder in the lock's structure
  __u16 gil_enabled;      // free-threaded builds: of `enabled`; LS_NO_OFFSET: always a lock
  __u16 runtime_collecting;      // 3.8: of the collector's flag in _PyRuntime, else LS_NO_OFFSET
  __u16 interpreter_collecting;  // from 3.9 on: of it in the interpreter state
  __u16 frame_locals;            // of the local variables
  __u16 frame_stack_pointer;     // 3.14 and newer: kept while a C function runs
  __u16 object_bytes;            // size of what every object begins with: 16, free-threaded 32
  __u16 type_name;               // of tp_name in a type object
  __u16 task_name;               // in an asyncio Task; LS_NO_OFFSET: not known
  __u16 thread_task;             // 3.14 and newer: of the running task in the thread state
  __u16 thread_state_word;       // free-threaded builds: of `state`, else LS_NO_OFFSET
  __u16 interpreter_requester;   // free-threaded builds: who stopped the world, else LS_NO_OFFSET
  __u16 ready_local;            // of asyncio's _run_once: which local variable counts the callbacks
  __u16 code_thread_bytecode;   // free-threaded 3.14 and newer: of the copies of the instructions
  __u16 frame_thread_bytecode;  // and of the number of the copy in use; else LS_NO_OFFSET
  __u16 flags;                  // enum ls_python_flag
  __u16 tuple_items;            // of the first item of a tuple
  __u16 thread_dict;            // up to 3.12: of the dict in the thread state, else LS_NO_OFFSET
  __u16 thread_loop;            // from 3.13 on: of asyncio's running loop in it, else LS_NO_OFFSET
  __u64 run_once;               // address of the code object of asyncio's _run_once, 0 not known
  __u64 function_type;          // address of PyCFunction_Type in this process, 0 not known
  __u64 method_type;            // address of PyMethodDescr_Type
  __u64 calls[4];               // opcodes that call with arguments by position, one bit each
  __u64 keyword_calls[4];       // with keywords
  __u64 unpacking_calls[4];     // with an unpacked sequence
  __u64 current_tasks;          // up to 3.13: asyncio's dict of running tasks by loop, 0 not known
  __u16 generator_frame;        // of the frame in a coroutine; before 3.11: of the pointer to it
  __u16 pad_end[3];
};
#define LS_NO_OFFSET 0xffff
#define LS_HEAD_BYTES 128   // room for what is read at once of a frame or of a code object
#define LS_CODE_BUFFER 512  // for the head of a code object, wherever an offset leads

enum ls_python_flag {
  LS_PYTHON_MUSL = 1,           // its C library is musl
  LS_PYTHON_FREE_THREADED = 2,  // built without the interpreter lock
  LS_PYTHON_TAGGED = 4,         // local variables have tags (3.14 and newer)
  LS_PYTHON_COMPACT_INT = 8,    // integers say their size in a tag (3.12 and newer)
};

struct ls_frame {
  __u64 code;      // address of the code object
  __u32 offset;    // 3.11 and newer: of the instruction in the code object; before: its index
  __u32 identity;  // what the code object was: another one may take its place
};

enum ls_stack_end {
  LS_STACK_NONE,  // not read
  LS_STACK_COMPLETE,
  LS_STACK_CUT,       // deeper than LS_MAX_FRAMES: see left_out
  LS_STACK_TORN,      // a frame that is none: the rest is not to be believed
  LS_STACK_UNMAPPED,  // a page that is not resident
};

#define LS_TASK_NAME_SIZE 64
#define LS_CALLEE_SIZE 32
#define LS_MAX_READY 1000000  // more callbacks than that in one iteration are not believed

enum ls_stack_flag {
  LS_STACK_IN_GC = 1,     // the garbage collector was at work in this thread
  LS_STACK_HAS_LOCK = 2,  // LS_STACK_OF_SAMPLE: this thread had the interpreter lock, or
  LS_STACK_NO_LOCK = 4,   // it had not; neither: there is none, or it cannot be told
};

struct ls_stack {
  __u32 count;
  __u16 end;          // enum ls_stack_end
  __u16 left_out;     // frames after the first LS_INNER_FRAMES that are not here
  __u16 flags;        // enum ls_stack_flag
  __u16 outside;      // 1 + the index of the frame that called a native loop, 0 not known
  __u32 ready;        // asyncio: callbacks that this iteration runs, 0 not known
  __u32 ready_index;  // asyncio: which of them runs, from 0
  __u32 task_number;  // a task that CPython has not named yet: 7 of "Task-7"
  __u32 task_state;   // the name of the running task, as in ls_text
  __u32 task_length;
  unsigned char task[LS_TASK_NAME_SIZE];
  char callee[LS_CALLEE_SIZE];  // the C function that the innermost frame called, "" not known
  struct ls_frame frames[LS_MAX_FRAMES];
};

#endif
