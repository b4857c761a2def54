// A speedscope file (https://www.speedscope.app/file-format-schema.json): one sampled profile a
// loop, stalls in the order of time, weights in nanoseconds.
#pragma once

#include <string>

#include "daemon/profile/stall_profile.h"

namespace loopsight {

std::string speedscope_json(const StallProfile& profile, const std::string& name);

}  // namespace loopsight
