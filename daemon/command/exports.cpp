#include "daemon/command/exports.h"

namespace loopsight {

Result<Exports> Exports::open(const ExportOptions& options) {
  Exports exports;
  if (options.journal) {
    auto journal = JournalSink::open();
    if (!journal) return tl::make_unexpected(journal.error());
    exports.journal_ = std::make_unique<JournalSink>(std::move(*journal));
  }
  if (options.json_lines) {
    auto file = JsonLinesFile::open(*options.json_lines, WallClock::live(), host_name());
    if (!file) return tl::make_unexpected(file.error());
    exports.json_lines_ = std::make_unique<JsonLinesFile>(std::move(*file));
  }
  return exports;
}

std::vector<Sink*> Exports::sinks() const {
  std::vector<Sink*> sinks;
  if (journal_) sinks.push_back(journal_.get());
  if (json_lines_) sinks.push_back(json_lines_.get());
  return sinks;
}

void Exports::reopen() {
  if (json_lines_) json_lines_->reopen();
}

std::vector<std::pair<std::string, uint64_t>> Exports::failures() const {
  std::vector<std::pair<std::string, uint64_t>> failures;
  if (journal_) failures.emplace_back("export_journal", journal_->failures());
  if (json_lines_) failures.emplace_back("export_json_lines", json_lines_->failures());
  return failures;
}

}  // namespace loopsight
