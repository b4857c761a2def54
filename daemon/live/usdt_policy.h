// Which of CPython's own probes are attached where: one attachment for each interpreter file, by
// the inode that is really behind it, as long as somebody runs it; under a ceiling of cost. Where
// a process makes them exceed it, they are taken off that process alone: the others that run its
// file are then attached to one by one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/fd.h"
#include "daemon/base/owner.h"
#include "daemon/config/configuration.h"
#include "daemon/live/audit_budget.h"
#include "daemon/live/probe_governor.h"
#include "daemon/probe/tracer.h"
#include "daemon/python/process_reader.h"

namespace loopsight {

class UsdtPolicy {
 public:
  // References must outlive the object. `functions`: calls are counted; that is decided once.
  UsdtPolicy(Tracer& tracer, ProcessReader& reader, const ProbeOptions& config, bool functions);

  void charge_by(std::function<Owner(uint32_t tgid)> owner_of) { owner_of_ = std::move(owner_of); }
  // A CPython process was met; `audit`: its workload is one whose calls are to be told.
  void on_process(uint32_t tgid, bool audit, uint64_t now_ns);
  void on_exit(uint32_t tgid, uint64_t now_ns);
  // Looks at the costs and lets go of files that nobody runs any more, at most once a second.
  void tick(uint64_t now_ns);
  void configure(const ProbeOptions& config, uint64_t now_ns);

  struct State {
    std::array<bool, LS_GROUPS> attached{};  // to some file
    std::array<uint64_t, LS_GROUPS> hits{};
    std::array<uint64_t, LS_GROUPS> cost_ns{};  // of the programs and of the traps
    std::array<uint64_t, LS_GROUPS> shed{};     // by the ceiling
    uint64_t audit_refused = 0;                 // by a process's budget
    uint64_t untrusted_files = 0;               // not root's alone: never attached to
    uint64_t unreadable_sites = 0;
    std::array<uint64_t, LS_GROUPS> shed_processes{};  // that a group was taken off
  };
  State state() const;

 private:
  using Key = std::pair<uint64_t, uint64_t>;  // device, inode
  struct File {
    std::string name;
    Fd fd;
    std::vector<ProbeSite> sites;
    std::set<uint32_t> processes;
    std::set<uint32_t> audited;                 // processes whose workload asks for it
    std::array<uint32_t, LS_GROUPS> handles{};  // 0: not attached
    std::array<std::map<uint32_t, uint32_t>, LS_GROUPS> single;  // handles by tgid, or 0
    std::array<bool, LS_GROUPS> failed{};  // the kernel refused: not tried again
    uint64_t unused_since_ns = 0;
    uint64_t audit_pause_ns = 0;  // the newest pause after an excess
    uint64_t audit_until_ns = 0;  // not attached until then
  };
  bool is_wanted(const File& file, ls_probe_group group, uint64_t now_ns) const;
  void update(File& file, uint64_t now_ns);
  void update_group(File& file, ls_probe_group group, bool wanted);
  void attach(File& file, ls_probe_group group, uint32_t tgid, uint32_t& handle);
  void restore_processes(uint64_t now_ns);
  bool shed_dearest(ls_probe_group group, uint64_t now_ns);
  std::map<uint32_t, uint64_t> costs_since_last_look(ls_probe_group group);
  void update_all(uint64_t now_ns);
  void let_go(File& file);
  void on_excess(const AuditBudget::Excess& excess, uint64_t now_ns);
  void add_costs();

  Tracer& tracer_;
  ProcessReader& reader_;
  ProbeOptions config_;
  bool functions_;
  ProbeGovernor governor_;
  AuditBudget budget_;
  std::map<Key, File> files_;
  std::map<PythonFiles::Identity, Key> keys_;
  std::set<PythonFiles::Identity> untrusted_;
  std::map<uint32_t, Key> by_process_;
  struct Excluded {
    uint64_t until_ns = 0;
    uint64_t pause_ns = 0;
  };
  std::array<std::map<uint32_t, Excluded>, LS_GROUPS> excluded_;  // by tgid
  std::map<uint32_t, std::array<uint64_t, LS_GROUPS>> looked_hits_;
  std::set<std::pair<Owner, uint32_t>> said_;
  std::function<Owner(uint32_t tgid)> owner_of_ = [](uint32_t) { return Owner{}; };
  std::array<uint64_t, LS_GROUPS> program_ns_{};  // what a run costs
  std::array<uint64_t, LS_GROUPS> shed_processes_{};
  uint64_t last_window_ns_ = 0;
  std::array<uint64_t, LS_GROUPS> shed_{};
  uint64_t audit_refused_ = 0;
  uint64_t unreadable_sites_ = 0;
  uint64_t next_look_ns_ = 0;
  uint64_t site_cost_ns_ = 0;                      // 0: nothing was attached yet
  std::array<uint64_t, LS_GROUPS> own_hits_{};     // of that measurement
  std::array<uint64_t, LS_GROUPS> costed_hits_{};  // that are in cost_ns_
  std::array<uint64_t, LS_GROUPS> cost_ns_{};
};

// Why the function probes of an interpreter tell nothing, "" where they do: they fire in CPython
// 3.8 to 3.10 and from 3.15 on.
std::string why_no_functions(const PythonFile& file);

}  // namespace loopsight
