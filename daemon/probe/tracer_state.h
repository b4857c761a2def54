// What a Tracer holds; shared by the files that implement it.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <cstddef>
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

constexpr size_t kTableBytes = sizeof(ls_loop) * LS_MAX_LOOPS;
constexpr size_t kRunsBytes = sizeof(ls_run) * LS_MAX_LOOPS;

struct Tracer::State {
  loopsight_bpf* skeleton = nullptr;
  ring_buffer* ring = nullptr;
  ls_loop* table = nullptr;
  ls_run* runs = nullptr;
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

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    sites.reset();
    for (bpf_link* link : wakers) bpf_link__destroy(link);
    ring_buffer__free(ring);
    if (table) munmap(table, kTableBytes);
    if (runs) munmap(runs, kRunsBytes);
    for (const auto& [row, link] : samplers) bpf_link__destroy(link);
    for (bpf_link* link : links) bpf_link__destroy(link);
    loopsight_bpf__destroy(skeleton);
  }

  // Notes in `probes` how it went. Errors: a probe that cannot be done without.
  Result<void> attach(bpf_program* program, const AttachPoint& point);
  std::vector<ProgramCost> program_sums() const;
  // Null where the row has another owner by now.
  ls_loop* row_of(uint32_t row, uint32_t generation) const;

  static int handle(void* context, void* data, size_t size) {
    auto* state = static_cast<State*>(context);
    (*state->on_record)({static_cast<const std::byte*>(data), size});
    return 0;
  }
};

}  // namespace loopsight
