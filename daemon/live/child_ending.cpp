#include "daemon/live/child_ending.h"

#include <array>
#include <csignal>

namespace loopsight {
namespace {

constexpr std::array kSignals = {SIGTERM, SIGINT, SIGKILL};
constexpr uint64_t kGraceNs = 5'000'000'000;

}  // namespace

void ChildEnding::begin(uint64_t now_ns) {
  if (step_ == 0) next_ns_ = now_ns;
}

std::optional<int> ChildEnding::due(uint64_t now_ns) {
  if (now_ns < next_ns_ || step_ >= kSignals.size()) return std::nullopt;
  int number = kSignals[step_++];
  next_ns_ = step_ < kSignals.size() ? now_ns + kGraceNs : UINT64_MAX;
  return number;
}

}  // namespace loopsight
