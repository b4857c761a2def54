// The kernel side as seen from user space: opens, configures, loads and attaches the BPF programs,
// hands over their records and their loop table. The only place that knows libbpf.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/wire.h"
#include "daemon/base/probe_site.h"
#include "daemon/base/result.h"
#include "daemon/probe/cost_sampler.h"
#include "daemon/probe/table_sizes.h"

namespace loopsight {

struct TracerOptions {
  uint64_t threshold_ns = 50'000'000;
  bool listed_only = false;  // watch only the processes given to set_process, and their children
  bool allow_fentry = true;
  bool allow_tick = true;     // sample loops by the scheduler's tick, not by timers of our own
  bool exact_delays = false;  // see each descriptor of a loop become ready, where that is possible
  TableSizes tables;
  bool charge_records = false;   // nobody may send more than his share, whatever room there is
  bool count_functions = false;  // load the program of CPython's function probe
  bool measure_cost = true;      // turn the kernel's per-program statistics on now and then
};

struct ProbeStatus {
  std::string name;
  bool attached = false;
  std::string why_not;  // "" where attached
};

// Errors: no rights, no type information of the kernel, another PID namespace.
Result<void> can_trace();

class Tracer {
 public:
  // Loads all programs; nothing is attached yet. Errors: no rights, no BTF, the kernel refuses a
  // program that is needed.
  static Result<Tracer> open(const TracerOptions& options);
  Tracer(Tracer&&) noexcept;
  Tracer& operator=(Tracer&&) noexcept;
  ~Tracer();  // detaches everything

  // Attaches what open() loaded. An optional probe that fails is noted in probes().
  Result<void> attach();

  // Waits up to `timeout_ms` for records and calls `on_record` with the bytes of each, until there
  // are no more or `is_enough` says so after one; the rest is for the next call.
  Result<void> poll(int timeout_ms,
                    const std::function<void(std::span<const std::byte>)>& on_record,
                    const std::function<bool()>& is_enough = {});
  int poll_fd() const;  // readable while records wait

  // Says what a process is; it will be asked again after its next exec.
  // `may_add`: though the kernel side does not know it yet.
  Result<void> set_process(uint32_t tgid, ls_process_state state, bool may_add = true);
  void forget_process(uint32_t tgid);
  // Those that the kernel side keeps something of.
  std::set<uint32_t> listed_processes() const;
  size_t listed_count() const;  // processes in its table
  TableSizes sizes() const;
  // Has the names of a code object sent again with the next stack that it is in.
  void forget_code(uint32_t tgid, uint64_t code, uint32_t identity);
  // What owners did not get since the last call, since they had their share.
  struct Shed {
    ls_shed what = LS_SHED_ROWS;
    uint32_t user = 0;  // of the initial user namespace
    uint32_t tgid = 0;  // one of its processes
    uint64_t times = 0;
  };
  std::vector<Shed> take_shed();
  // Says how to read the frames of a process.
  void set_python(uint32_t tgid, const ls_python& python);
  // Looks at a loop thread's frames some hundred times for each second that it spends on a CPU.
  Result<void> sample_thread(uint32_t row, uint32_t tid);
  // Says whether what polls in a row is a loop, and whether native code makes its poll calls. False
  // where the row has another owner by now.
  // `by_object`: a verdict of "no loop" holds for this poll object and the frames at it.
  bool set_verdict(uint32_t row, uint32_t generation, bool is_loop, bool is_native,
                   bool by_object = false);
  // Says how it is told whether the loop of a row runs; what the kernel side writes is ignored.
  void set_run(uint32_t row, uint32_t generation, const ls_run& run);
  // Says that the loop of a row was left in the busy phase that began at `phase_start_ns`, before
  // set_run() could say how that is told: the phase is forgotten.
  void disown_phase(uint32_t row, uint32_t generation, uint64_t phase_start_ns);
  // Says of all poll calls of a process that are made by the same Python frames whether they are a
  // loop's.
  void judge_chain(uint32_t tgid, uint64_t chain, ls_chain_verdict verdict, uint64_t now_ns);
  // A busy phase of the row's loop is a stall from this length on.
  void set_threshold(uint32_t row, uint32_t generation, uint64_t threshold_ns);
  // Whether the row's loop is looked at now and then in however short busy phases.
  void sample_busy(uint32_t row, uint32_t generation, bool on);
  // Stops watching a loop. It is met anew when its process is watched again.
  void unwatch(uint32_t row, uint32_t generation);
  // Has the kernel send the poller record of a row again, at its next poll call.
  void ask_again(uint32_t row, uint32_t generation);
  // Gives a row back that the kernel has released.
  void free_row(uint32_t row);

  // A consistent copy of a row; nothing where nobody owns it.
  std::optional<ls_loop> read_row(uint32_t row) const;
  std::vector<uint32_t> used_rows() const;
  // The frames at the beginning of the newest wait of a row's busy phase.
  std::optional<ls_stack> read_wait_stack(uint32_t row) const;

  // Gives rows to threads of a process whose loops do not poll now, by pthread_self(); those that
  // have met a poll call meanwhile get none.
  std::vector<ls_adopted> adopt(uint32_t tgid, const std::map<uint64_t, ls_adoption>& threads);

  // Has the kernel tell who wakes loops that wait for locks; costs every context switch while it is
  // on. Errors: the kernel refuses.
  Result<void> follow_wakers(bool on);
  bool follows_wakers() const;
  // CPython's own probes. Attaches the program of a group to the sites of the file open as `file`,
  // whoever runs it; returns a handle. Errors: the kernel refuses a site; then none is attached.
  // `tgid`: of that process alone, 0 of all.
  Result<uint32_t> attach_sites(ls_probe_group group, int file, std::span<const ProbeSite> sites,
                                uint32_t tgid = 0);
  void detach_sites(std::span<const uint32_t> handles);
  // The inode that is really behind the mapping of a process that begins at `start`; nothing where
  // the kernel does not tell.
  std::optional<ls_real_file> real_file(uint32_t tgid, uint64_t start);
  // An audit event that means a call which may block, and which of its arguments to keep
  // (LS_NO_ARGUMENT: none).
  void set_audit_event(std::string_view name, uint32_t argument);
  // How often the sites of each group were hit.
  std::array<uint64_t, LS_GROUPS> site_hits() const;
  // The same by process, since each was first seen.
  std::map<uint32_t, std::array<uint64_t, LS_GROUPS>> process_hits() const;
  // What a hit costs the thread that makes it, in nanoseconds: measured once on a site of our own.
  uint64_t site_cost_ns();

  // Tells the kernel side how far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC: deadlines of waits
  // come in both. To be called now and then.
  void tell_clocks();

  uint64_t counter(ls_counter counter) const;
  std::vector<uint64_t> counters() const;  // LS_COUNTERS values since open()
  std::vector<ProbeStatus> probes() const;
  // By samples (CostSampler): sample_costs() is to be called every second or so.
  std::vector<ProgramCost> costs() const;
  void sample_costs(uint64_t now_ns);

 private:
  struct State;
  explicit Tracer(std::unique_ptr<State> state);
  void stop_sampling(uint32_t row);
  std::unique_ptr<State> state_;
};

}  // namespace loopsight
