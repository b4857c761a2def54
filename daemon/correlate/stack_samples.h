// The stacks that were seen in one busy phase, kept to a bounded number.
#pragma once

#include <vector>

#include "daemon/correlate/stall.h"

namespace loopsight {

// Lets every second CPU sample go; the one before it stands for its time too.
void thin_out(std::vector<StackSample>& samples);

}  // namespace loopsight
