// The socket that the HTTP side listens on.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"

namespace loopsight {

// Listens on "HOST:PORT" ("127.0.0.1:9788", "[::1]:9788", ":9788"). Errors: no such address, the
// port is taken.
Result<Fd> open_listener(const std::string& address);

// 0 where the socket has no port.
uint16_t bound_port(int fd);

}  // namespace loopsight
