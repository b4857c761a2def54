// Text for a person at a terminal: what is watched, each stall in a few lines, a summary at the
// end.
#pragma once

#include <cstdio>

#include "daemon/sink/sink.h"
#include "daemon/sink/stall_text.h"

namespace loopsight {

class TextSink : public Sink {
 public:
  // `out` is not owned.
  TextSink(std::FILE* out, WallClock clock, TextOptions options)
      : out_(out), clock_(clock), options_(options) {}

  Result<void> on_start(const TraceStart& start) override;
  Result<void> on_stall(const StallReport& report) override;
  Result<void> on_executor(const ExecutorReport& report) override;
  Result<void> on_congestion(const CongestionReport& report) override;
  Result<void> on_summary(const Summary& summary) override;

 private:
  std::FILE* out_;
  WallClock clock_;
  TextOptions options_;
};

}  // namespace loopsight
