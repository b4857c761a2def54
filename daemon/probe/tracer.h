// The kernel side as seen from user space: opens, configures, loads and attaches the BPF programs,
// hands over their records and their loop table. The only place that knows libbpf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bpf/wire.h"
#include "daemon/base/result.h"

namespace loopsight {

struct TracerOptions {
  uint64_t threshold_ns = 50'000'000;
  bool listed_only = false;  // watch only the processes given to set_process, and their children
  bool allow_fentry = true;
  uint32_t ring_bytes = 1 << 20;  // a power of two of at least a page
  bool measure_cost = true;       // turn the kernel's per-program statistics on while we run
};

struct ProbeStatus {
  std::string name;
  bool attached = false;
  std::string why_not;  // "" where attached
};

struct ProgramCost {
  std::string name;
  uint64_t runs = 0;
  uint64_t run_time_ns = 0;  // 0 unless the kernel's statistics are on
};

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

  // Waits up to `timeout_ms` for records and calls `on_record` with the bytes of each.
  Result<void> poll(int timeout_ms,
                    const std::function<void(std::span<const std::byte>)>& on_record);
  int poll_fd() const;  // readable while records wait

  // Says what a process is; it will be asked again after its next exec.
  Result<void> set_process(uint32_t tgid, ls_process_state state);
  void forget_process(uint32_t tgid);
  // Says how to read the frames of a process.
  void set_python(uint32_t tgid, const ls_python& python);
  // Looks at a loop thread's frames 99 times for each second that it spends on a CPU.
  Result<void> sample_thread(uint32_t row, uint32_t tid);
  // Says whether what polls in a row is a loop, and whether native code makes its poll calls. False
  // where the row has another owner by now.
  bool set_verdict(uint32_t row, uint32_t generation, bool is_loop, bool is_native);
  // Says by which code object the _run_once of an asyncio loop polls.
  void set_own_call(uint32_t row, uint32_t generation, uint64_t code);
  // Has the kernel send the poller record of a row again, at its next poll call.
  void ask_again(uint32_t row, uint32_t generation);
  // Gives a row back that the kernel has released.
  void free_row(uint32_t row);

  // A consistent copy of a row; nothing where nobody owns it.
  std::optional<ls_loop> read_row(uint32_t row) const;
  std::vector<uint32_t> used_rows() const;
  // The frames at the beginning of the newest wait of a row's busy phase.
  std::optional<ls_stack> read_wait_stack(uint32_t row) const;

  std::vector<uint64_t> counters() const;  // LS_COUNTERS values since open()
  std::vector<ProbeStatus> probes() const;
  std::vector<ProgramCost> costs() const;

 private:
  struct State;
  explicit Tracer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace loopsight
