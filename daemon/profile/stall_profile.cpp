#include "daemon/profile/stall_profile.h"

#include <fmt/format.h>

#include <algorithm>

namespace loopsight {

size_t ProfiledStall::bytes() const {
  size_t sum = sizeof(*this) + workload.size();
  for (const StackTime& time : times) {
    sum += sizeof(time);
    for (const Frame& frame : time.frames)
      sum += sizeof(frame) + frame.function.size() + frame.module.size() + frame.file.size();
  }
  return sum;
}

ProfiledStall profiled(const StallReport& report) {
  const Stall& stall = report.stall;
  ProfiledStall result{.workload = report.process.workload,
                       .worker = report.process.worker,
                       .pid = stall.tgid,
                       .tid = stall.tid,
                       .kind = stall.kind,
                       .start_ns = stall.start_ns,
                       .end_ns = stall.end_ns,
                       .culprit = report.culprit};
  // Slices are measured apart from the sums and may exceed them by a little.
  CauseTimes left = stall.causes;
  for (const StackTime& time : report.stack_times) {
    uint64_t ns = std::min(time.ns, left[time.cause]);
    if (ns == 0) continue;
    left[time.cause] -= ns;
    result.times.push_back({.frames = time.frames, .ns = ns, .cause = time.cause});
  }
  for (uint32_t cause = 0; cause < LS_CAUSES; cause++)
    if (left[cause] > 0) result.times.push_back({.frames = {}, .ns = left[cause], .cause = cause});
  return result;
}

std::string frame_label(const Frame& frame) {
  std::string label =
      frame.module.empty() ? frame.function : fmt::format("{}:{}", frame.module, frame.function);
  return frame.line == 0 ? label : fmt::format("{}:{}", label, frame.line);
}

uint32_t StallProfile::frame_of(const Frame& frame) {
  auto [entry, is_new] =
      frame_ids_.try_emplace({frame.file, frame.module, frame.function, frame.line},
                             static_cast<uint32_t>(frames_.size()));
  if (is_new) {
    frames_.push_back({.function = frame.function,
                       .module = frame.module,
                       .file = frame.file,
                       .line = frame.line});
  }
  return entry->second;
}

uint32_t StallProfile::stack_of(const std::vector<Frame>& innermost_first) {
  std::vector<uint32_t> ids;
  for (auto frame = innermost_first.rbegin(); frame != innermost_first.rend(); ++frame)
    ids.push_back(frame_of(*frame));
  auto [entry, is_new] = stack_ids_.try_emplace(ids, static_cast<uint32_t>(stacks_.size()));
  if (is_new) stacks_.push_back(std::move(ids));
  return entry->second;
}

void StallProfile::add(const ProfiledStall& stall) {
  size_t frames = 1;
  for (const StackTime& time : stall.times) frames += time.frames.size();
  if (frames_.size() + frames > limits_.frames ||
      stacks_.size() + stall.times.size() > limits_.stacks ||
      samples_.size() + stall.times.size() > limits_.samples) {
    left_out_++;
    return;
  }
  Loop loop{stall.workload, stall.worker, stall.pid, stall.tid, stall.kind};
  auto [entry, is_new] = loop_ids_.try_emplace(loop, static_cast<uint32_t>(loops_.size()));
  if (is_new) loops_.push_back(std::move(loop));
  std::optional<uint32_t> culprit;
  if (stall.culprit) culprit = frame_of(*stall.culprit);
  auto largest =
      std::max_element(stall.times.begin(), stall.times.end(),
                       [](const StackTime& a, const StackTime& b) { return a.ns < b.ns; });
  for (auto time = stall.times.begin(); time != stall.times.end(); ++time)
    samples_.push_back({.loop = entry->second,
                        .stack = stack_of(time->frames),
                        .cause = time->cause,
                        .culprit = culprit,
                        .ns = time->ns,
                        .stalls = time == largest ? 1U : 0U});
}

}  // namespace loopsight
