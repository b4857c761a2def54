#include "daemon/web/failed_logins.h"

#include <algorithm>

namespace loopsight {
namespace {

constexpr uint64_t kFreeNs = kFailedLogins * kFailedLoginNs;
constexpr uint64_t kMostNs = kFreeNs + 30 * kFailedLoginNs;  // no debt lasts for ever

}  // namespace

void FailedLogins::make_room(uint64_t now_ns) {
  std::erase_if(accounts_, [&](const auto& entry) { return entry.second.forgiven_ns <= now_ns; });
  if (accounts_.size() < most_addresses_) return;
  accounts_.erase(
      std::min_element(accounts_.begin(), accounts_.end(), [](const auto& one, const auto& other) {
        return one.second.forgiven_ns < other.second.forgiven_ns;
      }));
}

void FailedLogins::add(const std::string& address, uint64_t now_ns) {
  auto found = accounts_.find(address);
  if (found == accounts_.end()) {
    if (accounts_.size() >= most_addresses_) make_room(now_ns);
    found = accounts_.emplace(address, Account{}).first;
  }
  uint64_t& forgiven_ns = found->second.forgiven_ns;
  forgiven_ns = std::min(std::max(forgiven_ns, now_ns) + kFailedLoginNs, now_ns + kMostNs);
}

uint64_t FailedLogins::excess_ns(const std::string& address, uint64_t now_ns) const {
  auto found = accounts_.find(address);
  if (found == accounts_.end() || found->second.forgiven_ns <= now_ns + kFreeNs) return 0;
  return found->second.forgiven_ns - now_ns - kFreeNs;
}

void FailedLogins::set_next(const std::string& address, uint64_t next_ns) {
  auto found = accounts_.find(address);
  if (found != accounts_.end()) found->second.next_ns = next_ns;
}

uint64_t FailedLogins::next_ns(const std::string& address) const {
  auto found = accounts_.find(address);
  return found == accounts_.end() ? 0 : found->second.next_ns;
}

}  // namespace loopsight
