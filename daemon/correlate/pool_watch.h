// Looks at thread pools in, saturations out: times in which all threads that a pool may have were
// busy while its jobs waited.
//
//   (quiet) -- all busy, a job waits for kLongWaitNs --> saturated -- waits are short again, the
//      ^                                                    |       queue is empty, threads are
//      idle
//      +----------------------------------------------------+       or the pool has ended
//
// A saturation begins when the job was put in that has waited for so long. It is found when that is
// known, again at kFirstReportNs and at each doubling of that, and once more when it ends.
//
// What makes it right: a thread that is idle at one look while jobs wait is on its way to one of
// them; only at the second look running it is idle.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/event/event.h"

namespace loopsight {

constexpr uint64_t kLongWaitNs = 1'000'000'000;
constexpr uint64_t kFirstReportNs = 10'000'000'000;

struct Saturation {
  uint32_t tgid = 0;
  uint64_t start_ns = 0;
  uint64_t end_ns = 0;  // in progress: when it was looked at
  bool in_progress = false;
  SeenPool pool;  // as it is; of one that has ended the longest queue and wait
  std::optional<double> cpus_used;
  std::optional<double> cpus_quota;

  uint64_t duration_ns() const { return end_ns - start_ns; }
};

// What a process's pools are at, and for how long they were saturated since the last look.
struct PoolProgress {
  uint32_t tgid = 0;
  uint64_t busy = 0;
  uint64_t idle = 0;
  uint64_t queued = 0;
  uint64_t saturated_ns = 0;
  bool ended = false;  // the process has no pools any more
};

struct PoolFindings {
  std::vector<Saturation> saturations;
  std::optional<PoolProgress> progress;
};

class PoolWatch {
 public:
  PoolFindings on_state(const PoolState& event);
  PoolFindings on_exit(uint32_t tgid, uint64_t now_ns);

 private:
  struct Pool {
    SeenPool worst;
    std::optional<Saturation> open;
    uint64_t seen_ns = 0;
    uint64_t counted_ns = 0;  // up to which its saturation is in the progress
    uint64_t next_report_ns = 0;
    uint64_t last_end_ns = 0;
    bool was_idle = false;  // at the last look, with jobs in the queue
  };
  using Pools = std::map<uint64_t, Pool>;  // by id

  void on_pool(const PoolState& event, const SeenPool& seen, Pool& pool, PoolFindings& findings);
  static void end(Pool& pool, uint64_t now_ns, PoolFindings& findings);

  std::map<uint32_t, Pools> processes_;  // by tgid
};

}  // namespace loopsight
