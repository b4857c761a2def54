// What a wait was for, and in which call.
#pragma once

#include <optional>
#include <string>

#include "bpf/wire.h"

namespace loopsight {

// The name of a system call on this processor; "syscall 451" where it has none here.
std::string syscall_name(int number);

// What a wait was for, as a person would write it; nothing where it is not known.
std::optional<std::string> describe_target(const ls_wait& wait);

}  // namespace loopsight
