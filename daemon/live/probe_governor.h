// Keeps the cost of the optional probes under a ceiling: when all of them together cost more than
// that share of one core, the most expensive is shed, and restored after a while; each time that it
// has to be shed again the while doubles.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bpf/wire.h"

namespace loopsight {

class ProbeGovernor {
 public:
  struct Decision {
    ls_probe_group group;
    bool attach = false;    // false: shed it
    double share = 0;       // of one core, measured, of this group; 0 where it is restored
    uint64_t until_ns = 0;  // when it is tried again; 0 where it is restored
  };

  // `limit` is a share of one core.
  explicit ProbeGovernor(double limit) : limit_(limit) {}
  void set_limit(double limit) { limit_ = limit; }

  // `cost_ns` is what each group has cost since the beginning, monotonically. Looks at windows of
  // kWindowNs; between them it decides nothing.
  std::vector<Decision> on_costs(const std::array<uint64_t, LS_GROUPS>& cost_ns, uint64_t now_ns);

  // What it was shed for has been shed otherwise.
  void keep(ls_probe_group group) { groups_[group].until_ns = groups_[group].pause_ns = 0; }

  bool is_shed(ls_probe_group group) const { return groups_[group].until_ns != 0; }

  static constexpr uint64_t kWindowNs = 5'000'000'000;
  static constexpr uint64_t kFirstPauseNs = 300'000'000'000;
  static constexpr uint64_t kLongestPauseNs = 3'600'000'000'000;

 private:
  struct Group {
    uint64_t cost_ns = 0;   // at the beginning of the window
    uint64_t until_ns = 0;  // shed until then; 0: not shed
    uint64_t pause_ns = 0;  // the newest pause
    uint64_t restored_ns = 0;
  };
  double limit_;
  uint64_t window_start_ns_ = 0;
  std::array<Group, LS_GROUPS> groups_{};
};

}  // namespace loopsight
