#include "daemon/command/supervisor.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

namespace loopsight {

Result<Fd> take_socket() {
  int count = sd_listen_fds(1);
  if (count <= 0) return Fd();
  Fd socket(SD_LISTEN_FDS_START);
  if (count > 1)
    return failure(
        fmt::format("systemd handed over {} sockets: loopsight.socket must have one "
                    "ListenStream",
                    count));
  if (sd_is_socket(socket.get(), AF_UNSPEC, SOCK_STREAM, 1) <= 0)
    return failure(
        "systemd handed over what is no listening stream socket: use ListenStream in "
        "loopsight.socket");
  return socket;
}

Supervisor::Supervisor() {
  uint64_t interval_us = 0;
  watched_ = sd_watchdog_enabled(0, &interval_us) > 0;
}

void Supervisor::notify(const std::string& message) {
  if (int error = sd_notify(0, message.c_str()); error < 0)
    spdlog::debug("systemd cannot be told: error {}", -error);
}

void Supervisor::ready(const std::string& status) {
  notify(fmt::format("READY=1\nSTATUS={}", status));
}

void Supervisor::alive(const std::string& status) {
  notify(fmt::format("{}STATUS={}", watched_ ? "WATCHDOG=1\n" : "", status));
}

void Supervisor::reloading(uint64_t monotonic_ns) {
  notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns / 1000));
}

void Supervisor::stopping() { notify("STOPPING=1"); }

}  // namespace loopsight
