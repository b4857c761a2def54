// Users and their bcrypt hashes. A hash takes tens of milliseconds on purpose, so a password that
// was right is remembered as a keyed digest, and a name that nobody has costs as much as one that
// is known.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

namespace loopsight {

// Safe to use from several threads.
class Passwords {
 public:
  explicit Passwords(std::map<std::string, std::string> users);

  bool required() const { return !users_.empty(); }
  // Whether this pair was right before. Quick.
  bool remembers(const std::string& user, const std::string& password) const;
  // Slow.
  bool verify(const std::string& user, const std::string& password);

 private:
  using Digest = std::array<unsigned char, 32>;
  Digest digest(const std::string& user, const std::string& password) const;

  std::map<std::string, std::string> users_;
  std::string stand_in_;  // what the password of an unknown user is hashed with
  std::array<unsigned char, 32> secret_{};
  mutable std::mutex mutex_;
  std::deque<Digest> remembered_;
};

}  // namespace loopsight
