// What the kernel side had no room for: lost records go down the pipe, a full table is said once.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>

#include "daemon/event/codec.h"
#include "daemon/live/live_source.h"

namespace loopsight {
namespace {

struct Table {
  ls_counter counter;
  const char* what;
  const char* reason;  // as loopsight_events_lost_total has it
  uint32_t rows;
};

constexpr std::array<Table, 2> kTables = {{
    {LS_COUNT_LOOPS_FULL, "loop table", "loop_table_full", LS_MAX_LOOPS - 1},
    {LS_COUNT_PROCESSES_FULL, "process table", "process_table_full", LS_MAX_PROCESSES},
}};

}  // namespace

Result<void> LiveSource::note_losses(uint64_t now_ns) {
  for (const Table& table : kTables) {
    bool full = tracer_.counter(table.counter) > 0 ||
                (table.counter == LS_COUNT_PROCESSES_FULL && unlisted_ > 0);
    if (full && said_full_.insert(table.counter).second)
      spdlog::warn(
          "the {} is full ({} rows): what is new is not watched until there is room, and counted "
          "as {}",
          table.what, table.rows, table.reason);
  }
  uint64_t lost = tracer_.counter(LS_COUNT_RING_FULL);
  if (lost <= lost_) return {};
  auto added = add(encode(Lost{.time_ns = now_ns, .records = lost - lost_}));
  lost_ = lost;
  return added;
}

}  // namespace loopsight
