// Whom what a process takes of shared tables, queues and budgets is charged to.
#pragma once

#include <compare>
#include <cstdint>

namespace loopsight {

// A user in a cgroup: the outermost one that another user than root controls, so that making
// further ones below it gives nobody more.
struct Owner {
  static constexpr uint32_t kNobody = UINT32_MAX;  // of a process that is gone
  uint64_t cgroup = 0;                             // its number, 0 not known
  uint32_t user = kNobody;                         // in the initial user namespace
  auto operator<=>(const Owner&) const = default;
};

}  // namespace loopsight
