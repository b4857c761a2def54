// One request and its answer, on the way between the connections' thread and the workers.
#pragma once

#include <memory>
#include <string>

#include "daemon/web/http_server.h"
#include "daemon/web/request_head.h"

struct MHD_Connection;

namespace loopsight {

class Exchange {
 public:
  // `target` is the request's, not decoded, in the library's memory.
  Exchange(HttpServer& server, MHD_Connection* connection, const char* target);

  // On the connections' thread. False: the connection cannot go on.
  bool begin(const char* path, const char* method, const char* version);  // the headers are in
  bool proceed();  // the request is in, or its answer is made
  bool has_begun() const { return settings_ != nullptr; }

 private:
  bool is_local() const;
  std::string client() const;  // whose failed logins count together
  bool is_refused(const char* method);
  void refuse(Refused reason, unsigned status, const std::string& text);
  void ask_for_user();
  void read_head(const char* method, const char* version);
  void read_credentials();
  bool send();

  // On the workers.
  void check_password();
  void run_handler();
  void finish_busy();
  void finish(HttpResponse response);

  HttpServer& server_;
  MHD_Connection* connection_;
  std::shared_ptr<Settings> settings_;
  RequestHead head_;
  const char* target_end_;  // in the library's memory, not to be read
  HttpRequest request_;
  std::string client_;
  std::string user_;
  std::string password_;
  bool has_user_ = false;
  bool needs_user_ = false;
  bool gzip_ = false;
  bool parked_ = false;  // waits for the time that its handler named
  bool made_ = false;
  HttpResponse response_;
};

}  // namespace loopsight
