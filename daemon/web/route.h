// What the HTTP side answers: a path, the query parameters that it takes, and the function that
// makes the answer.
//
//   routes.add({"/api/v1/things", {"limit"}, [&](const HttpRequest& request) -> HttpResponse {…}});
//
// Handlers run on the server's own threads, several at once: what they share with the pipeline is
// guarded (see Publication) and they do not wait. One that has its answer only later gives
// `again_ns` and is called again then, with the same request.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace loopsight {

constexpr const char* kTextType = "text/plain; charset=utf-8";
constexpr const char* kJsonType = "application/json";

struct HttpRequest {
  std::string path;
  std::vector<std::pair<std::string, std::string>> query = {};  // decoded, in their order
  uint64_t arrived_ns = 0;                                      // CLOCK_MONOTONIC
  // Who asks has shown a password or a certificate: everything is shown to him, else what every
  // user of the host may know.
  bool is_authenticated = false;

  // The value of a query parameter, "" where it is absent.
  std::string parameter(std::string_view name) const;
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = kTextType;
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};  // beyond the common ones
  uint64_t again_ns = 0;  // CLOCK_MONOTONIC; not 0: no answer yet, call the handler again then
};

// One line for a person, as text.
HttpResponse refusal(unsigned status, std::string text);

struct Route {
  std::string path;
  std::vector<std::string> parameters;  // those that it takes; others are refused with 400
  std::function<HttpResponse(const HttpRequest&)> handler;
  bool any_parameter = false;  // takes them all, whatever they are
  bool is_health = false;      // may be open to who has no password
};

class Routes {
 public:
  void add(Route route);
  bool is_health(std::string_view path) const;
  // 404 where no route has the path, 400 where a parameter is unknown or comes twice.
  HttpResponse respond(const HttpRequest& request) const;

 private:
  std::map<std::string, Route, std::less<>> routes_;
};

}  // namespace loopsight
