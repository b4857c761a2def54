// Whose password is checked next. A check takes a tenth of a second on purpose, so that who sends
// many wrong ones would keep everybody else waiting. Nobody is turned away for what others do:
//
//   - addresses come in turn, and of one address the user names that are tried;
//   - an address that failed too often has every fourth turn while others wait, and waits for its
//     next one: a second where one client guesses, and less where many do, so that none of them
//     waits for much longer than three seconds: the right password may be among them.
//
// All who come over loopback have one address; of a local socket each user has his own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "daemon/web/failed_logins.h"

namespace loopsight {

class LoginOrder {
 public:
  using Check = std::function<void()>;

  explicit LoginOrder(size_t capacity = 512) : capacity_(capacity) {}

  // False where as many wait as may: more than there can be connections.
  bool push(const std::string& address, const std::string& user, Check check);
  // The next one; nothing where none waits or none is due yet.
  std::optional<Check> take(uint64_t now_ns);
  // When the next one is due, the past where it is due already; nothing where none waits.
  std::optional<uint64_t> due_ns() const;

  // A password was wrong. How long the address should wait; 0 where it did not fail too often.
  uint64_t failed(const std::string& address, uint64_t now_ns);

  size_t size() const { return size_; }

 private:
  struct Lane {  // of one address
    std::map<std::string, std::deque<Check>> users;
    std::deque<std::string> turn;  // of `users`
    size_t size = 0;
  };
  std::deque<std::string>::iterator choose(uint64_t now_ns, bool offender);
  Check take_from(const std::string& address);

  size_t capacity_;
  size_t size_ = 0;
  uint64_t turns_ = 0;
  std::map<std::string, Lane> lanes_;
  std::deque<std::string> turn_;  // of `lanes_`
  FailedLogins failed_;
};

}  // namespace loopsight
