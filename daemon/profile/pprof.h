// The profile format of pprof (gzipped profile.proto), which `go tool pprof`, Parca and Pyroscope
// read. Sample types: stalls/count and stall/nanoseconds; labels: workload, worker, cause, culprit.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/base/result.h"
#include "daemon/profile/stall_profile.h"

namespace loopsight {

struct ProfilePeriod {
  uint64_t start_realtime_ns = 0;
  uint64_t duration_ns = 0;
  std::string comment;  // "" for none
};

// Errors: no memory for the compression.
Result<std::string> pprof(const StallProfile& profile, const ProfilePeriod& period);

}  // namespace loopsight
