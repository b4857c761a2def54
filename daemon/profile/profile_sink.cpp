#include "daemon/profile/profile_sink.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "daemon/profile/folded.h"
#include "daemon/profile/pprof.h"
#include "daemon/profile/speedscope.h"

namespace loopsight {
namespace {

constexpr size_t kMaxRunning = 1000;

}  // namespace

Result<void> ProfileSink::on_stall(const StallReport& report) {
  const Stall& stall = report.stall;
  last_end_ns_ = std::max(last_end_ns_, stall.end_ns);
  std::pair identity(stall.tid, stall.start_ns);
  if (stall.in_progress) {
    if (running_.size() < kMaxRunning || running_.count(identity) > 0)
      running_.insert_or_assign(identity, profiled(report));
    return {};
  }
  running_.erase(identity);
  profile_.add(profiled(report));
  return {};
}

Result<std::string> ProfileSink::encoded(uint64_t watched_ns) const {
  switch (format_) {
    case ProfileFormat::kFolded: return folded(profile_);
    case ProfileFormat::kSpeedscope: return speedscope_json(profile_, "stalled time");
    case ProfileFormat::kPprof: {
      // The time of what was watched is not known to a millisecond; its end is that of the last
      // stall or later.
      uint64_t end_ns = clock_.realtime_ns(last_end_ns_);
      uint64_t start_ns = last_end_ns_ == 0 ? 0 : end_ns - std::min(end_ns, watched_ns);
      return pprof(profile_, {.start_realtime_ns = start_ns, .duration_ns = watched_ns});
    }
  }
  return std::string();
}

Result<void> ProfileSink::on_summary(const Summary& summary) {
  for (const auto& [identity, stall] : running_) profile_.add(stall);
  running_.clear();
  if (profile_.left_out() > 0)
    spdlog::warn("the profile is full: {} stalls are not in it", profile_.left_out());
  auto bytes = encoded(summary.watched_ns);
  if (!bytes) return tl::make_unexpected(bytes.error());
  if (std::fwrite(bytes->data(), 1, bytes->size(), out_) != bytes->size() || std::fflush(out_) != 0)
    return failure(fmt::format("cannot write the profile: {}", std::strerror(errno)));
  return {};
}

}  // namespace loopsight
