// Sets of causes.
#pragma once

#include <cstdint>

#include "bpf/wire.h"

namespace loopsight {

// One bit for each of the given values of enum ls_cause.
template <typename... Causes>
constexpr uint32_t cause_bits(Causes... causes) {
  return (0U | ... | (1U << causes));
}

}  // namespace loopsight
