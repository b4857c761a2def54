// What the configuration says of processes and loops, carried out: which are watched, and from
// which length on a busy phase is a stall.
#include <algorithm>
#include <vector>

#include "daemon/attribute/workloads.h"
#include "daemon/event/codec.h"
#include "daemon/host/proc.h"
#include "daemon/live/live_source.h"

namespace loopsight {

WorkloadPolicy LiveSource::policy_of(const ProcessFacts& facts) const {
  return rules_ ? rules_->policy(workload_name(facts)) : WorkloadPolicy{};
}

Result<void> LiveSource::set_rules(const Configuration& config, uint64_t now_ns) {
  bool first = !rules_.has_value();
  rules_ = config;
  loops_ = config.loops;
  probes_.configure(config.probes, now_ns);
  return first ? Result<void>() : apply_rules(now_ns);
}

// The kernel side lets go of the row at the loop's next poll call; for the later stages the loop
// has ended now.
Result<void> LiveSource::unwatch_loop(uint32_t row, uint32_t generation, uint64_t now_ns) {
  tracer_.unwatch(row, generation);
  return add(encode(LoopVerdict{
      .time_ns = now_ns, .row = row, .generation = generation, .is_loop = false, .kind = {}}));
}

Result<void> LiveSource::apply_rules(uint64_t now_ns) {
  std::vector<ProcessFacts> changed;
  for (const auto& [tgid, facts] : known_)
    if (facts.is_python && policy_of(facts).watch == unwatched_.contains(tgid))
      changed.push_back(facts);
  // A child that was forked by an unwatched process is known to the kernel side alone.
  for (uint32_t tgid : list_pids(reader_.proc_root()))
    if (!known_.contains(tgid)) changed.push_back(reader_.read(tgid));
  for (const ProcessFacts& facts : changed)
    if (facts.is_python || facts.unread)
      if (auto described = describe(facts, now_ns); !described) return described;
  for (const auto& [tgid, facts] : known_) {
    if (unwatched_.contains(tgid))
      probes_.on_exit(tgid, now_ns);
    else if (facts.is_python)
      probes_.on_process(tgid, policy_of(facts).audit, now_ns);
  }
  for (uint32_t row : tracer_.used_rows()) {
    auto loop = tracer_.read_row(row);
    if (!loop || loop->flags & (LS_LOOP_REJECTED | LS_LOOP_RELEASED)) continue;
    auto known = known_.find(loop->tgid);
    if (known == known_.end()) continue;
    if (unwatched_.contains(loop->tgid)) {
      if (auto done = unwatch_loop(row, loop->generation, now_ns); !done) return done;
    } else {
      tracer_.set_threshold(row, loop->generation, policy_of(known->second).threshold_ns);
    }
  }
  return {};
}

}  // namespace loopsight
