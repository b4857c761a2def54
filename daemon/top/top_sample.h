// What the daemon's API says at one moment. The daemon may be another host's, so its text is
// cleaned and its numbers are checked like everybody else's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/wire.h"
#include "daemon/base/result.h"

namespace loopsight {

struct TopLoop {
  std::string workload;
  uint64_t worker = 0;
  uint64_t pid = 0;
  uint64_t tid = 0;
  std::string kind;
  std::string python;
  double iterations = 0;
  double busy_seconds = 0;
  double idle_seconds = 0;
  double stalled_seconds = 0;  // the age of the stall that goes on, else 0
  std::array<double, LS_CAUSES> causes{};
};

struct TopStall {
  std::string workload;
  uint64_t worker = 0;
  uint64_t tid = 0;
  double start_ns = 0;  // with tid its identity
  std::string time;     // of the day, UTC
  double seconds = 0;
  std::string cause;
  bool in_progress = false;
  std::string culprit;  // "module:function", "" not known
  std::string place;    // "file:line"
  std::string advice;
  std::optional<double> delayed_events;
  double delayed_seconds = 0;
};

struct TopSample {
  std::vector<TopLoop> loops;
  std::vector<TopStall> stalls;  // the newest first
};

constexpr const char* kLoopsPath = "/api/v1/loops";
constexpr const char* kStallsPath = "/api/v1/stalls";
constexpr const char* kStallsLimit = "200";

// Errors: what these paths answered is not what they should.
Result<TopSample> parse_sample(std::string_view loops, std::string_view stalls);

}  // namespace loopsight
