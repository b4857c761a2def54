// The interpreter lock as it is seen from outside: who has it, and whether a futex is one of its.
// The kernel side does the same at the switch itself (bpf/gil.bpf.h), where nothing moves.
#pragma once

#include <cstdint>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

struct InterpreterLock {
  uint64_t address = 0;  // of the lock's structure; 0: there is none, or it is switched off
  uint64_t holder = 0;   // the thread state that had it last
  bool is_locked = false;
  bool is_collecting = false;  // the garbage collector is at work
};

// The lock of the interpreter that the thread state at `thread` belongs to.
InterpreterLock read_interpreter_lock(const RemoteMemory& memory, const ls_python& python,
                                      uint64_t thread);

// Whether the futex at `futex` is that of a thread which waits for the lock.
bool is_of_lock(const RemoteMemory& memory, const ls_python& python, const InterpreterLock& lock,
                uint64_t futex);

}  // namespace loopsight
