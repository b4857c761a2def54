// The daemon's settings: the configuration file with the command line on top.
#pragma once

#include <string>

#include "daemon/base/result.h"
#include "daemon/command/options.h"
#include "daemon/config/configuration.h"

namespace loopsight {

// The file that is read: the one that was asked for, else /etc/loopsight/loopsight.yml where there
// is one, else none ("").
std::string configuration_path(const RunConfig& config);

Result<Configuration> read_settings(const RunConfig& config);

// Of the settings that differ, those that only a restart can change, as their keys; "" for none.
std::string needs_restart(const Configuration& before, const Configuration& after);

}  // namespace loopsight
