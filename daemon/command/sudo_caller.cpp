#include "daemon/command/sudo_caller.h"

#include <pwd.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace loopsight {
namespace {

std::optional<uint32_t> id_of(const char* name) {
  const char* value = std::getenv(name);
  if (!value) return std::nullopt;
  std::string_view text(value);
  uint32_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == UINT32_MAX)
    return std::nullopt;
  return id;
}

}  // namespace

Result<std::optional<RunAs>> sudo_caller() {
  if (geteuid() != 0 || !std::getenv("SUDO_UID")) return std::nullopt;
  auto user = id_of("SUDO_UID");
  auto group = id_of("SUDO_GID");
  if (!user || !group)
    return failure(
        "cannot tell who called sudo: SUDO_UID and SUDO_GID are no user and group; start the "
        "command as root by --as-root");
  if (*user == 0) return std::nullopt;
  RunAs caller{.user = *user, .group = *group};
  if (const passwd* entry = getpwuid(*user)) {
    caller.name = entry->pw_name;
    caller.home = entry->pw_dir;
  }
  return caller;
}

}  // namespace loopsight
