#include "daemon/attribute/ready_callbacks.h"

#include <algorithm>

namespace loopsight {
namespace {

// A time at which a callback ran: from its first sight to its last.
struct Sight {
  uint32_t index = 0;
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
};

uint64_t difference(uint64_t now, uint64_t before) { return now > before ? now - before : 0; }

uint64_t end_of_wait(const Stall& stall, const StackSample& sample) {
  bool is_longest = stall.wait && stall.wait->start_ns == sample.slice_start_ns;
  return sample.slice_start_ns + (is_longest ? stall.wait->duration_ns : sample.slice_ns);
}

// In the order of time, callback by callback.
std::vector<Sight> find_sights(const Stall& stall, uint32_t count) {
  std::vector<Sight> all;
  for (const StackSample& sample : stall.samples) {
    if (sample.source == LS_STACK_OF_HOLDER || sample.stack.ready != count) continue;
    bool is_wait = sample.source == LS_STACK_OF_WAIT;
    uint64_t first_ns = is_wait ? sample.slice_start_ns : sample.time_ns;
    uint64_t last_ns = is_wait ? end_of_wait(stall, sample) : sample.time_ns;
    all.push_back({.index = sample.stack.ready_index,
                   .first_ns = std::clamp(first_ns, stall.start_ns, stall.end_ns),
                   .last_ns = std::clamp(last_ns, stall.start_ns, stall.end_ns)});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Sight& a, const Sight& b) { return a.first_ns < b.first_ns; });
  std::vector<Sight> sights;
  for (const Sight& sight : all) {
    if (!sights.empty() && sights.back().index == sight.index)
      sights.back().last_ns = std::max(sights.back().last_ns, sight.last_ns);
    else
      sights.push_back(sight);
  }
  return sights;
}

}  // namespace

std::optional<ReadyCallbacks> share_of_callbacks(const Stall& stall) {
  uint32_t count = 0;
  for (const StackSample& sample : stall.samples)
    if (sample.source != LS_STACK_OF_HOLDER) count = std::max(count, sample.stack.ready);
  uint64_t duration_ns = stall.duration_ns();
  if (count == 0 || duration_ns == 0) return std::nullopt;
  ReadyCallbacks callbacks{.count = count};
  if (count == 1) {
    callbacks.largest_share = callbacks.largest_at_most = 1;
    return callbacks;
  }
  uint64_t least_ns = 0;  // that the longest took
  uint64_t most_ns = 0;
  double typical_ns = 0;                // of a callback, where callbacks passed fastest least
  uint64_t before_ns = stall.start_ns;  // the end of the last sight
  uint32_t next = 0;                    // the first callback that may have begun since
  auto pass = [&](uint64_t now_ns, uint32_t up_to) {
    uint64_t gap_ns = difference(now_ns, before_ns);
    most_ns = std::max(most_ns, gap_ns);
    typical_ns =
        std::max(typical_ns, static_cast<double>(gap_ns) /
                                 static_cast<double>(up_to >= next ? up_to - next + 1 : 1));
  };
  auto sights = find_sights(stall, count);
  for (size_t i = 0; i < sights.size(); i++) {
    const Sight& sight = sights[i];
    pass(sight.first_ns, sight.index);
    uint64_t after_ns = i + 1 < sights.size() ? sights[i + 1].first_ns : stall.end_ns;
    most_ns = std::max(most_ns, difference(after_ns, before_ns));
    least_ns = std::max(least_ns, difference(sight.last_ns, sight.first_ns));
    before_ns = sight.last_ns;
    next = sight.index;
  }
  pass(stall.end_ns, count - 1);
  constexpr double kSmall = 0.2;
  auto whole = static_cast<double>(duration_ns);
  callbacks.largest_share = static_cast<double>(least_ns) / whole;
  callbacks.largest_at_most = std::min(1.0, static_cast<double>(most_ns) / whole);
  callbacks.all_small = callbacks.largest_share <= kSmall && typical_ns <= kSmall * whole;
  return callbacks;
}

}  // namespace loopsight
