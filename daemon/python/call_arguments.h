// What the arguments of a system call in which another process waits point to: the descriptors of a
// poll or select, a path. The kernel side cannot read that of a thread which is not the running
// one.
#pragma once

#include <optional>
#include <string>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

// The first one that it watches; nothing where the wait is no poll or select, or watches none.
std::optional<int> polled_descriptor(const RemoteMemory& memory, const ls_wait& wait);

// The path that a system call which waits was given as its first or second argument; "" where it
// cannot be read. At most LS_PATH_NAMES * LS_PATH_NAME_SIZE bytes, not cleaned.
std::string path_argument(const RemoteMemory& memory, const ls_wait& wait, bool is_second);

}  // namespace loopsight
