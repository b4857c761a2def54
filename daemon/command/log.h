// The log on standard error.
#pragma once

#include "daemon/config/configuration.h"

namespace loopsight {

// Text; under journald with the priority that it reads off a line. LOOPSIGHT_LOG gives the level.
void set_up_log();

// As the configuration says; LOOPSIGHT_LOG, where it is set, still gives the level.
void set_log(const LogOptions& options);

}  // namespace loopsight
