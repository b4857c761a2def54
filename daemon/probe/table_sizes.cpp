#include "daemon/probe/table_sizes.h"

#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <fstream>

#include "bpf/wire.h"

namespace loopsight {
namespace {

constexpr uint64_t kMemoryOfALoop = 3 << 20;  // of the machine: 0.25 % of it go to the rows
constexpr uint64_t kMemoryOfAProcess = 512 << 10;
constexpr uint32_t kMostLoopsByMachine = 16384;
constexpr uint32_t kMostProcessesByMachine = 1 << 20;
constexpr uint32_t kLeastLoops = 64;
constexpr uint32_t kLeastRing = 4096;
constexpr uint32_t kLeastRingByMachine = 4 << 20;
constexpr uint32_t kMostRingByMachine = 16 << 20;
constexpr uint32_t kMostRing = 256 << 20;
constexpr uint32_t kRingOfACpu = 1 << 20;

uint32_t by_machine(uint64_t value, uint32_t least, uint32_t most) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(value, least, most));
}

}  // namespace

TableSizes size_tables(TableSizes wanted, uint64_t memory_bytes, uint32_t cpus,
                       uint32_t most_pids) {
  if (wanted.loops == 0)
    wanted.loops = by_machine(memory_bytes / kMemoryOfALoop, LS_LEAST_LOOPS, kMostLoopsByMachine);
  if (wanted.processes == 0)
    wanted.processes = by_machine(std::min<uint64_t>(memory_bytes / kMemoryOfAProcess, most_pids),
                                  LS_LEAST_PROCESSES, kMostProcessesByMachine);
  if (wanted.ring_bytes == 0)
    wanted.ring_bytes =
        by_machine(uint64_t{cpus} * kRingOfACpu, kLeastRingByMachine, kMostRingByMachine);
  wanted.loops = std::clamp<uint32_t>(wanted.loops, kLeastLoops, LS_MAX_LOOPS);
  wanted.processes = std::clamp<uint32_t>(wanted.processes, kLeastLoops, LS_MAX_PROCESSES);
  wanted.ring_bytes = std::bit_floor(std::clamp(wanted.ring_bytes, kLeastRing, kMostRing));
  return wanted;
}

TableSizes size_tables(TableSizes wanted) {
  uint32_t most_pids = 0;
  std::ifstream("/proc/sys/kernel/pid_max") >> most_pids;
  auto pages = static_cast<uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L));
  auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return size_tables(wanted, pages * page,
                     static_cast<uint32_t>(std::max(libbpf_num_possible_cpus(), 1)), most_pids);
}

}  // namespace loopsight
