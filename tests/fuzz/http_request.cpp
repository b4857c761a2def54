// Paths and query parameters, decoded already, to everything that the daemon serves.
#include "tests/fuzz/served.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(http_request, input) {
  static fuzz::Served served;
  static const Routes routes = served.routes(true);
  fuzz::Bytes bytes(input);
  HttpRequest request{.path = std::string(bytes.take_field('?')), .arrived_ns = 1};
  while (!bytes.is_empty() && request.query.size() < 20) {
    std::string name(bytes.take_field('='));
    std::string value(bytes.take_field('&'));
    request.query.emplace_back(std::move(name), std::move(value));
  }
  HttpResponse response = routes.respond(request);
  fuzz::require(response.again_ns != 0 || response.status >= 200, "an answer");
  if (response.status >= 400)
    for (unsigned char c : response.body)
      fuzz::require(c >= 0x20 || c == '\n', "an error without control characters");
}
