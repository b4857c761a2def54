// What a Tracer holds; shared by the files that implement it.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "daemon/base/fd.h"
#include "daemon/probe/attach_points.h"
#include "daemon/probe/site_links.h"
#include "daemon/probe/tracer.h"
#include "loopsight.skel.h"

namespace loopsight {

struct Tracer::State {
  loopsight_bpf* skeleton = nullptr;
  ring_buffer* ring = nullptr;
  TableSizes sizes;
  ls_loop* table = nullptr;
  ls_run* runs = nullptr;
  ls_share* shares = nullptr;
  std::map<uint32_t, std::array<uint32_t, LS_SHED_KINDS>> told_shed;  // by number of the share
  Fd statistics;  // the kernel's are on while it is open
  std::optional<CostSampler> sampler;
  std::vector<bpf_link*> wakers;  // attached while they are followed
  std::unique_ptr<SiteLinks> sites;
  uint64_t site_cost_ns = 0;  // 0: not measured yet
  ByFunction by_function;
  std::vector<ProbeStatus> probes;
  std::vector<bpf_link*> links;
  bool samples_by_tick = false;            // and by no timers of our own
  std::map<uint32_t, bpf_link*> samplers;  // by row
  const std::function<void(std::span<const std::byte>)>* on_record = nullptr;

  const std::function<bool()>* is_enough = nullptr;
  static constexpr int kEnough = -4096;  // no errno

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    sites.reset();
    for (bpf_link* link : wakers) bpf_link__destroy(link);
    ring_buffer__free(ring);
    if (table) munmap(table, sizes.loops * sizeof(ls_loop));
    if (runs) munmap(runs, sizes.loops * sizeof(ls_run));
    if (shares) munmap(shares, LS_SHARES * sizeof(ls_share));
    for (const auto& [row, link] : samplers) bpf_link__destroy(link);
    for (bpf_link* link : links) bpf_link__destroy(link);
    loopsight_bpf__destroy(skeleton);
  }

  // Makes the tables as large as that, before they are loaded.
  void configure_tables(bool charge_records);
  Result<void> map_tables();
  void give_back(uint32_t owners, ls_held what);
  uint32_t last_row() const;  // no later one was ever given
  // Notes in `probes` how it went. Errors: a probe that cannot be done without.
  Result<void> attach(bpf_program* program, const AttachPoint& point);
  std::vector<ProgramCost> program_sums() const;
  // Null where the row has another owner by now.
  ls_loop* row_of(uint32_t row, uint32_t generation) const;

  static int handle(void* context, void* data, size_t size) {
    auto* state = static_cast<State*>(context);
    (*state->on_record)({static_cast<const std::byte*>(data), size});
    return state->is_enough && *state->is_enough && (*state->is_enough)() ? kEnough : 0;
  }
};

}  // namespace loopsight
