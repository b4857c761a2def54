#include "daemon/web/http_server.h"

#include <fmt/format.h>
#include <microhttpd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "daemon/base/text.h"
#include "daemon/web/listener.h"

namespace loopsight {
namespace {

constexpr unsigned kConnectionLimit = 256;
constexpr unsigned kIdleSeconds = 15;
constexpr size_t kConnectionMemory = 32768;

uint64_t monotonic_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

MHD_Result collect_parameter(void* context, MHD_ValueKind /*kind*/, const char* key,
                             const char* value) {
  auto* request = static_cast<HttpRequest*>(context);
  request->query.emplace_back(key, value ? value : "");
  return MHD_YES;
}

MHD_Result answer(void* context, MHD_Connection* connection, const char* url, const char* method,
                  const char* /*version*/, const char* /*upload*/, size_t* /*upload_size*/,
                  void** state) {
  static int seen;
  if (*state == nullptr) {  // the headers are in; answer at the next call
    *state = &seen;
    return MHD_YES;
  }
  const auto* server = static_cast<const HttpServer*>(context);
  bool allowed = std::strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
                 std::strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
  HttpResponse response = refusal(MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
  if (allowed) {
    HttpRequest request{.path = url, .arrived_ns = monotonic_ns()};
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, collect_parameter, &request);
    response = server->routes().respond(request);
  }
  MHD_Response* raw = MHD_create_response_from_buffer(response.body.size(), response.body.data(),
                                                      MHD_RESPMEM_MUST_COPY);
  if (!raw) return MHD_NO;
  MHD_add_response_header(raw, MHD_HTTP_HEADER_CONTENT_TYPE, response.content_type.c_str());
  MHD_add_response_header(raw, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header(raw, "Content-Security-Policy",
                          "default-src 'none'; frame-ancestors 'none'");
  for (const auto& [name, value] : response.headers)
    MHD_add_response_header(raw, name.c_str(), value.c_str());
  if (!allowed) MHD_add_response_header(raw, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  MHD_Result result = MHD_queue_response(connection, response.status, raw);
  MHD_destroy_response(raw);
  return result;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerOptions options, Routes routes) {
  Fd listener = std::move(options.listener);
  if (!listener) {
    auto opened = open_listener(options.address);
    if (!opened) return tl::make_unexpected(opened.error());
    listener = std::move(*opened);
  }
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(routes)));
  server->port_ = bound_port(listener.get());
  server->daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, nullptr, nullptr, answer, server.get(),
      MHD_OPTION_LISTEN_SOCKET, listener.get(), MHD_OPTION_CONNECTION_LIMIT, kConnectionLimit,
      MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
      kConnectionMemory, MHD_OPTION_END);
  if (!server->daemon_)
    return failure(fmt::format("cannot serve HTTP on {}: {}", clean_text(options.address, 100),
                               std::strerror(errno)));
  listener.release();  // the library closes it when it stops
  return server;
}

HttpServer::~HttpServer() {
  if (daemon_) MHD_stop_daemon(daemon_);
}

}  // namespace loopsight
