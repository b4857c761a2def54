// The rows of the view: what each loop did in the last seconds, from samples of its counters.
// Stalls are dated by when they are first seen here, so that the clock of another host is not
// needed.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/top/top_sample.h"

namespace loopsight {

constexpr double kTopWindowSeconds = 10;

struct TopRow {
  TopLoop loop;
  double busy_share = 0;                         // of the window, 0 to 1
  double blocked_share = 0;                      // by stalls
  std::array<double, LS_CAUSES> cause_shares{};  // add up to busy_share
  uint64_t stalls = 0;                           // seen since the view began
  double delayed_events = 0;                     // by those
  double delayed_seconds = 0;
  std::vector<TopStall> recent;  // the newest first
};

class TopModel {
 public:
  // `now` in seconds, of any clock that does not go back.
  void update(const TopSample& sample, double now);

  const std::vector<TopRow>& rows() const { return rows_; }
  uint64_t stalls() const { return stalls_; }  // seen since the view began

 private:
  using Key = std::pair<std::string, uint64_t>;  // workload, tid
  struct Counters {
    double time = 0;
    double busy = 0;
    double idle = 0;
    std::array<double, LS_CAUSES> causes{};
  };
  struct History {
    std::deque<Counters> counters;                   // the newest last
    std::deque<std::pair<double, double>> finished;  // when a stall was seen, its seconds
    uint64_t stalls = 0;
    double delayed_events = 0;
    double delayed_seconds = 0;
  };
  void take_stalls(const TopSample& sample, double now);
  TopRow make_row(const TopLoop& loop, double now);

  std::map<Key, History> histories_;
  std::set<std::pair<uint64_t, double>> known_;  // stalls that had ended at the last look
  std::vector<TopRow> rows_;
  bool is_first_ = true;
  double began_ = 0;
  uint64_t stalls_ = 0;
};

}  // namespace loopsight
