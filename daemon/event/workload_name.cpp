#include "daemon/event/workload_name.h"

#include <algorithm>

namespace loopsight {
namespace {

constexpr size_t kMaxLabelBytes = 128;
constexpr size_t kShortId = 12;  // digits of a container's id, as the runtimes' tools show them

// As a unit of systemd, or a container without a name, is called.
bool looks_like_another_source(std::string_view name) {
  for (std::string_view ending : {".service", ".scope", ".slice", ".socket", ".timer", ".mount"})
    if (name.ends_with(ending)) return true;
  return (name.size() == kShortId || name.size() == 64) &&
         name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

WorkloadName workload_of(const ProcessFacts& facts) {
  auto named = [](const std::string& text, WorkloadSource source) {
    return WorkloadName{clean_text(text, kMaxLabelBytes), source};
  };
  if (!facts.configured_name.empty())
    return named(facts.configured_name, WorkloadSource::kConfiguration);
  if (!facts.container_name.empty()) return named(facts.container_name, WorkloadSource::kContainer);
  if (!facts.container.empty())
    return named(facts.container.substr(0, kShortId), WorkloadSource::kContainer);
  if (!facts.unit.empty()) return named(facts.unit, WorkloadSource::kUnit);
  std::string program =
      clean_text(facts.program.empty() ? facts.comm : facts.program, kMaxLabelBytes);
  if (program.empty()) program = "unknown";
  if (looks_like_another_source(program)) program += kArgvMark;
  return {program, WorkloadSource::kArgv};
}

std::string workload_name(const ProcessFacts& facts) { return workload_of(facts).text; }

}  // namespace loopsight
