// What the audit probe costs the processes that hit it: when one of them raises so many events that
// the traps take more than a share of its CPU time, it is named, so that the probe is taken off its
// interpreter.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace loopsight {

class AuditBudget {
 public:
  struct Excess {
    uint32_t tgid = 0;
    double events_per_second = 0;
    double share = 0;  // of the process's CPU time
  };

  // `share` of a process's CPU time may go to the traps; what costs less than kFloor of one core is
  // let be.
  explicit AuditBudget(double share) : share_(share) {}

  // `hits` are the events of each process since the beginning, `hit_ns` what one costs, and
  // `cpu_time_ns(tgid)` the CPU time of a process so far, nothing where it is gone.
  std::vector<Excess> on_hits(const std::map<uint32_t, uint64_t>& hits, uint64_t hit_ns,
                              const std::function<std::optional<uint64_t>(uint32_t)>& cpu_time_ns,
                              uint64_t now_ns);

  static constexpr uint64_t kWindowNs = 2'000'000'000;
  static constexpr double kFloor = 0.001;

 private:
  struct Seen {
    uint64_t hits = 0;
    uint64_t cpu_ns = 0;
  };
  double share_;
  uint64_t window_start_ns_ = 0;
  std::map<uint32_t, Seen> seen_;  // by tgid
};

}  // namespace loopsight
