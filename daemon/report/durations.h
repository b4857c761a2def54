// A distribution of durations in bounded memory: exact while they are few, then in steps of 2 %.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace loopsight {

class Durations {
 public:
  void add(uint64_t ns);

  uint64_t count() const { return count_; }
  uint64_t sum_ns() const { return sum_ns_; }
  uint64_t longest_ns() const { return longest_ns_; }
  // The duration that `share` of them do not exceed (0.5: the median), by the nearest rank. 0 where
  // there are none.
  uint64_t quantile_ns(double share) const;
  bool is_exact() const { return buckets_.empty(); }

 private:
  void add_to_bucket(uint64_t ns);

  uint64_t count_ = 0;
  uint64_t sum_ns_ = 0;
  uint64_t longest_ns_ = 0;
  std::vector<uint64_t> exact_;
  std::map<int, uint64_t> buckets_;
};

}  // namespace loopsight
