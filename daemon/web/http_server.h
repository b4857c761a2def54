// The daemon's HTTP side: GET and HEAD of what Routes holds.
//
//   connections' thread (libmicrohttpd): reads requests, writes answers, never waits
//     -- password not seen before --> one thread that hashes --+   (in LoginOrder's order)
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
#include "daemon/web/host_names.h"
#include "daemon/web/local_socket.h"
#include "daemon/web/login_queue.h"
#include "daemon/web/refusals.h"
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
  HostNames names = {};      // of the requests that are answered; a local socket takes any
  bool open_health = false;  // the routes of health ask for no password
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
  const Refusals& refusals() const { return refusals_; }

 private:
  friend class Exchange;
  struct Callbacks;
  Connections::Handle* open(MHD_Connection* connection);
  void sweep();
  HttpServer(const ServerOptions& options, Routes routes, SettingsFile settings)
      : routes_(std::move(routes)),
        settings_(std::move(settings)),
        names_(options.names),
        open_health_(options.open_health),
        connections_(options.limits) {}

  Routes routes_;
  SettingsFile settings_;  // the connections' thread's alone
  HostNames names_;
  bool open_health_;
  Connections connections_;
  Refusals refusals_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> parked_ = 0;  // requests whose handler gave again_ns
  LoginQueue logins_;
  Workers handlers_{2, 512};
  SocketFile socket_file_;  // where the listener was opened here
  MHD_Daemon* daemon_ = nullptr;
  uint16_t port_ = 0;
  bool tls_ = false;
};

}  // namespace loopsight
