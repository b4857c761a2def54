// Who called us by sudo.
#pragma once

#include <optional>

#include "daemon/base/result.h"
#include "daemon/live/child.h"

namespace loopsight {

// The user that sudo was called by, whom a command that we start is for; nothing where root called
// us itself. Errors: sudo names a user or group that cannot be: then nothing may be started as root
// by mistake.
Result<std::optional<RunAs>> sudo_caller();

}  // namespace loopsight
