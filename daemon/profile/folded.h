// Folded stacks: "outermost;…;innermost microseconds" a line, as flamegraph.pl, inferno and
// speedscope read them. The first frame is the workload, the last one the cause.
#pragma once

#include <string>

#include "daemon/profile/stall_profile.h"

namespace loopsight {

// Lines of equal stacks are summed; what is less than a microsecond is left out.
std::string folded(const StallProfile& profile);

}  // namespace loopsight
