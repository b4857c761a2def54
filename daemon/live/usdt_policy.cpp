#include "daemon/live/usdt_policy.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <optional>

#include "daemon/attribute/audit_events.h"
#include "daemon/base/text.h"
#include "daemon/host/proc.h"

namespace loopsight {
namespace {

constexpr size_t kMaxFiles = 256;  // attached to at once
constexpr size_t kMaxKnown = 4096;
constexpr size_t kMaxSingle = 256;            // processes of a file that are attached to one by one
constexpr uint64_t kKeepNs = 60'000'000'000;  // attached to a file that nobody runs
constexpr uint64_t kLookNs = 1'000'000'000;
constexpr double kAuditShare = 0.01;  // of a process's CPU time

constexpr const char* kPrograms[LS_GROUPS] = {"gc_probe", "import_probe", "audit_probe",
                                              "function_probe"};

double minutes(uint64_t ns) { return static_cast<double>(ns) / 60e9; }

}  // namespace

UsdtPolicy::UsdtPolicy(Tracer& tracer, ProcessReader& reader, const ProbeOptions& config,
                       bool functions)
    : tracer_(tracer),
      reader_(reader),
      config_(config),
      functions_(functions),
      governor_(config.cost_limit),
      budget_(kAuditShare) {
  for (const AuditEvent& event : audit_events())
    tracer_.set_audit_event(event.name, event.argument);
}

void UsdtPolicy::on_process(uint32_t tgid, bool audit, uint64_t now_ns) {
  on_exit(tgid, now_ns);
  auto found = reader_.find_python(tgid);
  if (!found || found->file.probes.sites.empty()) return;
  if (!found->file.trusted) {
    if (untrusted_.size() < kMaxKnown && untrusted_.insert(found->identity).second)
      spdlog::info(
          "the probes of {} are not used: the file belongs to user {} or others may write to it; "
          "collections and imports are inferred",
          clean_text(found->mapping.path, 200), found->file.owner);
    return;
  }
  if (keys_.size() >= kMaxKnown)  // what nobody runs is found again
    std::erase_if(keys_, [&](const auto& one) { return !files_.contains(one.second); });
  auto known = keys_.find(found->identity);
  if (known == keys_.end()) {
    auto real = tracer_.real_file(tgid, found->mapping.start);
    Key key = real ? Key{real->device, real->inode}
                   : Key{std::get<0>(found->identity), std::get<1>(found->identity)};
    known = keys_.emplace(found->identity, key).first;
  }
  auto entry = files_.find(known->second);
  if (entry == files_.end()) {
    Fd fd = files_.size() < kMaxFiles ? reader_.reopen_python(tgid, *found) : Fd();
    if (!fd) return;
    entry = files_.emplace(known->second, File{}).first;
    entry->second.name = clean_text(found->mapping.path, 200);
    entry->second.fd = std::move(fd);
    entry->second.sites = found->file.probes.sites;
    unreadable_sites_ += found->file.probes.unreadable;
  }
  File& file = entry->second;
  file.processes.insert(tgid);
  if (audit) file.audited.insert(tgid);
  file.unused_since_ns = 0;
  by_process_[tgid] = known->second;
  if (functions_) {
    if (auto why = why_no_functions(found->file); !why.empty())
      spdlog::warn("pid {}: its calls are not counted: {}", tgid, why);
  }
  update(file, now_ns);
}

void UsdtPolicy::on_exit(uint32_t tgid, uint64_t now_ns) {
  auto known = by_process_.find(tgid);
  if (known == by_process_.end()) return;
  if (auto entry = files_.find(known->second); entry != files_.end()) {
    entry->second.processes.erase(tgid);
    entry->second.audited.erase(tgid);
    for (size_t i = 0; i < LS_GROUPS; i++) {
      auto& single = entry->second.single[i];
      if (auto one = single.find(tgid); one != single.end()) {
        if (one->second != 0) tracer_.detach_sites(std::span(&one->second, 1));
        single.erase(one);
      }
    }
    if (entry->second.processes.empty()) entry->second.unused_since_ns = now_ns;
  }
  by_process_.erase(known);
  for (auto& excluded : excluded_) excluded.erase(tgid);
}

bool UsdtPolicy::is_wanted(const File& file, ls_probe_group group, uint64_t now_ns) const {
  if (governor_.is_shed(group)) return false;
  switch (group) {
    case LS_GROUP_GC: return config_.gc;
    case LS_GROUP_IMPORTS: return config_.imports;
    case LS_GROUP_AUDIT:
      return (config_.audit || !file.audited.empty()) && now_ns >= file.audit_until_ns;
    default: return functions_;
  }
}

void UsdtPolicy::attach(File& file, ls_probe_group group, uint32_t tgid, uint32_t& handle) {
  std::vector<ProbeSite> sites;
  for (const ProbeSite& site : file.sites)
    if (group_of(site.spec.kind) == group) sites.push_back(site);
  if (sites.empty()) return;
  if (site_cost_ns_ == 0) {
    site_cost_ns_ = tracer_.site_cost_ns();
    own_hits_ = tracer_.site_hits();
    costed_hits_ = own_hits_;
    spdlog::debug("a hit of a probe costs {} ns", site_cost_ns_);
  }
  auto attached = tracer_.attach_sites(group, file.fd.get(), sites, tgid);
  if (attached) {
    handle = *attached;
    return;
  }
  if (tgid != 0) return;  // it has ended
  file.failed[group] = true;
  spdlog::warn("{}: probe {}: {}", file.name, kProbeGroupNames[group], attached.error().message);
}

// To the file where nobody is left out, else to each process that is not.
void UsdtPolicy::update_group(File& file, ls_probe_group group, bool wanted) {
  const auto& excluded = excluded_[group];
  bool one_by_one = wanted && std::any_of(file.processes.begin(), file.processes.end(),
                                          [&](uint32_t tgid) { return excluded.contains(tgid); });
  std::vector<uint32_t> gone;
  uint32_t& whole = file.handles[group];
  if ((!wanted || one_by_one) && whole != 0) gone.push_back(std::exchange(whole, 0));
  std::erase_if(file.single[group], [&](const auto& one) {
    if (one_by_one && file.processes.contains(one.first) && !excluded.contains(one.first))
      return false;
    if (one.second != 0) gone.push_back(one.second);
    return true;
  });
  if (!gone.empty()) tracer_.detach_sites(gone);
  if (!wanted || file.failed[group]) return;
  if (!one_by_one) {
    if (whole == 0) attach(file, group, 0, whole);
    return;
  }
  for (uint32_t tgid : file.processes) {
    if (excluded.contains(tgid) || file.single[group].size() >= kMaxSingle) continue;
    if (auto [place, is_new] = file.single[group].try_emplace(tgid, 0); is_new)
      attach(file, group, tgid, place->second);
  }
}

void UsdtPolicy::update(File& file, uint64_t now_ns) {
  for (uint32_t i = 0; i < LS_GROUPS; i++) {
    auto group = static_cast<ls_probe_group>(i);
    update_group(file, group, is_wanted(file, group, now_ns));
  }
}

void UsdtPolicy::update_all(uint64_t now_ns) {
  for (auto& [key, file] : files_) update(file, now_ns);
}

void UsdtPolicy::let_go(File& file) {
  std::vector<uint32_t> handles;
  for (uint32_t& handle : file.handles)
    if (handle != 0) handles.push_back(std::exchange(handle, 0));
  for (auto& processes : file.single)
    for (const auto& [tgid, handle] : std::exchange(processes, {}))
      if (handle != 0) handles.push_back(handle);
  tracer_.detach_sites(handles);
}

void UsdtPolicy::configure(const ProbeOptions& config, uint64_t now_ns) {
  config_ = config;
  governor_.set_limit(config.cost_limit);
  update_all(now_ns);
}

// Every hit costs a trap and what its program costs on average.
void UsdtPolicy::add_costs() {
  auto hits = tracer_.site_hits();
  auto programs = tracer_.costs();
  for (size_t i = 0; i < hits.size(); i++) {
    uint64_t of_program_ns = 0;
    for (const ProgramCost& program : programs)
      if (program.name == kPrograms[i] && program.runs > 0)
        of_program_ns = program.run_time_ns / program.runs;
    program_ns_[i] = of_program_ns;
    uint64_t fresh = hits[i] - std::min(costed_hits_[i], hits[i]);
    cost_ns_[i] += fresh * (site_cost_ns_ + of_program_ns);
    costed_hits_[i] = hits[i];
  }
}

void UsdtPolicy::on_excess(const AuditBudget::Excess& excess, uint64_t now_ns) {
  auto known = by_process_.find(excess.tgid);
  auto entry = known == by_process_.end() ? files_.end() : files_.find(known->second);
  if (entry == files_.end() || entry->second.handles[LS_GROUP_AUDIT] == 0) return;
  File& file = entry->second;
  file.audit_pause_ns =
      file.audit_pause_ns == 0
          ? ProbeGovernor::kFirstPauseNs
          : std::min(2 * file.audit_pause_ns, uint64_t{ProbeGovernor::kLongestPauseNs});
  file.audit_until_ns = now_ns + file.audit_pause_ns;
  audit_refused_++;
  spdlog::warn(
      "probe audit is taken off {}: pid {} raised {:.0f} events a second, which took {:.0f} % of "
      "its CPU time; it is tried again in {:.0f} minutes",
      file.name, excess.tgid, excess.events_per_second, excess.share * 100,
      minutes(file.audit_pause_ns));
  update(file, now_ns);
}

std::map<uint32_t, uint64_t> UsdtPolicy::costs_since_last_look(ls_probe_group group) {
  std::map<uint32_t, uint64_t> costs;
  for (const auto& [tgid, hits] : tracer_.process_hits()) {
    auto before = looked_hits_.find(tgid);
    uint64_t old = before == looked_hits_.end() ? 0 : before->second[group];
    if (hits[group] > old) costs[tgid] = (hits[group] - old) * (site_cost_ns_ + program_ns_[group]);
  }
  return costs;
}

// Takes the probes of a group off the processes that cost most, beginning with those of the owner
// that costs most, until the rest is below the ceiling. False where nobody would be left.
bool UsdtPolicy::shed_dearest(ls_probe_group group, uint64_t now_ns) {
  auto costs = costs_since_last_look(group);
  std::map<Owner, uint64_t> of_owner;
  uint64_t total = 0;
  for (const auto& [tgid, ns] : costs) {
    of_owner[owner_of_(tgid)] += ns;
    total += ns;
  }
  std::vector<std::pair<uint32_t, uint64_t>> order(costs.begin(), costs.end());
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    return std::pair(of_owner[owner_of_(a.first)], a.second) >
           std::pair(of_owner[owner_of_(b.first)], b.second);
  });
  auto window = static_cast<double>(now_ns - last_window_ns_);
  std::vector<uint32_t> chosen;
  for (const auto& [tgid, ns] : order) {
    if (static_cast<double>(total) <= window * config_.cost_limit / 2) break;
    total -= ns;
    if (by_process_.contains(tgid)) chosen.push_back(tgid);
  }
  auto& excluded = excluded_[group];
  if (chosen.empty() || excluded.size() + chosen.size() >= by_process_.size()) return false;
  for (uint32_t tgid : chosen) {
    Excluded& one = excluded[tgid];
    one.pause_ns = ProbeGovernor::kFirstPauseNs;
    one.until_ns = now_ns + one.pause_ns;
    shed_processes_[group]++;
    Owner owner = owner_of_(tgid);
    if (said_.size() < kMaxKnown && said_.insert({owner, group}).second)
      spdlog::warn(
          "probe {} is taken off pid {} of user {}: it cost {:.2g} % of a core; it is tried again "
          "in "
          "{:.0f} minutes, and others keep it",
          kProbeGroupNames[group], tgid, owner.user,
          static_cast<double>(costs[tgid]) / window * 100, minutes(one.pause_ns));
  }
  return true;
}

