#include "daemon/web/host_names.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "daemon/config/host_pattern.h"

namespace loopsight {
namespace {

bool is_address(int family, std::string_view text) {
  in6_addr address{};
  return inet_pton(family, std::string(text).c_str(), &address) == 1;
}

// What stands behind the host: nothing, or a colon and perhaps a number.
bool is_port(std::string_view text) {
  if (text.empty()) return true;
  return text[0] == ':' && text.size() <= 6 &&
         text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

}  // namespace

HostNames::HostNames(const std::string& own, const std::vector<std::string>& allowed) {
  if (is_host_name(own)) names_.insert(plain_host_name(own));
  for (const std::string& pattern : allowed) {
    if (!is_host_pattern(pattern)) continue;
    if (pattern.starts_with("*."))
      domains_.push_back(plain_host_name(pattern.substr(1)));
    else
      names_.insert(plain_host_name(pattern));
  }
}

bool HostNames::has(std::string_view authority) const {
  if (authority.find('\0') != std::string_view::npos) return false;
  if (authority.starts_with('[')) {
    size_t end = authority.find(']');
    if (end == std::string_view::npos || !is_port(authority.substr(end + 1))) return false;
    return is_address(AF_INET6, authority.substr(1, end - 1));
  }
  size_t colon = std::min(authority.find(':'), authority.size());
  std::string_view host = authority.substr(0, colon);
  if (!is_port(authority.substr(colon)) || !is_host_name(host)) return false;
  if (is_address(AF_INET, host)) return true;
  std::string name = plain_host_name(host);
  return names_.contains(name) ||
         std::any_of(domains_.begin(), domains_.end(), [&](const std::string& domain) {
           return name.size() > domain.size() && name.ends_with(domain);
         });
}

}  // namespace loopsight
