// GETs of a daemon's API, by libcurl.
#pragma once

#include <memory>
#include <string>

#include "daemon/base/result.h"

namespace loopsight {

struct ApiOptions {
  std::string url;      // "http://127.0.0.1:9788", or "unix:PATH"
  std::string ca_file;  // "" for the system's
};

class ApiClient {
 public:
  // Errors: the library cannot be set up.
  static Result<ApiClient> create(ApiOptions options);

  // The body of `path`. Errors: no connection, another status than 200, a body beyond all bounds.
  Result<std::string> get(const std::string& path);

 private:
  struct Closer {
    void operator()(void* curl) const;
  };
  ApiClient(ApiOptions options, void* curl) : options_(std::move(options)), curl_(curl) {}
  ApiOptions options_;
  std::unique_ptr<void, Closer> curl_;
};

// Without what may be secret: the user and the password.
std::string shown_url(const std::string& url);

}  // namespace loopsight
