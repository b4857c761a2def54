// Stalls in the system's journal, with fields that journalctl filters by. OBJECT_SYSTEMD_UNIT is
// among them, so that `journalctl -u UNIT` shows the stalls of a unit between its own messages;
// OBJECT_PID is not, to which journald adds the whole command line of the process.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "daemon/sink/sink.h"

namespace loopsight {

// The same for every stall: journalctl MESSAGE_ID=…
constexpr const char* kStallMessageId = "f1c5ad6d3b8b4ae6a9b0c9d7e2f84c31";

using JournalFields = std::vector<std::pair<std::string, std::string>>;

// In the order in which they are sent; a field that is not known is not in it.
JournalFields journal_fields(const StallReport& report);

class JournalSink : public Sink {
 public:
  // Errors: no journal listens on this host.
  static Result<JournalSink> open();

  // Never fails: see failures().
  Result<void> on_stall(const StallReport& report) override;
  Result<void> on_summary(const Summary&) override { return {}; }

  uint64_t failures() const { return failures_; }

 private:
  JournalSink() = default;
  bool failing_ = false;
  uint64_t failures_ = 0;
};

}  // namespace loopsight
