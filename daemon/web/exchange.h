// One request and its answer, on the way between the connections' thread and the workers.
#pragma once

#include <memory>
#include <string>

#include "daemon/web/http_server.h"

struct MHD_Connection;

namespace loopsight {

class Exchange {
 public:
  Exchange(HttpServer& server, MHD_Connection* connection)
      : server_(server), connection_(connection) {}

  // On the connections' thread. False: the connection cannot go on.
  bool begin(const char* path, const char* method);  // the headers are in
  bool proceed();                                    // the request is in, or its answer is made

 private:
  const char* header(const char* name) const;  // "" where it is absent
  void refuse_user();
  bool send();

  // On the workers.
  void check_password();
  void run_handler();
  void finish(HttpResponse response);

  HttpServer& server_;
  MHD_Connection* connection_;
  std::shared_ptr<Settings> settings_;
  HttpRequest request_;
  std::string user_;
  std::string password_;
  bool has_user_ = false;
  bool gzip_ = false;
  bool parked_ = false;  // waits for the time that its handler named
  bool made_ = false;
  HttpResponse response_;
};

}  // namespace loopsight
