// JSON lines: one object a line, every key always there, null where not known.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/sink/sink.h"

namespace loopsight {

// The object of a stall, as JSON lines and /api/v1/stalls show it.
nlohmann::ordered_json stall_json(const StallReport& report, const WallClock& clock,
                                  const std::string& host);
// The object of a saturated thread pool.
nlohmann::ordered_json congestion_json(const CongestionReport& report, const WallClock& clock,
                                       const std::string& host);
nlohmann::ordered_json executor_json(const ExecutorReport& report, const WallClock& clock,
                                     const std::string& host);
nlohmann::ordered_json summary_json(const Summary& summary);

// One line without its end; strings are valid UTF-8 whatever they were.
std::string to_line(const nlohmann::ordered_json& json);

class JsonSink : public Sink {
 public:
  // `out` is not owned.
  JsonSink(std::FILE* out, WallClock clock, std::string host)
      : out_(out), clock_(clock), host_(std::move(host)) {}

  Result<void> on_stall(const StallReport& report) override;
  Result<void> on_executor(const ExecutorReport& report) override;
  Result<void> on_congestion(const CongestionReport& report) override;
  Result<void> on_summary(const Summary& summary) override;

 private:
  std::FILE* out_;
  WallClock clock_;
  std::string host_;
};

}  // namespace loopsight
