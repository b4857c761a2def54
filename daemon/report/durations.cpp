#include "daemon/report/durations.h"

#include <algorithm>
#include <cmath>

namespace loopsight {
namespace {

constexpr size_t kMaxExact = 2000;
constexpr uint64_t kMaxSum = uint64_t{1} << 62;  // 146 years; lines may say anything
const double kStep = std::log(1.02);

}  // namespace

void Durations::add_to_bucket(uint64_t ns) {
  buckets_[static_cast<int>(std::log(static_cast<double>(std::max<uint64_t>(ns, 1))) / kStep)]++;
}

void Durations::add(uint64_t ns) {
  count_++;
  sum_ns_ += std::min(ns, kMaxSum - std::min(kMaxSum, sum_ns_));
  longest_ns_ = std::max(longest_ns_, ns);
  if (is_exact() && exact_.size() < kMaxExact) {
    exact_.push_back(ns);
    return;
  }
  for (uint64_t one : exact_) add_to_bucket(one);
  exact_ = {};
  add_to_bucket(ns);
}

uint64_t Durations::quantile_ns(double share) const {
  if (count_ == 0) return 0;
  auto rank = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
  rank = std::clamp<uint64_t>(rank, 1, count_);
  if (is_exact()) {
    std::vector<uint64_t> sorted = exact_;
    auto wanted = sorted.begin() + static_cast<std::ptrdiff_t>(rank - 1);
    std::nth_element(sorted.begin(), wanted, sorted.end());
    return *wanted;
  }
  for (const auto& [bucket, count] : buckets_) {
    if (rank <= count)
      return std::min(longest_ns_, static_cast<uint64_t>(std::exp((bucket + 0.5) * kStep)));
    rank -= count;
  }
  return longest_ns_;
}

}  // namespace loopsight
