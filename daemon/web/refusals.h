// Requests that were refused, by reason. The one place of these names.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace loopsight {

enum class Refused {
  kMalformed,         // it may mean two things, or has a body
  kForeignHost,       // meant for a name that is not ours
  kForeignSite,       // another site's page made a browser send it
  kMethod,            // neither GET nor HEAD
  kNoCredentials,     // none were given, and they are asked for
  kWrongCredentials,  // of an address that seldom fails
  kTooManyLogins,     // wrong, of an address that failed too often
  kBusy,              // too many at once
};
constexpr std::array kRefusedNames = {
    "malformed_request", "foreign_host",      "foreign_site",    "method",
    "no_credentials",    "wrong_credentials", "too_many_logins", "busy"};

// Safe to use from several threads.
class Refusals {
 public:
  void add(Refused reason) { counts_[static_cast<size_t>(reason)]++; }
  std::vector<std::pair<std::string, uint64_t>> counts() const {
    std::vector<std::pair<std::string, uint64_t>> counts;
    counts.reserve(counts_.size());
    for (size_t i = 0; i < counts_.size(); i++) counts.emplace_back(kRefusedNames[i], counts_[i]);
    return counts;
  }

 private:
  std::array<std::atomic<uint64_t>, kRefusedNames.size()> counts_ = {};
};

}  // namespace loopsight
