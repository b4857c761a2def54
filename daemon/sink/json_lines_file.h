// Stalls as JSON lines in a file that is rotated by its size: FILE, FILE.1, FILE.2 … A disk that is
// full, or a file that cannot be opened again, costs lines and not the daemon: what was not written
// is counted, said once, and the next stall tries again.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/base/fd.h"
#include "daemon/config/configuration.h"
#include "daemon/sink/sink.h"

namespace loopsight {

class JsonLinesFile : public Sink {
 public:
  // Errors: the file cannot be opened, or is not a regular file.
  static Result<JsonLinesFile> open(JsonLinesOptions options, WallClock clock, std::string host);

  // Never fails: see failures().
  Result<void> on_stall(const StallReport& report) override;
  Result<void> on_executor(const ExecutorReport& report) override;
  Result<void> on_congestion(const CongestionReport& report) override;
  Result<void> on_summary(const Summary& summary) override;

  // For SIGHUP. A file that was moved away is noticed without, at the next stall.
  void reopen();

  uint64_t failures() const { return failures_; }  // lines that were not written

 private:
  JsonLinesFile(JsonLinesOptions options, WallClock clock, std::string host)
      : options_(std::move(options)), clock_(clock), host_(std::move(host)) {}
  Result<void> open_file();
  bool ends_in_a_part() const;
  bool was_moved() const;
  Result<void> rotate();
  void write(const nlohmann::ordered_json& json);
  Result<void> append(const std::string& line);

  JsonLinesOptions options_;
  WallClock clock_;
  std::string host_;
  Fd fd_;
  uint64_t size_ = 0;
  bool torn_ = false;  // the file ends in a part of a line
  bool failing_ = false;
  size_t written_since_ = 0;  // bytes, since the last failure
  uint64_t failures_ = 0;
};

}  // namespace loopsight
