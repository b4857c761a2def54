// How often each address gave a wrong password lately. Ten at once are a person's mistakes; who
// goes on after that is told to wait, and gets his turn rarely. Bounded: of too many addresses the
// one that will be forgiven first is forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace loopsight {

constexpr uint64_t kFailedLoginNs = 1'000'000'000;  // each is forgiven after this time
constexpr size_t kFailedLogins = 10;                // not yet forgiven: no more than these are free

class FailedLogins {
 public:
  explicit FailedLogins(size_t most_addresses = 4096) : most_addresses_(most_addresses) {}

  void add(const std::string& address, uint64_t now_ns);
  // How long until it has failed no more often than it may; 0 where that is so now.
  uint64_t excess_ns(const std::string& address, uint64_t now_ns) const;

  // When the address's next password may be looked at.
  void set_next(const std::string& address, uint64_t next_ns);
  uint64_t next_ns(const std::string& address) const;

  size_t size() const { return accounts_.size(); }

 private:
  struct Account {
    uint64_t forgiven_ns = 0;  // when all of them are
    uint64_t next_ns = 0;
  };
  void make_room(uint64_t now_ns);

  size_t most_addresses_;
  std::map<std::string, Account> accounts_;
};

}  // namespace loopsight
