// The daemon's HTTP side: what CONTRACT.md lists, GET and HEAD only. One thread, bounded
// connections and time, so idle clients do not delay a scrape.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "daemon/base/result.h"
#include "daemon/sink/metrics.h"
#include "daemon/sink/publication.h"

struct MHD_Daemon;

namespace loopsight {

struct HttpRequest {
  std::string path;
  std::string limit;  // query parameters, "" where absent
  std::string workload;
  std::string cause;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type;
  std::string body;
};

class HttpServer {
 public:
  // Listens on "HOST:PORT" ("127.0.0.1:9788", "[::1]:9788", ":9788"). Errors: no such address, the
  // port is taken. `publication` and `metrics` must outlive the server.
  static Result<std::unique_ptr<HttpServer>> listen(const std::string& address,
                                                    const Publication& publication,
                                                    const Metrics& metrics);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const { return port_; }
  HttpResponse respond(const HttpRequest& request) const;

 private:
  HttpServer(const Publication& publication, const Metrics& metrics)
      : publication_(publication), metrics_(metrics) {}
  const Publication& publication_;
  const Metrics& metrics_;
  MHD_Daemon* daemon_ = nullptr;
  uint16_t port_ = 0;
};

}  // namespace loopsight
