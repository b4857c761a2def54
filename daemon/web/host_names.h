// The names that the HTTP side answers to. A page of another site can make a browser on this host,
// or near it, ask us as if we were that site, once the site's name means our address (DNS
// rebinding): such a request names the site as its host. An address written as such is nobody's
// name, and needs no list.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace loopsight {

class HostNames {
 public:
  HostNames() = default;
  // `own` is what the host calls itself; `allowed` are patterns (see host_pattern.h).
  HostNames(const std::string& own, const std::vector<std::string>& allowed);

  // Whether this HOST or HOST:PORT, as a request has it, is an IPv4 address, an IPv6 address in
  // brackets, "localhost", or one of our names.
  bool has(std::string_view authority) const;

 private:
  std::set<std::string, std::less<>> names_ = {"localhost"};
  std::vector<std::string> domains_;  // each with a dot in front
};

}  // namespace loopsight
