// What a set of JSON lines amounts to: the lines in, sums out. Lines may be anybody's: what is no
// line of ours is counted and left out, names are cleaned, and every table has a bound.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "daemon/report/durations.h"

namespace loopsight {

// Who waited for the stalls.
struct DelayedTally {
  uint64_t stalls = 0;  // that say it
  double events = 0;
  double seconds = 0;
  double timer_lateness_seconds = 0;  // the largest
  bool exact = true;                  // of all that say it
};

// Thread pools with no thread free and jobs waiting.
struct ExecutorTally {
  uint64_t saturations = 0;  // that ended
  double seconds = 0;
  double most_queued = 0;
  double longest_wait_seconds = 0;
};

struct CulpritTally {
  Durations durations;
  DelayedTally delayed;
  std::string where;   // file:line of the longest
  std::string advice;  // of the longest
};

struct LoopTally {
  std::string kind;
  std::string python;
  uint64_t stalls = 0;
  uint64_t stalled_ns = 0;
  // From summary lines; 0 without.
  double iterations = 0;
  double busy_seconds = 0;
  double idle_seconds = 0;
};

struct TallyLimits {
  size_t culprits = 2000;
  size_t loops = 500;
  size_t running = 10'000;
};

class Tally {
 public:
  using CulpritKey = std::pair<std::string, std::string>;          // "module:function", cause
  using LoopKey = std::tuple<std::string, std::string, uint64_t>;  // host, workload, worker

  Tally() = default;
  explicit Tally(TallyLimits limits) : limits_(limits) {}

  void add_line(std::string_view line);
  void add(const nlohmann::ordered_json& json);
  void finish();  // stalls that never ended count as far as they were seen

  // Seconds that were watched; nothing where no summary says it.
  std::optional<double> watched_seconds() const { return watched_; }
  // From the first stall's start to the last one's end, seconds since 1970.
  std::optional<std::pair<double, double>> span() const { return span_; }
  // The watched time, else the span: what rates are over. 0 where neither is known.
  double window_seconds() const;

  const Durations& durations() const { return durations_; }
  const DelayedTally& delayed() const { return delayed_; }
  const ExecutorTally& executors() const { return executors_; }
  const std::map<CulpritKey, CulpritTally>& culprits() const { return culprits_; }
  const std::map<std::string, Durations>& causes() const { return causes_; }
  const std::map<LoopKey, LoopTally>& loops() const { return loops_; }
  uint64_t host_stalls() const { return host_stalls_; }
  double iterations() const { return iterations_; }
  double busy_seconds() const { return busy_; }
  double idle_seconds() const { return idle_; }
  double lost() const { return lost_; }
  uint64_t bad_lines() const { return bad_lines_; }
  uint64_t never_ended() const { return never_ended_; }
  uint64_t folded() const { return folded_; }  // stalls in "(other)" for want of room

  void add_bad_lines(uint64_t count) { bad_lines_ += count; }

 private:
  bool add_stall(const nlohmann::ordered_json& json);
  bool add_executor(const nlohmann::ordered_json& json);
  bool add_summary(const nlohmann::ordered_json& json);
  LoopTally* loop_of(LoopKey key);

  TallyLimits limits_;
  std::optional<double> watched_;
  std::optional<std::pair<double, double>> span_;
  Durations durations_;
  DelayedTally delayed_;
  ExecutorTally executors_;
  std::map<CulpritKey, CulpritTally> culprits_;
  std::map<std::string, Durations> causes_;
  std::map<LoopKey, LoopTally> loops_;
  std::map<std::string, nlohmann::ordered_json> running_;  // by identity
  uint64_t host_stalls_ = 0;
  double iterations_ = 0;
  double busy_ = 0;
  double idle_ = 0;
  double lost_ = 0;
  uint64_t bad_lines_ = 0;
  uint64_t never_ended_ = 0;
  uint64_t folded_ = 0;
};

}  // namespace loopsight
