#include "daemon/web/login_order.h"

#include <algorithm>
#include <utility>

namespace loopsight {
namespace {

constexpr uint64_t kOffenderTurn = 4;
constexpr uint64_t kLongestWaitNs = 3'000'000'000;

}  // namespace

bool LoginOrder::push(const std::string& address, const std::string& user, Check check) {
  if (size_ >= capacity_) return false;
  auto [lane, is_new] = lanes_.try_emplace(address);
  if (is_new) turn_.push_back(address);
  auto [checks, is_new_user] = lane->second.users.try_emplace(user);
  if (is_new_user) lane->second.turn.push_back(user);
  checks->second.push_back(std::move(check));
  lane->second.size++;
  size_++;
  return true;
}

// The first in turn that is due.
std::deque<std::string>::iterator LoginOrder::choose(uint64_t now_ns, bool offender) {
  return std::find_if(turn_.begin(), turn_.end(), [&](const std::string& address) {
    return (failed_.excess_ns(address, now_ns) > 0) == offender &&
           failed_.next_ns(address) <= now_ns;
  });
}

LoginOrder::Check LoginOrder::take_from(const std::string& address) {
  auto lane = lanes_.find(address);
  std::string user = std::move(lane->second.turn.front());
  lane->second.turn.pop_front();
  auto checks = lane->second.users.find(user);
  Check check = std::move(checks->second.front());
  checks->second.pop_front();
  if (checks->second.empty())
    lane->second.users.erase(checks);
  else
    lane->second.turn.push_back(std::move(user));
  size_--;
  if (--lane->second.size == 0)
    lanes_.erase(lane);
  else
    turn_.push_back(lane->first);
  return check;
}

std::optional<LoginOrder::Check> LoginOrder::take(uint64_t now_ns) {
  bool offenders_first = (turns_ + 1) % kOffenderTurn == 0;
  auto address = choose(now_ns, offenders_first);
  if (address == turn_.end()) address = choose(now_ns, !offenders_first);
  if (address == turn_.end()) return std::nullopt;
  turns_++;
  std::string name = std::move(*address);
  turn_.erase(address);
  return take_from(name);
}

std::optional<uint64_t> LoginOrder::due_ns() const {
  std::optional<uint64_t> due;
  for (const std::string& address : turn_)
    due = std::min(due.value_or(UINT64_MAX), failed_.next_ns(address));
  return due;
}

uint64_t LoginOrder::failed(const std::string& address, uint64_t now_ns) {
  failed_.add(address, now_ns);
  uint64_t excess_ns = failed_.excess_ns(address, now_ns);
  if (excess_ns == 0) return 0;
  auto lane = lanes_.find(address);
  size_t waiting = lane == lanes_.end() ? 0 : lane->second.size;
  failed_.set_next(
      address, now_ns + std::min(kFailedLoginNs, kLongestWaitNs / std::max<size_t>(1, waiting)));
  return excess_ns;
}

}  // namespace loopsight
