#include "daemon/command/feed_recording.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "bpf/wire.h"
#include "daemon/base/text.h"

namespace loopsight {

Result<void> feed_recording(RecordingReader& recording, Pipeline& pipeline,
                            const std::string& name) {
  Result<void> fed;
  uint64_t first_ns = 0;
  uint64_t last_ns = 0;
  auto read = recording.read([&](std::span<const std::byte> bytes) {
    uint64_t undecodable = pipeline.undecodable();
    if (auto one = pipeline.feed(bytes); !one) fed = one;
    if (pipeline.undecodable() > undecodable) return;  // its time may be anything
    ls_header record;
    std::memcpy(&record, bytes.data(), sizeof(record));
    if (record.time_ns == 0) return;
    if (first_ns == 0) first_ns = record.time_ns;
    last_ns = std::max<uint64_t>(last_ns, record.time_ns);
  });
  if (!read) return tl::make_unexpected(read.error());
  if (!fed) return fed;
  if (auto finished = pipeline.finish(last_ns - first_ns); !finished) return finished;
  std::string shown = clean_text(name, 200);
  if (read->cut_off)
    spdlog::warn("{}: the last record is cut off; what came before it was replayed", shown);
  if (pipeline.undecodable() > 0)
    spdlog::warn("{}: {} of {} records cannot be decoded and were left out", shown,
                 pipeline.undecodable(), read->records);
  return {};
}

}  // namespace loopsight
