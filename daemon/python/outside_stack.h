// The Python frames of a thread as they are seen from outside, while it sleeps or runs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

struct OutsideStack {
  bool has_state = false;  // the interpreter knows the thread
  ls_stack stack{};        // count 0: none could be read
};

// Of the thread whose pthread_self() is `thread_pointer`. Nothing where the interpreter's threads
// cannot be read. To be believed only while the thread has been asleep all the time.
std::optional<OutsideStack> read_outside_stack(const RemoteMemory& memory, const ls_python& python,
                                               uint64_t thread_pointer);

}  // namespace loopsight
