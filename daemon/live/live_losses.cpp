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
  const char* key;     // in loopsight.yml
};

constexpr std::array<Table, 2> kTables = {{
    {LS_COUNT_LOOPS_FULL, "loop table", "loop_table_full", "loops"},
    {LS_COUNT_PROCESSES_FULL, "process table", "process_table_full", "processes"},
}};

constexpr std::array<const char*, LS_SHED_KINDS> kShedWhat = {
    "rows of the loop table", "rows of the process table", "room in the buffer of records",
    "judgements of poll calls"};

}  // namespace

Result<void> LiveSource::note_losses(uint64_t now_ns) {
  for (const Table& table : kTables) {
    bool full = tracer_.counter(table.counter) > 0 ||
                (table.counter == LS_COUNT_PROCESSES_FULL && unlisted_ > 0);
    uint32_t rows = table.counter == LS_COUNT_LOOPS_FULL ? tracer_.sizes().loops - 1
                                                         : tracer_.sizes().processes;
    if (full && said_full_.insert(table.counter).second)
      spdlog::warn(
          "the {} ({} rows) has no more for all or for one owner: what is new of him is not "
          "watched "
          "until there is room, and counted as {}; tables: {{{}: …}} in loopsight.yml makes it "
          "larger",
          table.what, rows, table.reason, table.key);
  }
  note_offenders();
  uint64_t lost = tracer_.counter(LS_COUNT_RING_FULL) + tracer_.counter(LS_COUNT_RECORDS_SHED);
  if (lost <= lost_) return {};
  auto added = add(encode(Lost{.time_ns = now_ns, .records = lost - lost_}));
  lost_ = lost;
  forks_.clear();  // one of them may have run another program meanwhile
  return added;
}

// Who has taken his share is said once; what he did not get is counted.
void LiveSource::note_offenders() {
  constexpr size_t kMostSaid = 1000;
  for (const Tracer::Shed& shed : tracer_.take_shed()) {
    shed_[shed.what] += shed.times;
    if (said_shed_.size() >= kMostSaid || !said_shed_.insert({shed.user, shed.what}).second)
      continue;
    spdlog::warn("user {} (pid {} among others) has his share of {}: he gets no more, others do",
                 shed.user, shed.tgid, kShedWhat[shed.what]);
  }
  for (const Owner& owner : pipeline_.codes().take_offenders())
    spdlog::warn("user {} has most of the names of code: his oldest are dropped for others",
                 owner.user);
}

}  // namespace loopsight
