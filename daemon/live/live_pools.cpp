#include "daemon/live/live_pools.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "daemon/host/cpu_quota.h"
#include "daemon/host/proc.h"

namespace loopsight {
namespace {

constexpr size_t kMaxReads = 16384;            // of one look
constexpr uint64_t kTickBudgetNs = 5'000'000;  // for all looks of one tick
constexpr uint64_t kLookNs = 1'000'000'000;    // between looks at a process
constexpr uint64_t kWaitingNs = 200'000'000;   // while its jobs wait
constexpr uint64_t kMostLooksApart = 5;        // of kLookNs, in a process that has no pool
constexpr uint64_t kVainLooks = 10;  // with each so many the next ones are a kLookNs further apart
constexpr uint64_t kCostFactor = 100;     // no process gets more than a hundredth of a CPU
constexpr uint64_t kCpuNs = 900'000'000;  // over which CPU use is measured, at least

uint64_t elapsed_ns(std::chrono::steady_clock::time_point start) {
  return static_cast<uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
}

bool has_waiting(const SeenPool& pool) {
  return pool.busy == pool.threads && pool.queued.value_or(0) > 0;
}

bool waits_for_long(const SeenPool& pool) { return pool.oldest_wait_ns >= kLookNs / 2; }

bool is_news(const std::vector<SeenPool>& before, const std::vector<SeenPool>& after) {
  auto alike = [](const SeenPool& a, const SeenPool& b) {
    return a.id == b.id && a.name == b.name && a.threads == b.threads && a.busy == b.busy &&
           a.max_workers == b.max_workers && a.queued == b.queued;
  };
  return std::any_of(after.begin(), after.end(), waits_for_long) ||
         !std::equal(before.begin(), before.end(), after.begin(), after.end(), alike);
}

}  // namespace

void LivePools::watch(uint32_t tgid, const ls_python& python) {
  if (processes_.contains(tgid)) return;
  processes_.emplace(
      tgid, Process{.python = python, .pools = std::make_shared<ThreadPools>(tgid, python)});
  for (uint32_t gone : shares_.add(tgid, owner_of_(tgid))) processes_.erase(gone);
}

// What the process computes meanwhile, for the advice.
void LivePools::read_cpu(uint32_t tgid, Process& process, PoolState& state) const {
  auto cpu = read_cpu_time_ns(proc_root_, tgid);
  if (cpu && process.cpu_ns && *cpu >= *process.cpu_ns &&
      state.time_ns >= process.cpu_read_ns + kCpuNs)
    process.cpus_used = static_cast<double>(*cpu - *process.cpu_ns) /
                        static_cast<double>(state.time_ns - process.cpu_read_ns);
  if (!process.cpu_ns || state.time_ns >= process.cpu_read_ns + kCpuNs) {
    process.cpu_ns = cpu;
    process.cpu_read_ns = state.time_ns;
    process.cpus_quota = read_cpu_quota(proc_root_, cgroup_root_, tgid);
  }
  state.cpus_used = process.cpus_used;
  state.cpus_quota = process.cpus_quota;
}

std::optional<PoolState> LivePools::look_at(uint32_t tgid, Process& process, uint64_t now_ns) {
  auto start = std::chrono::steady_clock::now();
  struct Look {
    std::vector<SeenPool> pools;
    size_t reads;
    bool cut;
  };
  auto look = reads_->of(tgid, [open = open_, pools = process.pools, tgid, now_ns] {
    RemoteMemory memory = open(tgid, kMaxReads);
    auto seen = pools->look(memory, now_ns);
    return Look{.pools = std::move(seen), .reads = memory.reads(), .cut = memory.is_used_up()};
  });
  if (!look) {
    process.pools = std::make_shared<ThreadPools>(tgid, process.python);
    process.next_ns = now_ns + kMostLooksApart * kLookNs;
    if (process.told.pools.empty()) return std::nullopt;
    process.told = {.time_ns = now_ns, .tgid = tgid};  // nobody knows how they are
    return process.told;
  }
  PoolState state{.time_ns = now_ns, .tgid = tgid, .pools = std::move(look->pools)};
  bool cut = look->cut;
  bool waiting = std::any_of(state.pools.begin(), state.pools.end(), has_waiting);
  if (waiting) {
    read_cpu(tgid, process, state);
  } else {
    process.cpu_ns.reset();
    process.cpus_used.reset();
  }
  uint64_t cost_ns = elapsed_ns(start);
  process.vain_looks = state.pools.empty() && !cut ? process.vain_looks + 1 : 0;
  uint64_t apart = std::clamp<uint64_t>(process.vain_looks / kVainLooks, 1, kMostLooksApart);
  process.next_ns =
      now_ns + std::max(waiting ? kWaitingNs : apart * kLookNs, cost_ns * kCostFactor);
  spdlog::trace("pid {}: {} thread pools read in {} us, {} reads{}", tgid, state.pools.size(),
                cost_ns / 1000, look->reads, cut ? ", cut off" : "");
  // What was cut off knows some threads only; what it found out of them the next look has already.
  if (cut || !is_news(process.told.pools, state.pools)) return std::nullopt;
  process.told = state;
  return state;
}

std::vector<PoolState> LivePools::look(uint64_t now_ns) {
  std::vector<PoolState> found;
  auto start = std::chrono::steady_clock::now();
  auto next = processes_.upper_bound(last_);
  for (size_t i = 0; i < processes_.size(); i++, ++next) {
    if (next == processes_.end()) next = processes_.begin();
    if (now_ns < next->second.next_ns) continue;
    if (elapsed_ns(start) >= kTickBudgetNs) break;
    last_ = next->first;
    if (auto state = look_at(next->first, next->second, now_ns)) found.push_back(std::move(*state));
  }
  return found;
}

}  // namespace loopsight
