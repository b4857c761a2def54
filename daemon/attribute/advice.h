// One sentence for each finding: what to use instead.
#pragma once

#include <string>

#include "bpf/wire.h"

namespace loopsight {

// True for causes that are the host's doing: they never blame Python code.
bool is_host_cause(uint32_t cause);

// Advice for a stall whose largest cause is `cause` (enum ls_cause).
std::string advice_for(uint32_t cause);

}  // namespace loopsight
