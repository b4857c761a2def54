// What the keys and letters mean.
#pragma once

#include <vector>

#include "daemon/top/top_screen.h"

namespace loopsight {

std::vector<ScreenLine> help_lines();

}  // namespace loopsight
