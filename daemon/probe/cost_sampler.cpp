#include "daemon/probe/cost_sampler.h"

#include <algorithm>

namespace loopsight {

CostSampler::CostSampler(const std::vector<ProgramCost>& sums, uint64_t now_ns)
    : due_ns_(now_ns + kWindowNs), opened_ns_(now_ns), covered_ns_(now_ns) {
  for (const ProgramCost& sum : sums) at_opening_[sum.name] = {sum.runs, sum.run_time_ns};
}

CostSampler::Sums CostSampler::in_window(const ProgramCost& sum) const {
  auto found = at_opening_.find(sum.name);
  Sums start = found == at_opening_.end() ? Sums{} : found->second;
  return {sum.runs - std::min(start.runs, sum.runs),
          sum.run_time_ns - std::min(start.run_time_ns, sum.run_time_ns)};
}

void CostSampler::turn(const std::vector<ProgramCost>& sums, uint64_t now_ns) {
  if (is_open_) {
    uint64_t length_ns = std::max<uint64_t>(now_ns - opened_ns_, 1);
    double stands_for = static_cast<double>(now_ns - covered_ns_) / static_cast<double>(length_ns);
    for (const ProgramCost& sum : sums) {
      Sums passed = in_window(sum);
      Sums& estimate = estimates_[sum.name];
      estimate.runs += static_cast<uint64_t>(static_cast<double>(passed.runs) * stands_for);
      estimate.run_time_ns +=
          static_cast<uint64_t>(static_cast<double>(passed.run_time_ns) * stands_for);
    }
    covered_ns_ = now_ns;
    due_ns_ = now_ns + kPeriodNs - kWindowNs;
  } else {
    for (const ProgramCost& sum : sums) at_opening_[sum.name] = {sum.runs, sum.run_time_ns};
    opened_ns_ = now_ns;
    due_ns_ = now_ns + kWindowNs;
  }
  is_open_ = !is_open_;
}

std::vector<ProgramCost> CostSampler::costs(const std::vector<ProgramCost>& sums) const {
  std::map<std::string, Sums> all = estimates_;
  if (is_open_) {
    for (const ProgramCost& sum : sums) {
      Sums passed = in_window(sum);
      all[sum.name].runs += passed.runs;
      all[sum.name].run_time_ns += passed.run_time_ns;
    }
  }
  std::vector<ProgramCost> costs;
  costs.reserve(all.size());
  for (const auto& [name, cost] : all)
    costs.push_back({.name = name, .runs = cost.runs, .run_time_ns = cost.run_time_ns});
  return costs;
}

}  // namespace loopsight
