// How large the kernel side's tables are made: by the machine, unless the configuration says.
#pragma once

#include <cstddef>
#include <cstdint>

namespace loopsight {

// 0: by the machine.
struct TableSizes {
  uint32_t loops = 0;       // some 7 KB each, taken at once
  uint32_t processes = 0;   // some 300 bytes each, as they come
  uint32_t ring_bytes = 0;  // of the buffer of records
  bool operator==(const TableSizes&) const = default;
};

// Fills in what is 0, and holds the rest to what the tables can have. The ring buffer becomes a
// power of two.
TableSizes size_tables(TableSizes wanted, uint64_t memory_bytes, uint32_t cpus, uint32_t most_pids);

// The same for this machine.
TableSizes size_tables(TableSizes wanted);

}  // namespace loopsight
