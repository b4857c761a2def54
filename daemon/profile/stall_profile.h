// Stalled time by stack, the form that all profile formats are written from. The time of a stall is
// shared among the stacks that were seen in it; what no stack was seen of keeps its cause alone, so
// that the weights of a stall add up to its length.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/attribute/report.h"

namespace loopsight {

// What a profile needs of a stall.
struct ProfiledStall {
  std::string workload;
  uint32_t worker = 0;
  uint32_t pid = 0;
  uint32_t tid = 0;
  LoopKind kind = LoopKind::kUnknown;
  uint64_t start_ns = 0;
  uint64_t end_ns = 0;
  std::optional<Frame> culprit;
  std::vector<StackTime> times;  // add up to end_ns - start_ns; no frames: not seen

  size_t bytes() const;  // about what it takes of memory
};

ProfiledStall profiled(const StallReport& report);

// "module:function:line"
std::string frame_label(const Frame& frame);

struct ProfileLimits {
  size_t frames = 50'000;
  size_t stacks = 50'000;
  size_t samples = 200'000;
};

class StallProfile {
 public:
  struct Loop {
    std::string workload;
    uint32_t worker = 0;
    uint32_t pid = 0;
    uint32_t tid = 0;
    LoopKind kind = LoopKind::kUnknown;
    auto operator<=>(const Loop&) const = default;
  };
  struct Sample {
    uint32_t loop = 0;   // index into loops()
    uint32_t stack = 0;  // index into stacks()
    uint32_t cause = LS_CAUSE_UNKNOWN;
    std::optional<uint32_t> culprit;  // index into frames()
    uint64_t ns = 0;
    uint32_t stalls = 0;  // 1 for the largest part of a stall, so that they add up to its number
  };

  StallProfile() = default;
  explicit StallProfile(ProfileLimits limits) : limits_(limits) {}

  // Beyond a limit a stall is left out and counted.
  void add(const ProfiledStall& stall);

  const std::vector<Loop>& loops() const { return loops_; }
  const std::vector<Frame>& frames() const { return frames_; }
  const std::vector<std::vector<uint32_t>>& stacks() const { return stacks_; }  // outermost first
  const std::vector<Sample>& samples() const { return samples_; }  // in order of adding
  uint64_t left_out() const { return left_out_; }

 private:
  using FrameKey = std::tuple<std::string, std::string, std::string, uint32_t>;
  uint32_t frame_of(const Frame& frame);
  uint32_t stack_of(const std::vector<Frame>& innermost_first);

  ProfileLimits limits_;
  std::vector<Loop> loops_;
  std::vector<Frame> frames_;
  std::vector<std::vector<uint32_t>> stacks_;
  std::vector<Sample> samples_;
  std::map<Loop, uint32_t> loop_ids_;
  std::map<FrameKey, uint32_t> frame_ids_;
  std::map<std::vector<uint32_t>, uint32_t> stack_ids_;
  uint64_t left_out_ = 0;
};

}  // namespace loopsight