void UsdtPolicy::tick(uint64_t now_ns) {
  // The costs are a system call for each program and each process that raised events.
  if (files_.empty() || now_ns < next_look_ns_) return;
  next_look_ns_ = now_ns + kLookNs;
  for (auto entry = files_.begin(); entry != files_.end();) {
    File& file = entry->second;
    if (file.unused_since_ns != 0 && now_ns > file.unused_since_ns + kKeepNs) {
      let_go(file);
      entry = files_.erase(entry);
      continue;
    }
    // The pause of an audit probe that was taken off may be over.
    if (file.audit_until_ns != 0 && now_ns >= file.audit_until_ns) {
      file.audit_until_ns = 0;
      update(file, now_ns);
    }
    ++entry;
  }
  auto cpu_time = [&](uint32_t tgid) { return read_cpu_time_ns(reader_.proc_root(), tgid); };
  std::map<uint32_t, uint64_t> audited;
  if (config_.audit || std::any_of(files_.begin(), files_.end(), [](const auto& file) {
        return file.second.handles[LS_GROUP_AUDIT] != 0;
      }))
    for (const auto& [tgid, hits] : tracer_.process_hits())
      if (hits[LS_GROUP_AUDIT] > 0) audited[tgid] = hits[LS_GROUP_AUDIT];
  for (const auto& excess : budget_.on_hits(audited, site_cost_ns_, cpu_time, now_ns))
    on_excess(excess, now_ns);
  restore_processes(now_ns);
  add_costs();
  for (const auto& decision : governor_.on_costs(cost_ns_, now_ns)) {
    const char* name = kProbeGroupNames[decision.group];
    if (decision.attach) {
      spdlog::info("probe {} is attached again", name);
    } else if (shed_dearest(decision.group, now_ns)) {
      governor_.keep(decision.group);
    } else {
      shed_[decision.group]++;
      spdlog::warn(
          "probe {} is shed: the optional probes cost more than {:.2g} % of a core, this one "
          "{:.2g} "
          "%; it is tried again in {:.0f} minutes",
          name, config_.cost_limit * 100, decision.share * 100,
          minutes(decision.until_ns - now_ns));
    }
    update_all(now_ns);
  }
  if (now_ns >= last_window_ns_ + ProbeGovernor::kWindowNs) {
    last_window_ns_ = now_ns;
    looked_hits_ = tracer_.process_hits();
  }
}

