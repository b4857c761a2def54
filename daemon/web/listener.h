// The socket that the HTTP side listens on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"
#include "daemon/web/local_socket.h"

namespace loopsight {

// In front of the path of a local socket.
constexpr std::string_view kLocalPrefix = "unix:";

// Listens on "HOST:PORT" ("127.0.0.1:9788", "[::1]:9788", ":9788") or on "unix:PATH", of `group`
// (see local_socket.h). Errors: no such address, the port is taken, the path is.
Result<LocalListener> open_listener(const std::string& address, const std::string& group = "");

// 0 where the socket has no port.
uint16_t bound_port(int fd);

}  // namespace loopsight
