// Reads what an iterator program over the threads of a process writes.
#pragma once

#include <bpf/libbpf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <vector>

#include "daemon/base/result.h"

namespace loopsight {

// Calls `on_item` with each item of `size` bytes. Nothing is written for a process that has ended.
// Errors: the kernel refuses.
Result<void> iterate_threads(bpf_program* program, uint32_t tgid, size_t size,
                             const std::function<void(const void*)>& on_item);

template <typename Item>
Result<std::vector<Item>> read_threads(bpf_program* program, uint32_t tgid) {
  static_assert(std::is_trivially_copyable_v<Item>);
  std::vector<Item> items;
  auto read = iterate_threads(program, tgid, sizeof(Item), [&](const void* bytes) {
    std::memcpy(&items.emplace_back(), bytes, sizeof(Item));
  });
  if (!read) return tl::make_unexpected(read.error());
  return items;
}

}  // namespace loopsight
