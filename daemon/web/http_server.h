// The daemon's HTTP side: GET and HEAD of what Routes holds.
//
//   connections' thread (libmicrohttpd): reads requests, writes answers, never waits
//     -- password not seen before --> one thread that hashes --+
//     -- else ------------------------------------------------+--> threads that run the handlers
//
// A connection is suspended while another thread has its request.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "daemon/base/fd.h"
#include "daemon/base/result.h"
#include "daemon/web/connections.h"
#include "daemon/web/route.h"
#include "daemon/web/settings.h"
#include "daemon/web/workers.h"

struct MHD_Connection;
struct MHD_Daemon;

namespace loopsight {

struct ServerOptions {
  std::string address = "127.0.0.1:9788";
  Fd listener = Fd();            // listens already (socket activation): `address` is not used
  std::string config_file = {};  // the web configuration file, "" for none
  ConnectionLimits limits = {};
};

class Exchange;

class HttpServer {
 public:
  // Errors: no such address, the port is taken, an error in the configuration file. What the
  // handlers refer to must outlive the server.
  static Result<std::unique_ptr<HttpServer>> start(ServerOptions options, Routes routes);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }
  bool tls() const { return tls_; }

 private:
  friend class Exchange;
  struct Callbacks;
  Connections::Handle* open(MHD_Connection* connection);
  void sweep();
  HttpServer(Routes routes, SettingsFile settings, ConnectionLimits limits)
      : routes_(std::move(routes)), settings_(std::move(settings)), connections_(limits) {}

  Routes routes_;
  SettingsFile settings_;  // the connections' thread's alone
  Connections connections_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> parked_ = 0;  // requests whose handler gave again_ns
  Workers passwords_{1, 32};
  Workers handlers_{2, 512};
  MHD_Daemon* daemon_ = nullptr;
  uint16_t port_ = 0;
  bool tls_ = false;
};

}  // namespace loopsight
