// What our BPF programs cost, by the kernel's statistics. These cost every run of every BPF program
// of the host two reads of a clock, as much as a short program itself, so they are on for one
// second in sixteen, and what ran in such a window stands for the time since the window before.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace loopsight {

struct ProgramCost {
  std::string name;
  uint64_t runs = 0;
  uint64_t run_time_ns = 0;  // 0 unless the kernel's statistics may be turned on
};

class CostSampler {
 public:
  // The first window is open from `now_ns` on. `sums`: the kernel's, as are those below.
  CostSampler(const std::vector<ProgramCost>& sums, uint64_t now_ns);

  bool is_open() const { return is_open_; }  // the statistics are to be on
  bool is_due(uint64_t now_ns) const { return now_ns >= due_ns_; }
  // Opens or closes a window, when it is due.
  void turn(const std::vector<ProgramCost>& sums, uint64_t now_ns);

  // Estimates, which never fall. Exact for the first window. While no window is open the sums do
  // not matter.
  std::vector<ProgramCost> costs(const std::vector<ProgramCost>& sums = {}) const;

  static constexpr uint64_t kWindowNs = 1'000'000'000;
  static constexpr uint64_t kPeriodNs = 16'000'000'000;

 private:
  struct Sums {
    uint64_t runs = 0;
    uint64_t run_time_ns = 0;
  };
  Sums in_window(const ProgramCost& sum) const;

  bool is_open_ = true;
  uint64_t due_ns_;
  uint64_t opened_ns_;
  uint64_t covered_ns_;                     // until when the estimates reach
  std::map<std::string, Sums> at_opening_;  // by program
  std::map<std::string, Sums> estimates_;
};

}  // namespace loopsight
