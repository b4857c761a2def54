// Reading a code object of a thread that sleeps: what its own thread cannot tell the kernel side
// before it wakes up.
#pragma once

#include <cstdint>
#include <optional>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

// What a code object is known by beside its address; 0 where none is there.
uint32_t read_code_identity(const RemoteMemory& memory, const ls_python& python, uint64_t code);

// The record that the kernel side would send for the code object of `frame` in process `tgid`.
// Nothing where it cannot be read or is not the one that the frame ran. What is read is to be
// believed only while the thread has been asleep all the time.
std::optional<ls_code> read_code_object(uint32_t tgid, const ls_python& python,
                                        const ls_frame& frame);
std::optional<ls_code> read_code_object(const RemoteMemory& memory, uint32_t tgid,
                                        const ls_python& python, const ls_frame& frame);

}  // namespace loopsight
