#include "daemon/web/listener.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

struct Address {
  std::string host;
  std::string port;
};

Result<Address> split_address(const std::string& text) {
  size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size())
    return failure(
        fmt::format("address '{}': no port; write HOST:PORT, like 127.0.0.1:9788, or "
                    "unix:PATH",
                    clean_text(text, 100)));
  Address address{text.substr(0, colon), text.substr(colon + 1)};
  if (address.host.starts_with('[') && address.host.ends_with(']'))
    address.host = address.host.substr(1, address.host.size() - 2);
  uint16_t port = 0;
  auto [end, error] =
      std::from_chars(address.port.data(), address.port.data() + address.port.size(), port);
  if (error != std::errc() || end != address.port.data() + address.port.size())
    return failure(
        fmt::format("address '{}': port must be a number from 0 to 65535", clean_text(text, 100)));
  return address;
}

}  // namespace

Result<LocalListener> open_listener(const std::string& text, const std::string& group) {
  if (text.starts_with(kLocalPrefix))
    return listen_locally(text.substr(kLocalPrefix.size()), group);
  auto address = split_address(text);
  if (!address) return tl::make_unexpected(address.error());
  auto failed = [&](const char* why) {
    return failure(fmt::format(
        "cannot listen on {}: {}; stop what has it or give another --web.listen-address",
        clean_text(text, 100), why));
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int error = getaddrinfo(address->host.empty() ? nullptr : address->host.c_str(),
                          address->port.c_str(), &hints, &found);
  if (error != 0) return failed(gai_strerror(error));
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  int saved = EADDRNOTAVAIL;
  for (addrinfo* entry = found; entry; entry = entry->ai_next) {
    Fd fd(socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int one = 1;
    if (fd) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd && bind(fd.get(), entry->ai_addr, entry->ai_addrlen) == 0 &&
        ::listen(fd.get(), 128) == 0)
      return LocalListener{std::move(fd), {}};
    saved = errno;
  }
  return failed(std::strerror(saved));
}

uint16_t bound_port(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  if (storage.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port);
  if (storage.ss_family != AF_INET) return 0;
  return ntohs(reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
}

}  // namespace loopsight
