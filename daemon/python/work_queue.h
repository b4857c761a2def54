// The queue of a ThreadPoolExecutor's jobs, a _queue.SimpleQueue, and how long its jobs wait.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

struct WorkQueue {
  uint64_t length = 0;
  std::vector<uint64_t> items;  // addresses of the first ones, the next to be taken first
  bool operator==(const WorkQueue&) const = default;
};

constexpr size_t kQueueWindow = 1024;  // of the items that are looked at

// Nothing where it cannot be read or contradicts itself, as in the middle of a change. `queue` must
// be a _queue.SimpleQueue.
std::optional<WorkQueue> read_work_queue(const RemoteMemory& memory, const ls_python& python,
                                         uint64_t queue);

// Tells from looks at a queue how long the job at its head has waited, at least.
//
// A job has no time in it, so what was taken out between two looks is counted: as many as the items
// of one look must be moved to fit those of the next, and no fewer than threads that have another
// job than before. What is taken out first was put in first, so the job at the head was put in
// before the first look that had seen that many jobs go in. Where two looks do not fit together,
// the counting begins anew and waits are told too short, never too long: an address may be given to
// a new job, but not to all of a row.
class JobWaits {
 public:
  // `running`: the address of the job that each thread runs, 0 where there is none or it is not
  // known. The result is in nanoseconds; 0 for an empty queue.
  uint64_t on_look(uint64_t now_ns, const WorkQueue& queue,
                   const std::map<uint64_t, uint64_t>& running);

 private:
  struct Pushed {
    uint64_t time_ns;
    uint64_t count;  // jobs that had gone in by then
  };
  std::optional<uint64_t> taken_since(const WorkQueue& queue,
                                      const std::map<uint64_t, uint64_t>& running) const;

  std::vector<uint64_t> items_;  // of the last look
  std::map<uint64_t, uint64_t> running_;
  uint64_t popped_ = 0;
  std::deque<Pushed> pushed_;  // rising; the first one contains the job at the head
};

}  // namespace loopsight
