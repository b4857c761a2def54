// The daemon's HTTP side: GET and HEAD of what Routes holds. One thread, bounded connections and
// time, so idle clients do not delay a scrape.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"
#include "daemon/web/route.h"

struct MHD_Daemon;

namespace loopsight {

struct ServerOptions {
  std::string address = "127.0.0.1:9788";
  Fd listener = Fd();  // listens already (socket activation): then `address` is not used
};

class HttpServer {
 public:
  // Errors: no such address, the port is taken. What the handlers refer to must outlive the server.
  static Result<std::unique_ptr<HttpServer>> start(ServerOptions options, Routes routes);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }
  const Routes& routes() const { return routes_; }

 private:
  explicit HttpServer(Routes routes) : routes_(std::move(routes)) {}
  Routes routes_;
  MHD_Daemon* daemon_ = nullptr;
  uint16_t port_ = 0;
};

}  // namespace loopsight
