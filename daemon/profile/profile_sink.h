// Collects the stalls of a run and writes them at its end as one profile.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include "daemon/profile/stall_profile.h"
#include "daemon/sink/sink.h"

namespace loopsight {

enum class ProfileFormat { kFolded, kSpeedscope, kPprof };

class ProfileSink : public Sink {
 public:
  // `out` is not owned.
  ProfileSink(std::FILE* out, WallClock clock, ProfileFormat format)
      : out_(out), clock_(clock), format_(format) {}

  Result<void> on_stall(const StallReport& report) override;
  // Stalls that never ended are in it as far as they were seen.
  Result<void> on_summary(const Summary& summary) override;

 private:
  Result<std::string> encoded(uint64_t watched_ns) const;

  std::FILE* out_;
  WallClock clock_;
  ProfileFormat format_;
  StallProfile profile_;
  std::map<std::pair<uint32_t, uint64_t>, ProfiledStall> running_;  // by thread and start
  uint64_t last_end_ns_ = 0;
};

}  // namespace loopsight
