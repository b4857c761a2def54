// The daemon's exports of stalls beside HTTP, as configured.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/config/configuration.h"
#include "daemon/sink/journal_sink.h"
#include "daemon/sink/json_lines_file.h"

namespace loopsight {

class Exports {
 public:
  // Errors: an export that is asked for cannot begin.
  static Result<Exports> open(const ExportOptions& options);

  std::vector<Sink*> sinks() const;
  void reopen();  // for SIGHUP: files that were moved away
  // What was not written, by the reason of loopsight_discarded_total.
  std::vector<std::pair<std::string, uint64_t>> failures() const;

 private:
  std::unique_ptr<JournalSink> journal_;
  std::unique_ptr<JsonLinesFile> json_lines_;
};

}  // namespace loopsight