void UsdtPolicy::restore_processes(uint64_t now_ns) {
  size_t restored = 0;
  for (auto& excluded : excluded_)
    restored +=
        std::erase_if(excluded, [&](const auto& one) { return now_ns >= one.second.until_ns; });
  if (restored > 0) update_all(now_ns);
}

UsdtPolicy::State UsdtPolicy::state() const {
  State state{.hits = tracer_.site_hits(),
              .cost_ns = cost_ns_,
              .shed = shed_,
              .audit_refused = audit_refused_,
              .untrusted_files = untrusted_.size(),
              .unreadable_sites = unreadable_sites_,
              .shed_processes = shed_processes_};
  for (const auto& [key, file] : files_)
    for (size_t i = 0; i < LS_GROUPS; i++)
      state.attached[i] = state.attached[i] || file.handles[i] != 0 ||
                          std::any_of(file.single[i].begin(), file.single[i].end(),
                                      [](const auto& one) { return one.second != 0; });
  for (size_t i = 0; i < LS_GROUPS; i++) state.hits[i] -= std::min(own_hits_[i], state.hits[i]);
  return state;
}

std::string why_no_functions(const PythonFile& file) {
  bool has =
      std::any_of(file.probes.sites.begin(), file.probes.sites.end(),
                  [](const ProbeSite& site) { return site.spec.kind == LS_PROBE_FUNCTION_ENTRY; });
  if (file.minor >= 11 && file.minor <= 14)
    return fmt::format("the function probe of CPython {} {}; it does in 3.8 to 3.10 and in 3.15",
                       file.version,
                       file.minor == 11 ? "does not fire for ordinary calls" : "does not exist");
  if (!has) return fmt::format("this CPython {} was built without probes", file.version);
  if (!file.trusted) return "the interpreter's file is not root's alone";
  return "";
}

}  // namespace loopsight
