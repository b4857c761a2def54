#include "daemon/attribute/wait_target.h"

#include <arpa/inet.h>
#include <asm/unistd_64.h>
#include <fmt/format.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxTarget = 300;
constexpr size_t kMaxName = 3 * size_t{LS_PATH_NAME_SIZE};  // each byte may become U+FFFD

std::optional<std::string> socket_target(const ls_wait& wait) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (wait.family == AF_INET) {
    if (wait.port == 0) return std::nullopt;
    inet_ntop(AF_INET, wait.address, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), wait.port);
  }
  if (wait.family == AF_INET6) {
    if (wait.port == 0) return std::nullopt;
    inet_ntop(AF_INET6, wait.address, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), wait.port);
  }
  if (wait.family == AF_UNIX) {
    auto path = fixed_string(&wait.names[0][0], sizeof(wait.names));
    return path.empty() ? "unix socket" : fmt::format("unix:{}", clean_text(path, kMaxTarget));
  }
  return std::nullopt;
}

std::optional<std::string> path_target(const ls_wait& wait) {
  std::string path;
  for (int i = LS_PATH_NAMES - 1; i >= 0; i--) {
    bool filled = true;  // names end at the first empty one
    for (int j = 0; j <= i; j++) filled = filled && wait.names[j][0] != '\0';
    if (!filled) continue;
    if (i == LS_PATH_NAMES - 1) path = "...";
    path += '/';
    path += clean_text(fixed_string(wait.names[i], LS_PATH_NAME_SIZE), kMaxName);
  }
  if (path.empty()) return std::nullopt;
  return path;
}

std::optional<std::string> process_target(const ls_wait& wait) {
  // wait4(pid, ...); waitid(P_PID, pid, ...): P_PID is 1.
  auto pid = static_cast<int>(wait.syscall == __NR_waitid ? wait.args[1] : wait.args[0]);
  if (wait.syscall == __NR_waitid && wait.args[0] != 1) return std::nullopt;
  if (wait.syscall != __NR_waitid && wait.syscall != __NR_wait4) return std::nullopt;
  if (pid <= 0) return "any child";
  return fmt::format("pid {}", pid);
}

}  // namespace

std::string syscall_name(int number) {
  std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &std::free);
  return name ? std::string(name.get()) : fmt::format("syscall {}", number);
}

std::optional<std::string> describe_target(const ls_wait& wait) {
  if (wait.cause == LS_CAUSE_SUBPROCESS && wait.object == LS_OBJECT_NONE)
    return process_target(wait);
  switch (wait.object) {
    case LS_OBJECT_PATH: {
      auto path = fixed_string(&wait.names[0][0], sizeof(wait.names));
      if (path.empty()) return std::nullopt;
      return clean_text(path, kMaxTarget);
    }
    case LS_OBJECT_SOCKET: return socket_target(wait);
    case LS_OBJECT_EPOLL:
      if (wait.family != 0) return socket_target(wait);
      return path_target(wait);
    case LS_OBJECT_PIPE: {
      auto fifo = path_target(wait);  // an anonymous pipe has no name
      return fifo ? fifo : std::optional<std::string>("pipe");
    }
    case LS_OBJECT_FILE:
    case LS_OBJECT_DIRECTORY:
    case LS_OBJECT_BLOCK_DEVICE:
    case LS_OBJECT_CHARACTER_DEVICE: return path_target(wait);
    case LS_OBJECT_EVENTFD: return "eventfd";
    case LS_OBJECT_TIMERFD: return "timerfd";
    case LS_OBJECT_PIDFD: return "pidfd";
    case LS_OBJECT_MEMORY_MAP: return "the process's memory map";
    case LS_OBJECT_STOPPED_WORLD: return "a stop-the-world pause of the interpreter";
    default: return std::nullopt;
  }
}

}  // namespace loopsight
