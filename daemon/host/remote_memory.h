// Memory of another process, read on demand and without stopping it. What is read may be torn,
// stale or a lie: readers bound each loop, check what they can, and are given a number of reads
// that they cannot exceed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>

namespace loopsight {

class RemoteMemory {
 public:
  // Copies `size` bytes from `address`; false where not all of them can be read.
  using Read = std::function<bool(uint64_t address, void* buffer, size_t size)>;

  // Further reads fail once `most_reads` were made.
  explicit RemoteMemory(uint32_t tgid, size_t most_reads = SIZE_MAX);
  explicit RemoteMemory(Read read, size_t most_reads = SIZE_MAX)
      : read_(std::move(read)), most_reads_(most_reads) {}

  bool read(uint64_t address, void* buffer, size_t size) const;
  uint64_t word(uint64_t address) const;  // 0 where it cannot be read

  template <typename Value>
  std::optional<Value> value(uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<Value>);
    Value value;
    if (!read(address, &value, sizeof(value))) return std::nullopt;
    return value;
  }

  size_t reads() const { return reads_; }
  bool is_used_up() const { return reads_ >= most_reads_; }

 private:
  Read read_;
  size_t most_reads_;
  mutable size_t reads_ = 0;
};

}  // namespace loopsight
