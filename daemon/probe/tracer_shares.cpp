// The part of the tracer that knows whom the kernel side's tables are charged to.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "daemon/probe/tracer_state.h"

namespace loopsight {
namespace {

constexpr uint32_t kNumberBits = 16;

}  // namespace

void Tracer::State::configure_tables(bool charge_records) {
  constexpr uint64_t kNsPerSecond = 1'000'000'000;
  constexpr uint32_t kOfALoop = 4;  // code objects whose names were sent
  auto* maps = &skeleton->maps;
  for (bpf_map* map : {maps->loops, maps->free_rows, maps->rows_by_fd, maps->instances,
                       maps->stacks, maps->runs, maps->functions})
    bpf_map__set_max_entries(map, sizes.loops);
  for (bpf_map* map : {maps->processes, maps->pythons})
    bpf_map__set_max_entries(map, sizes.processes);
  for (bpf_map* map : {maps->codes, maps->chains})
    bpf_map__set_max_entries(map, std::max(bpf_map__max_entries(map), kOfALoop * sizes.loops));
  bpf_map__set_max_entries(maps->records, sizes.ring_bytes);
  skeleton->rodata->most_rows = sizes.loops - 1;
  skeleton->rodata->most_processes = sizes.processes;
  skeleton->rodata->ring_bytes = sizes.ring_bytes;
  if (charge_records)  // one owner may send the whole buffer once a second
    skeleton->rodata->records_ns_per_kib =
        static_cast<uint32_t>(kNsPerSecond / (sizes.ring_bytes / 1024));
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
    seed = reinterpret_cast<uintptr_t>(this);  // NOLINT: any number that others do not know
  skeleton->rodata->share_seed = seed;
}

Result<void> Tracer::State::map_tables() {
  auto map = [](const bpf_map* one, size_t bytes) {
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(one), 0);
  };
  void* rows = map(skeleton->maps.loops, sizes.loops * sizeof(ls_loop));
  if (rows != MAP_FAILED) table = static_cast<ls_loop*>(rows);
  void* ways = map(skeleton->maps.runs, sizes.loops * sizeof(ls_run));
  if (ways != MAP_FAILED) runs = static_cast<ls_run*>(ways);
  void* charged = map(skeleton->maps.shares, LS_SHARES * sizeof(ls_share));
  if (charged != MAP_FAILED) shares = static_cast<ls_share*>(charged);
  if (!table || !runs || !shares)
    return failure(fmt::format("cannot map the loop table: {}", std::strerror(errno)));
  // The first rows on top, so that those in use stay together.
  for (uint32_t row = sizes.loops - 1; row > 0; row--)
    bpf_map_update_elem(bpf_map__fd(skeleton->maps.free_rows), nullptr, &row, BPF_ANY);
  return {};
}

uint32_t Tracer::State::last_row() const {
  return std::min(std::atomic_ref<__u32>(runs[0].last_row).load(), sizes.loops - 1);
}

void Tracer::State::give_back(uint32_t owners, ls_held what) {
  auto take_off = [&](uint32_t number) {
    std::atomic_ref<__u32> held(shares[number % LS_SHARES].held[what]);
    if (held.load() > 0) held.fetch_sub(1);
  };
  take_off(0);
  if (owners == 0) return;
  take_off(owners & ((1U << kNumberBits) - 1));
  take_off(owners >> kNumberBits);
}

Result<void> Tracer::set_process(uint32_t tgid, ls_process_state value, bool may_add) {
  int map = bpf_map__fd(state_->skeleton->maps.processes);
  std::array<uint32_t, 2> entry{};  // struct ls_process_entry
  for (int attempt = 0; attempt < 3; attempt++) {
    if (bpf_map_lookup_elem(map, &tgid, entry.data()) == 0) {
      entry[0] = value;
      if (bpf_map_update_elem(map, &tgid, entry.data(), BPF_EXIST) == 0) return {};
      continue;  // it has ended meanwhile
    }
    if (!may_add) return {};
    entry = {value, 0};
    if (bpf_map_update_elem(map, &tgid, entry.data(), BPF_NOEXIST) == 0) {
      std::atomic_ref<__u32>(state_->shares[0].held[LS_HELD_PROCESSES]).fetch_add(1);
      return {};
    }
    if (errno != EEXIST) break;
  }
  return failure(fmt::format("cannot watch process {}: the process table is full ({} entries)",
                             tgid, state_->sizes.processes));
}

void Tracer::forget_process(uint32_t tgid) {
  int map = bpf_map__fd(state_->skeleton->maps.processes);
  std::array<uint32_t, 2> entry{};
  bool was_there = bpf_map_lookup_elem(map, &tgid, entry.data()) == 0;
  if (bpf_map_delete_elem(map, &tgid) == 0 && was_there)
    state_->give_back(entry[1], LS_HELD_PROCESSES);
  bpf_map_delete_elem(bpf_map__fd(state_->skeleton->maps.pythons), &tgid);
}

size_t Tracer::listed_count() const { return state_->shares[0].held[LS_HELD_PROCESSES]; }

TableSizes Tracer::sizes() const { return state_->sizes; }

void Tracer::forget_code(uint32_t tgid, uint64_t code, uint32_t identity) {
  struct {  // struct ls_code_key
    uint64_t code;
    uint32_t tgid;
    uint32_t identity;
  } key{code, tgid, identity};
  bpf_map_delete_elem(bpf_map__fd(state_->skeleton->maps.codes), &key);
}

std::vector<Tracer::Shed> Tracer::take_shed() {
  std::vector<Shed> found;
  for (uint32_t number = 1; number < LS_SHARES; number++) {
    const ls_share& share = state_->shares[number];
    for (uint32_t what = 0; what < LS_SHED_KINDS; what++) {
      uint32_t all = std::atomic_ref(const_cast<__u32&>(share.shed[what])).load();
      if (all == 0) continue;
      uint32_t& told = state_->told_shed[number][what];
      if (all == told) continue;
      found.push_back({.what = static_cast<ls_shed>(what),
                       .user = share.user,
                       .tgid = share.tgid,
                       .times = all - told});
      told = all;
    }
  }
  return found;
}

}  // namespace loopsight
