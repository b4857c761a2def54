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
    if (untrusted_.size() >= kMaxKnown) untrusted_.clear();
    if (untrusted_.insert(found->identity).second)
      spdlog::info(
          "the probes of {} are not used: the file belongs to user {} or others may write to it; "
          "collections and imports are inferred",
          clean_text(found->mapping.path, 200), found->file.owner);
    return;
  }
  if (keys_.size() >= kMaxKnown) keys_.clear();
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
    if (entry->second.processes.empty()) entry->second.unused_since_ns = now_ns;
  }
  by_process_.erase(known);
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

void UsdtPolicy::update(File& file, uint64_t now_ns) {
  for (uint32_t i = 0; i < LS_GROUPS; i++) {
    auto group = static_cast<ls_probe_group>(i);
    bool wanted = is_wanted(file, group, now_ns);
    if (!wanted && file.handles[i] != 0) {
      tracer_.detach_sites(std::span(&file.handles[i], 1));
      file.handles[i] = 0;
    }
    if (!wanted || file.handles[i] != 0 || file.failed[i]) continue;
    std::vector<ProbeSite> sites;
    for (const ProbeSite& site : file.sites)
      if (group_of(site.spec.kind) == group) sites.push_back(site);
    if (sites.empty()) continue;
    if (site_cost_ns_ == 0) {
      site_cost_ns_ = tracer_.site_cost_ns();
      own_hits_ = tracer_.site_hits();
      costed_hits_ = own_hits_;
      spdlog::debug("a hit of a probe costs {} ns", site_cost_ns_);
    }
    auto handle = tracer_.attach_sites(group, file.fd.get(), sites);
    if (handle) {
      file.handles[i] = *handle;
      continue;
    }
    file.failed[i] = true;
    spdlog::warn("{}: probe {}: {}", file.name, kProbeGroupNames[i], handle.error().message);
  }
}

void UsdtPolicy::update_all(uint64_t now_ns) {
  for (auto& [key, file] : files_) update(file, now_ns);
}

void UsdtPolicy::let_go(File& file) {
  std::vector<uint32_t> handles;
  for (uint32_t& handle : file.handles)
    if (handle != 0) handles.push_back(std::exchange(handle, 0));
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
  for (const auto& excess : budget_.on_hits(tracer_.audit_hits(), site_cost_ns_, cpu_time, now_ns))
    on_excess(excess, now_ns);
  add_costs();
  for (const auto& decision : governor_.on_costs(cost_ns_, now_ns)) {
    const char* name = kProbeGroupNames[decision.group];
    if (decision.attach) {
      spdlog::info("probe {} is attached again", name);
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
}

UsdtPolicy::State UsdtPolicy::state() const {
  State state{.hits = tracer_.site_hits(),
              .cost_ns = cost_ns_,
              .shed = shed_,
              .audit_refused = audit_refused_,
              .untrusted_files = untrusted_.size(),
              .unreadable_sites = unreadable_sites_};
  for (const auto& [key, file] : files_)
    for (size_t i = 0; i < LS_GROUPS; i++)
      state.attached[i] = state.attached[i] || file.handles[i] != 0;
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
