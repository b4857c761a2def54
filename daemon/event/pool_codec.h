// The JSON of a PoolState record. A part of codec.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "daemon/base/result.h"
#include "daemon/event/event.h"

namespace loopsight {

constexpr size_t kMaxPools = 256;      // of one process
constexpr size_t kMaxPoolFrames = 64;  // of one pool

nlohmann::json pools_json(const PoolState& state);

// Errors: no JSON object, more busy threads than threads, a number that cannot be. What is beyond
// the maxima is left away.
Result<PoolState> decode_pools(const ls_header& header, std::span<const std::byte> payload);

}  // namespace loopsight
