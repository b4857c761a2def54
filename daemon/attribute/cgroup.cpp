#include "daemon/attribute/cgroup.h"

#include <algorithm>
#include <vector>

namespace loopsight {
namespace {

bool is_container_id(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// "docker-<id>.scope", "cri-containerd-<id>.scope", "crio-<id>.scope", "libpod-<id>.scope", "<id>".
std::string_view container_id(std::string_view name) {
  constexpr std::string_view kScope = ".scope";
  if (name.ends_with(kScope)) name.remove_suffix(kScope.size());
  size_t dash = name.rfind('-');
  if (dash != std::string_view::npos) name.remove_prefix(dash + 1);
  return is_container_id(name) ? name : std::string_view();
}

bool is_unit(std::string_view name) {
  return name.ends_with(".service") && !name.starts_with("user@") && name.size() > 8;
}

// systemd escapes what a unit's name may not hold as \xNN.
std::string unescape(std::string_view name) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string plain;
  for (size_t i = 0; i < name.size(); i++) {
    bool escape = i + 3 < name.size() && name[i] == '\\' && name[i + 1] == 'x' &&
                  digit(name[i + 2]) >= 0 && digit(name[i + 3]) >= 0;
    if (!escape) {
      plain += name[i];
      continue;
    }
    plain += static_cast<char>(digit(name[i + 2]) * 16 + digit(name[i + 3]));
    i += 3;
  }
  return plain;
}

}  // namespace

Placement parse_cgroup(std::string_view text) {
  Placement placement;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    // hierarchy:controllers:path
    size_t first = line.find(':');
    size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    std::string_view controllers = line.substr(first + 1, second - first - 1);
    std::string_view path = line.substr(second + 1);
    bool units = controllers.empty() || controllers == "name=systemd";
    while (!path.empty()) {
      size_t slash = path.find('/');
      std::string_view name = path.substr(0, slash);
      path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
      if (auto id = container_id(name); !id.empty()) placement.container = id;
      if (units && is_unit(name)) placement.unit = unescape(name);
    }
  }
  return placement;
}

}  // namespace loopsight
