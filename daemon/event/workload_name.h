// What the workload of a process is called, and by what that is known.
#pragma once

#include <string>

#include "daemon/base/text.h"
#include "daemon/event/event.h"

namespace loopsight {

enum class WorkloadSource { kArgv, kUnit, kContainer, kConfiguration };

constexpr std::array<const char*, 4> kWorkloadSourceNames = {"argv", "unit", "container",
                                                             "configuration"};
inline const char* name_of(WorkloadSource source) {
  return kWorkloadSourceNames[static_cast<size_t>(source)];
}

struct WorkloadName {
  std::string text;  // cleaned
  WorkloadSource source = WorkloadSource::kArgv;
};

// The configuration's name, else that of the container, else the systemd unit, else the program.
WorkloadName workload_of(const ProcessFacts& facts);
std::string workload_name(const ProcessFacts& facts);

}  // namespace loopsight
