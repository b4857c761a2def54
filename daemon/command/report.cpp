// `loopsight report`: recordings or JSON lines -> a summary, or the comparison of two.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/text.h"
#include "daemon/command/commands.h"
#include "daemon/command/feed_recording.h"
#include "daemon/command/results.h"
#include "daemon/report/line_reader.h"
#include "daemon/report/markdown.h"
#include "daemon/report/report_json.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

class TallySink : public Sink {
 public:
  TallySink(Tally& tally, WallClock clock, std::string host)
      : tally_(tally), clock_(clock), host_(std::move(host)) {}
  Result<void> on_stall(const StallReport& report) override {
    tally_.add(stall_json(report, clock_, host_));
    return {};
  }
  Result<void> on_executor(const ExecutorReport& report) override {
    tally_.add(executor_json(report, clock_, host_));
    return {};
  }
  Result<void> on_summary(const Summary& summary) override {
    tally_.add(summary_json(summary));
    return {};
  }

 private:
  Tally& tally_;
  WallClock clock_;
  std::string host_;
};

Result<void> read_into(Tally& tally, const std::string& path) {
  if (!is_recording(path)) {
    auto read = read_lines(path, [&](std::string_view line) { tally.add_line(line); });
    if (!read) return tl::make_unexpected(read.error());
    tally.add_bad_lines(read->too_long);
    return {};
  }
  auto recording = RecordingReader::open(path);
  if (!recording) return tl::make_unexpected(recording.error());
  const RecordingHeader& header = recording->header();
  TallySink sink(tally, WallClock::fixed(header.wall_offset_ns), header.host);
  Pipeline pipeline(header.threshold_ns, {&sink});
  return feed_recording(*recording, pipeline, path);
}

// Errors: a file that cannot be read, or has nothing of ours in it.
Result<NamedTally> read_tally(const std::vector<std::string>& paths) {
  NamedTally result;
  for (const std::string& path : paths) {
    if (auto read = read_into(result.tally, path); !read) return tl::make_unexpected(read.error());
    std::string name = path.substr(path.rfind('/') + 1);
    result.name += (result.name.empty() ? "" : ", ") + clean_text(name, 100);
  }
  result.tally.finish();
  const Tally& tally = result.tally;
  if (tally.durations().count() == 0 && tally.iterations() == 0 && tally.bad_lines() > 0)
    return failure(
        fmt::format("{}: none of {} lines is of loopsight; give what 'trace --format json', "
                    "'--export.json-lines' or 'record' wrote",
                    clean_text(paths.front(), 200), tally.bad_lines()));
  return result;
}

}  // namespace

Result<int> report(const ReportConfig& config) {
  bool compares = config.files.size() == 2 && !config.merge;
  auto first = read_tally(compares ? std::vector{config.files[0]} : config.files);
  if (!first) return tl::make_unexpected(first.error());
  std::string text;
  if (compares) {
    auto second = read_tally({config.files[1]});
    if (!second) return tl::make_unexpected(second.error());
    text = config.format == Format::kJson ? to_line(comparison_json(*first, *second)) + "\n"
                                          : markdown_comparison(*first, *second);
  } else {
    text = config.format == Format::kJson ? to_line(report_json(*first)) + "\n"
                                          : markdown_report(*first);
  }
  auto output = open_output(config.output, config.format);
  if (!output) return tl::make_unexpected(output.error());
  if (std::fwrite(text.data(), 1, text.size(), output->get()) != text.size() ||
      std::fflush(output->get()) != 0)
    return failure(fmt::format("cannot write the report: {}", std::strerror(errno)));
  return 0;
}

}  // namespace loopsight
