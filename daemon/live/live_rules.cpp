// What the configuration says of processes and loops, carried out: which are watched, and from
// which length on a busy phase is a stall.
#include <algorithm>
#include <vector>

#include "daemon/event/codec.h"
#include "daemon/event/workload_name.h"
#include "daemon/host/proc.h"
#include "daemon/live/live_source.h"

namespace loopsight {

WorkloadPolicy LiveSource::policy_of(const ProcessFacts& facts) const {
  if (!rules_) return {};
  WorkloadName workload = workload_of(facts);
  return rules_->policy(workload.text, name_of(workload.source));
}

// Names of workloads by the rules, for what is read from now on.
void LiveSource::name_by_rules() {
  for (const WorkloadRule& rule : rules_->workloads)
    if (!rule.name.empty()) trust_name(rule.name);
  if (!rules_->has_names()) return reader_.set_naming_rules({});
  reader_.set_naming_rules([rules = *rules_](const NamedProcess& process) {
    return rules.name_of({.name = process.name,
                          .command = process.command,
                          .exe = process.exe,
                          .cwd = process.cwd,
                          .cgroup = process.cgroup,
                          .uid = process.uid});
  });
}

// False where it was known as that of a container, a unit or a rule before.
bool LiveSource::trust_name(const std::string& name) {
  constexpr size_t kMaxTrusted = 4096;
  if (!trusted_names_.insert(name).second) return false;
  trusted_order_.push_back(name);
  if (trusted_order_.size() > kMaxTrusted) {
    trusted_names_.erase(trusted_order_.front());
    trusted_order_.pop_front();
  }
  return true;
}

// Nobody's command line gives him the series and the rules of a container or a unit: a program that
// is called like one is marked, also where that one comes later.
Result<void> LiveSource::guard_names(ProcessFacts& facts, uint64_t now_ns) {
  auto [name, source] = workload_of(facts);
  if (source == WorkloadSource::kArgv) {
    if (trusted_names_.contains(name)) facts.program += kArgvMark;
    return {};
  }
  if (!facts.is_python || !trust_name(name)) return {};
  std::vector<ProcessFacts> called_so;
  for (const auto& [tgid, known] : known_)
    if (known.is_python && tgid != facts.tgid && workload_name(known) == name &&
        workload_of(known).source == WorkloadSource::kArgv)
      called_so.push_back(known);
  for (const ProcessFacts& known : called_so)
    if (auto described = describe(known, now_ns); !described) return described;
  return {};
}

Result<void> LiveSource::set_rules(const Configuration& config, uint64_t now_ns) {
  bool first = !rules_.has_value();
  bool renames = config.has_names() || (rules_ && rules_->has_names());
  rules_ = config;
  name_by_rules();
  loops_ = config.loops;
  probes_.configure(config.probes, now_ns);
  return first ? Result<void>() : apply_rules(renames, now_ns);
}

// The kernel side lets go of the row at the loop's next poll call; for the later stages the loop
// has ended now.
Result<void> LiveSource::unwatch_loop(uint32_t row, uint32_t generation, uint64_t now_ns) {
  tracer_.unwatch(row, generation);
  return add(encode(LoopVerdict{
      .time_ns = now_ns, .row = row, .generation = generation, .is_loop = false, .kind = {}}));
}

Result<void> LiveSource::apply_rules(bool renames, uint64_t now_ns) {
  std::vector<ProcessFacts> changed;
  for (const auto& [tgid, facts] : known_) {
    if (!facts.is_python) continue;
    ProcessFacts now = renames ? reader_.read(tgid) : facts;
    bool is_same = now.is_python && now.start_ticks == facts.start_ticks;
    if (is_same && now.configured_name != facts.configured_name)
      changed.push_back(std::move(now));
    else if (policy_of(facts).watch == unwatched_.contains(tgid))
      changed.push_back(facts);
  }
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
