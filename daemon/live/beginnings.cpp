#include "daemon/live/beginnings.h"

#include <algorithm>
#include <array>

namespace loopsight {
namespace {

// After the exec. The dynamic loader maps libpython within a few milliseconds, importing asyncio
// takes CPython tens of them.
constexpr std::array<uint64_t, 5> kLooksNs = {3'000'000, 10'000'000, 30'000'000, 80'000'000,
                                              250'000'000};

}  // namespace

void Beginnings::on_exec(uint32_t tgid, uint64_t time_ns) {
  if (begun_.size() >= kMost && !begun_.contains(tgid)) return;
  begun_[tgid] = {.exec_ns = time_ns, .looks = 0, .due_ns = time_ns + kLooksNs[0]};
}

std::vector<uint32_t> Beginnings::due(uint64_t now_ns) {
  std::vector<uint32_t> found;
  for (auto entry = begun_.begin(); entry != begun_.end();) {
    Program& program = entry->second;
    if (program.due_ns > now_ns) {
      ++entry;
      continue;
    }
    found.push_back(entry->first);
    while (program.looks < kLooksNs.size() && program.due_ns <= now_ns)
      if (++program.looks < kLooksNs.size())
        program.due_ns = program.exec_ns + kLooksNs[program.looks];
    entry = program.looks < kLooksNs.size() ? std::next(entry) : begun_.erase(entry);
  }
  return found;
}

uint64_t Beginnings::next_ns() const {
  uint64_t next = UINT64_MAX;
  for (const auto& [tgid, program] : begun_) next = std::min(next, program.due_ns);
  return next;
}

}  // namespace loopsight
