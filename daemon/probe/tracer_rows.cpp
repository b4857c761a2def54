// The part of the tracer that reads and writes the loop table.
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>

#include "daemon/probe/tracer_state.h"

namespace loopsight {

ls_loop* Tracer::State::row_of(uint32_t row, uint32_t generation) const {
  if (row == 0 || row >= sizes.loops) return nullptr;
  ls_loop* loop = &table[row];
  return std::atomic_ref<__u32>(loop->generation).load() == generation ? loop : nullptr;
}

Result<void> Tracer::sample_thread(uint32_t row, uint32_t tid) {
  if (state_->samples_by_tick || state_->samplers.contains(row)) return {};
  perf_event_attr attributes{};
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof(attributes);
  attributes.config = PERF_COUNT_SW_CPU_CLOCK;
  attributes.freq = 1;
  attributes.sample_freq = LS_SAMPLE_HZ;
  auto fd = static_cast<int>(
      syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC));
  if (fd < 0) return failure(fmt::format("cannot sample thread {}: {}", tid, std::strerror(errno)));
  bpf_link* link = bpf_program__attach_perf_event(state_->skeleton->progs.cpu_sample, fd);
  if (!link) {
    close(fd);
    return failure(fmt::format("cannot sample thread {}: {}", tid, std::strerror(errno)));
  }
  state_->samplers[row] = link;  // owns the descriptor
  return {};
}

bool Tracer::set_verdict(uint32_t row, uint32_t generation, bool is_loop, bool is_native,
                         bool by_object) {
  ls_loop* loop = state_->row_of(row, generation);
  if (!loop) return false;
  std::atomic_ref<__u32> flags(loop->flags);
  if (is_native) flags.fetch_or(LS_LOOP_NATIVE);
  if (by_object) flags.fetch_or(LS_LOOP_BY_OBJECT);
  flags.fetch_or(is_loop ? LS_LOOP_ACCEPTED : LS_LOOP_REJECTED);
  return true;
}

void Tracer::set_threshold(uint32_t row, uint32_t generation, uint64_t threshold_ns) {
  ls_loop* loop = state_->row_of(row, generation);
  if (!loop) return;
  std::atomic_ref<__u64>(loop->threshold_ns).store(threshold_ns);
}

void Tracer::sample_busy(uint32_t row, uint32_t generation, bool on) {
  ls_loop* loop = state_->row_of(row, generation);
  if (!loop) return;
  std::atomic_ref<__u32> flags(loop->flags);
  if (on)
    flags.fetch_or(LS_LOOP_CROWDED);
  else
    flags.fetch_and(~static_cast<__u32>(LS_LOOP_CROWDED));
}

void Tracer::unwatch(uint32_t row, uint32_t generation) {
  ls_loop* loop = state_->row_of(row, generation);
  if (!loop) return;
  std::atomic_ref<__u32>(loop->flags).fetch_or(LS_LOOP_UNWATCHED | LS_LOOP_REJECTED);
  stop_sampling(row);
}

void Tracer::stop_sampling(uint32_t row) {
  auto sampler = state_->samplers.find(row);
  if (sampler == state_->samplers.end()) return;
  bpf_link__destroy(sampler->second);
  state_->samplers.erase(sampler);
}

void Tracer::set_run(uint32_t row, uint32_t generation, const ls_run& run) {
  if (!state_->row_of(row, generation)) return;
  ls_run& live = state_->runs[row];
  live.thread_frame = run.thread_frame;
  live.cframe_frame = run.cframe_frame;
  live.frame_instruction = run.frame_instruction;
  std::atomic_ref<__u64>(live.code).store(run.code);
  std::atomic_ref<__u64>(live.idle_code).store(run.idle_code);
  std::atomic_ref<__u32>(live.flags).store(run.flags);  // last: it says that the rest is there
}

void Tracer::disown_phase(uint32_t row, uint32_t generation, uint64_t phase_start_ns) {
  if (!state_->row_of(row, generation)) return;
  std::atomic_ref<__u64>(state_->runs[row].left_ns).store(phase_start_ns);
}

void Tracer::judge_chain(uint32_t tgid, uint64_t chain, ls_chain_verdict verdict, uint64_t now_ns) {
  if (chain == 0) return;
  ls_chain_key key{.chain = chain, .tgid = tgid, .pad = 0};
  ls_chain_entry entry{.verdict = verdict, .pad = 0, .time_ns = now_ns};
  bpf_map_update_elem(bpf_map__fd(state_->skeleton->maps.chains), &key, &entry, BPF_ANY);
}

void Tracer::ask_again(uint32_t row, uint32_t generation) {
  ls_loop* loop = state_->row_of(row, generation);
  if (!loop) return;
  std::atomic_ref<__u32>(loop->flags).fetch_and(~static_cast<__u32>(LS_LOOP_ASKED));
}

void Tracer::free_row(uint32_t row) {
  if (row == 0 || row >= state_->sizes.loops) return;
  stop_sampling(row);
  ls_loop& loop = state_->table[row];
  uint32_t generation = loop.generation;
  uint32_t owners = state_->runs[row].owners;
  std::memset(&loop, 0, sizeof(loop));
  std::memset(&state_->runs[row], 0, sizeof(ls_run));
  loop.generation = generation;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bpf_map_update_elem(bpf_map__fd(state_->skeleton->maps.free_rows), nullptr, &row, BPF_ANY);
  state_->give_back(owners, LS_HELD_ROWS);
}

std::optional<ls_loop> Tracer::read_row(uint32_t row) const {
  if (row == 0 || row >= state_->sizes.loops) return std::nullopt;
  ls_loop& live = state_->table[row];
  ls_loop copy;
  // A writer holds a row for well under a microsecond, so a few tries suffice.
  for (int attempt = 0; attempt < 1000; attempt++) {
    uint32_t before = std::atomic_ref<__u32>(live.sequence).load(std::memory_order_acquire);
    std::memcpy(&copy, &live, sizeof(copy));
    std::atomic_thread_fence(std::memory_order_acquire);
    uint32_t after = std::atomic_ref<__u32>(live.sequence).load(std::memory_order_relaxed);
    if (before == after && before % 2 == 0) break;
  }
  if (!(copy.flags & LS_LOOP_USED)) return std::nullopt;
  return copy;
}

std::vector<uint32_t> Tracer::used_rows() const {
  std::vector<uint32_t> rows;
  for (uint32_t row = 1; row <= state_->last_row(); row++)
    if (std::atomic_ref<__u32>(state_->table[row].flags).load() & LS_LOOP_USED) rows.push_back(row);
  return rows;
}

std::optional<ls_stack> Tracer::read_wait_stack(uint32_t row) const {
  auto kept = std::make_unique<ls_row_stacks>();
  if (row == 0 || row >= state_->sizes.loops ||
      bpf_map_lookup_elem(bpf_map__fd(state_->skeleton->maps.stacks), &row, kept.get()) != 0)
    return std::nullopt;
  return kept->stack[~kept->longest & 1];
}

}  // namespace loopsight
