// When to look at the thread pools of which process, and what of it is worth telling.
//
// A process costs reads of its memory, of two microseconds each, once a second, at each tick only
// while jobs wait, and ever less often, down to every five seconds, where there is no pool; and all
// processes together no more than a stated time of each tick, after which the rest has to wait for
// its turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/base/fair_shares.h"
#include "daemon/event/event.h"
#include "daemon/host/bounded_reads.h"
#include "daemon/host/remote_memory.h"
#include "daemon/python/thread_pools.h"

namespace loopsight {

class LivePools {
 public:
  // The memory of a process, with the number of reads that it may take.
  using Open = std::function<RemoteMemory(uint32_t tgid, size_t most_reads)>;

  LivePools(std::string proc_root, std::shared_ptr<BoundedReads> reads,
            std::string cgroup_root = "/sys/fs/cgroup", Open open = open_memory)
      : proc_root_(std::move(proc_root)),
        reads_(std::move(reads)),
        cgroup_root_(std::move(cgroup_root)),
        open_(std::move(open)) {}

  void charge_by(std::function<Owner(uint32_t tgid)> owner_of) { owner_of_ = std::move(owner_of); }
  // A process that has an event loop. Known already: nothing changes.
  void watch(uint32_t tgid, const ls_python& python);
  void forget(uint32_t tgid) {
    processes_.erase(tgid);
    shares_.remove(tgid);
  }

  // Looks at the processes that are due; gives what is new.
  std::vector<PoolState> look(uint64_t now_ns);

 private:
  struct Process {
    ls_python python;
    std::shared_ptr<ThreadPools> pools;  // a look that was given up may still use them
    uint64_t next_ns = 0;
    uint64_t vain_looks = 0;  // that found no pool, since the last one that did
    PoolState told;
    std::optional<uint64_t> cpu_ns;
    uint64_t cpu_read_ns = 0;
    std::optional<double> cpus_used;
    std::optional<double> cpus_quota;
  };
  static RemoteMemory open_memory(uint32_t tgid, size_t most_reads) {
    return RemoteMemory(tgid, most_reads);
  }
  std::optional<PoolState> look_at(uint32_t tgid, Process& process, uint64_t now_ns);
  void read_cpu(uint32_t tgid, Process& process, PoolState& state) const;

  std::string proc_root_;
  std::shared_ptr<BoundedReads> reads_;
  std::string cgroup_root_;
  Open open_;
  std::map<uint32_t, Process> processes_;  // by tgid
  static constexpr size_t kMaxProcesses = 4096;
  FairShares<uint32_t> shares_{kMaxProcesses};
  std::function<Owner(uint32_t tgid)> owner_of_ = [](uint32_t) { return Owner{}; };
  uint32_t last_ = 0;  // tgid of the one that was looked at last
};

}  // namespace loopsight
