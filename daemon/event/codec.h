// Bytes <-> events. The same function decodes what the ring buffer delivers and what a recording
// holds, so both are treated as hostile: every length and number is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/event/event.h"

namespace loopsight {

// Errors: shorter than its header, a size that does not match its kind, an unknown kind, a number
// out of range, facts that are not the JSON they should be.
Result<Event> decode(std::span<const std::byte> bytes);

// The records that user space adds. The kernel's own need no encoder.
std::vector<std::byte> encode(const LoopState& state);
std::vector<std::byte> encode(const ProcessFacts& facts, uint64_t time_ns);
std::vector<std::byte> encode(const LoopVerdict& verdict);
std::vector<std::byte> encode(const SourceSeen& source);
std::vector<std::byte> encode(const KernelFunction& function);
std::vector<std::byte> encode(const PoolState& state);
std::vector<std::byte> encode(const Lost& lost);

}  // namespace loopsight
