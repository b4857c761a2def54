// A bounded table that nobody can use up for others: when it is full, the cgroup that has most of
// it, in it the user that has most, and of his lanes (processes, workloads) the largest loses what
// is oldest. Who has little keeps it, whatever others do.
//
// The entries themselves are their table's own; this knows whose they are, how heavy, and in which
// order they came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "daemon/base/owner.h"

namespace loopsight {

template <typename Key>
class FairShares {
 public:
  explicit FairShares(size_t most) : most_(most) {}
  FairShares(FairShares&&) = default;
  FairShares& operator=(FairShares&&) = default;
  FairShares(const FairShares&) = delete;  // entries lead to places in the lists
  FairShares& operator=(const FairShares&) = delete;

  // What the entries may weigh together. Gives those that have to go.
  std::vector<Key> set_most(size_t most) {
    most_ = most;
    return make_room();
  }

  // An entry is there, or weighs something else. Gives those that have to go, which are forgotten;
  // the new one is among them where its owner has most of all and nothing older.
  std::vector<Key> add(const Key& key, const Owner& owner, size_t weight = 1, uint64_t lane = 0) {
    remove(key);
    Group& group = groups_[owner.cgroup];
    owners_ += group.members.contains(owner.user) ? 0 : 1;
    Member& member = group.members[owner.user];
    Lane& place = member.lanes[lane];
    place.order.push_back(key);
    entries_.emplace(key, Entry{owner, lane, weight, ++stamp_, std::prev(place.order.end())});
    for (size_t* sum : {&weight_, &group.weight, &member.weight, &place.weight}) *sum += weight;
    return make_room();
  }

  void remove(const Key& key) {
    auto found = entries_.find(key);
    if (found == entries_.end()) return;
    const Entry entry = found->second;
    entries_.erase(found);
    auto group = groups_.find(entry.owner.cgroup);
    auto member = group->second.members.find(entry.owner.user);
    auto lane = member->second.lanes.find(entry.lane);
    for (size_t* sum :
         {&weight_, &group->second.weight, &member->second.weight, &lane->second.weight})
      *sum -= entry.weight;
    lane->second.order.erase(entry.place);
    if (!lane->second.order.empty()) return;
    member->second.lanes.erase(lane);
    if (!member->second.lanes.empty()) return;
    group->second.members.erase(member);
    owners_--;
    if (group->second.members.empty()) groups_.erase(group);
  }

  size_t most() const { return most_; }
  size_t weight() const { return weight_; }
  size_t size() const { return entries_.size(); }
  bool contains(const Key& key) const { return entries_.contains(key); }
  uint64_t dropped() const { return dropped_; }  // entries that had to go, so far
  // The owners that lost something for the first time since the last call.
  std::vector<Owner> take_offenders() { return std::exchange(offenders_, {}); }

  // Whose entry is to go where one more of `owner` is to find room: somebody's who would still have
  // more; nothing where `owner` itself has most.
  std::optional<Owner> who_yields_to(const Owner& owner) const {
    if (groups_.empty()) return std::nullopt;
    auto group = largest(groups_);
    auto member = largest(group->second.members);
    Owner most{group->first, member->first};
    auto own_group = groups_.find(owner.cgroup);
    if (own_group == groups_.end()) return most;
    if (own_group != group)
      return group->second.weight > own_group->second.weight + 1 ? std::optional(most)
                                                                 : std::nullopt;
    auto own = group->second.members.find(owner.user);
    size_t has = own == group->second.members.end() ? 0 : own->second.weight;
    return member->second.weight > has + 1 ? std::optional(most) : std::nullopt;
  }

  // The entries of an owner, the oldest first of each lane.
  std::vector<Key> entries_of(const Owner& owner) const {
    std::vector<Key> found;
    auto group = groups_.find(owner.cgroup);
    if (group == groups_.end()) return found;
    auto member = group->second.members.find(owner.user);
    if (member == group->second.members.end()) return found;
    for (const auto& [number, lane] : member->second.lanes)
      found.insert(found.end(), lane.order.begin(), lane.order.end());
    return found;
  }

 private:
  struct Lane {
    size_t weight = 0;
    std::list<Key> order;  // the oldest first
  };
  struct Member {
    size_t weight = 0;
    std::map<uint64_t, Lane> lanes;
  };
  struct Group {
    size_t weight = 0;
    std::map<uint32_t, Member> members;  // by user
  };
  struct Entry {
    Owner owner;
    uint64_t lane = 0;
    size_t weight = 0;
    uint64_t stamp = 0;  // the later, the larger
    typename std::list<Key>::iterator place;
  };

  template <typename Map>
  static auto largest(Map& map) {
    auto found = map.begin();
    for (auto one = map.begin(); one != map.end(); ++one)
      if (one->second.weight > found->second.weight) found = one;
    return found;
  }

  // The one with most entries; of several the one whose oldest is the oldest.
  auto fullest(std::map<uint64_t, Lane>& lanes) const {
    auto stamp_of = [&](auto lane) { return entries_.at(lane->second.order.front()).stamp; };
    auto found = lanes.begin();
    for (auto one = lanes.begin(); one != lanes.end(); ++one) {
      size_t has = one->second.order.size();
      size_t most = found->second.order.size();
      if (has > most || (has == most && stamp_of(one) < stamp_of(found))) found = one;
    }
    return found;
  }

  std::vector<Key> make_room() {
    constexpr size_t kPart = 64;
    constexpr size_t kMostTold = 1024;
    std::vector<Key> gone;
    if (weight_ <= most_) return gone;
    // Of many owners some entries at a time, so that they are looked through now and then only.
    bool many = owners_ > kPart;
    size_t aim = many ? most_ - most_ / kPart : most_;
    while (weight_ > aim && !entries_.empty()) {
      auto group = largest(groups_);
      auto member = largest(group->second.members);
      auto lane = fullest(member->second.lanes);
      Owner owner{group->first, member->first};
      if (told_.size() < kMostTold && told_.insert(owner).second) offenders_.push_back(owner);
      size_t enough = lane->second.weight - (many ? lane->second.weight / kPart : 0);
      for (bool is_last = false; !is_last && weight_ > aim;) {
        is_last = lane->second.order.size() == 1;
        gone.push_back(lane->second.order.front());
        dropped_++;
        remove(gone.back());
        if (!is_last && lane->second.weight <= enough) break;
      }
    }
    return gone;
  }

  size_t most_;
  size_t weight_ = 0;
  size_t owners_ = 0;  // that have something
  uint64_t stamp_ = 0;
  std::map<Key, Entry> entries_;
  std::map<uint64_t, Group> groups_;  // by cgroup
  uint64_t dropped_ = 0;
  std::set<Owner> told_;
  std::vector<Owner> offenders_;
};

}  // namespace loopsight
