// Work that waits for its turn: one item of each owner at a time, so that nobody waits for more
// than one item of each of the others, however much these have.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "daemon/base/owner.h"

namespace loopsight {

template <typename Item>
class FairQueue {
 public:
  explicit FairQueue(size_t most) : most_(most) {}

  // False where there is no room for more of this owner: nobody gets more than three times what is
  // left.
  bool push(const Owner& owner, Item item) {
    constexpr size_t kFactor = 3;
    auto found = owners_.find(owner);
    size_t has = found == owners_.end() ? 0 : found->second.size();
    if (has >= kFactor * (most_ - size_)) return false;
    owners_[owner].push_back(std::move(item));
    size_++;
    return true;
  }

  std::optional<Item> pop() {
    if (owners_.empty()) return std::nullopt;
    auto next = owners_.upper_bound(last_);
    if (next == owners_.end()) next = owners_.begin();
    last_ = next->first;
    std::optional<Item> item(std::move(next->second.front()));
    next->second.pop_front();
    if (next->second.empty()) owners_.erase(next);
    size_--;
    return item;
  }

  // Takes out the items that `is_wanted` is true of.
  template <typename Test>
  std::deque<Item> take(const Owner& owner, Test is_wanted) {
    std::deque<Item> taken;
    auto found = owners_.find(owner);
    if (found == owners_.end()) return taken;
    std::deque<Item> rest;
    for (Item& item : found->second) (is_wanted(item) ? taken : rest).push_back(std::move(item));
    size_ -= taken.size();
    if (rest.empty())
      owners_.erase(found);
    else
      found->second = std::move(rest);
    return taken;
  }

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

 private:
  size_t most_;
  size_t size_ = 0;
  std::map<Owner, std::deque<Item>> owners_;
  Owner last_;
};

}  // namespace loopsight
