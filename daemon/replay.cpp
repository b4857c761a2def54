// `loopsight replay`: a recording through the same pipeline.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "bpf/wire.h"
#include "daemon/commands.h"
#include "daemon/event/recording.h"
#include "daemon/pipeline.h"
#include "daemon/results.h"

namespace loopsight {

Result<int> replay(const ReplayConfig& config) {
  auto recording = RecordingReader::open(config.recording);
  if (!recording) return tl::make_unexpected(recording.error());
  const RecordingHeader& header = recording->header();
  auto output = open_output(config.output, config.format);
  if (!output) return tl::make_unexpected(output.error());
  auto sink = make_results_sink(
      {.format = config.format, .quiet = config.quiet, .to_file = !config.output.empty()},
      output->get(), WallClock::fixed(header.wall_offset_ns), header.host);
  Pipeline pipeline(header.threshold_ns, {sink.get()});
  Result<void> fed;
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
  auto read = recording->read([&](std::span<const std::byte> bytes) {
    if (auto one = pipeline.feed(bytes); !one) fed = one;
    ls_header record;
    std::memcpy(&record, bytes.data(), sizeof(record));
    if (record.time_ns == 0) return;
    if (first_ns == 0) first_ns = record.time_ns;
    last_ns = std::max<uint64_t>(last_ns, record.time_ns);
  });
  if (!read) return tl::make_unexpected(read.error());
  if (!fed) return tl::make_unexpected(fed.error());
  if (auto finished = pipeline.finish(last_ns - first_ns); !finished)
    return tl::make_unexpected(finished.error());
  if (read->cut_off)
    spdlog::warn("{}: the last record is cut off; what came before it was replayed",
                 config.recording);
  if (pipeline.undecodable() > 0)
    spdlog::warn("{}: {} of {} records cannot be decoded and were left out", config.recording,
                 pipeline.undecodable(), read->records);
  return 0;
}

}  // namespace loopsight
