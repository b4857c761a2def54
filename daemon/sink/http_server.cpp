#include "daemon/sink/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <microhttpd.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "daemon/base/fd.h"
#include "daemon/base/text.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

constexpr unsigned kConnectionLimit = 256;
constexpr unsigned kIdleSeconds = 15;
constexpr size_t kConnectionMemory = 32768;
constexpr size_t kDefaultStalls = 100;
constexpr size_t kMaxStalls = 1000;

constexpr const char* kText = "text/plain; charset=utf-8";
constexpr const char* kMetricsText = "text/plain; version=0.0.4; charset=utf-8";
constexpr const char* kJson = "application/json";
constexpr const char* kLanding =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>loopsight</title>"
    "</head>\n<body><h1>loopsight</h1>\n<p>Watches every CPython event loop of this host.</p>\n"
    "<ul>\n<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>\n"
    "<li><a href=\"/api/v1/loops\">/api/v1/loops</a>: the loops and what they did</li>\n"
    "<li><a href=\"/api/v1/stalls\">/api/v1/stalls</a>: the newest stalls "
    "(?limit=, &amp;workload=, &amp;cause=)</li>\n"
    "<li><a href=\"/-/healthy\">/-/healthy</a>, <a href=\"/-/ready\">/-/ready</a></li>\n"
    "</ul></body></html>\n";

struct Address {
  std::string host;
  std::string port;
};

Result<Address> split_address(const std::string& text) {
  size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size())
    return failure(fmt::format("address '{}': no port; write HOST:PORT, like 127.0.0.1:9788",
                               clean_text(text, 100)));
  Address address{text.substr(0, colon), text.substr(colon + 1)};
  if (address.host.starts_with('[') && address.host.ends_with(']'))
    address.host = address.host.substr(1, address.host.size() - 2);
  uint16_t port = 0;
  auto [end, error] =
      std::from_chars(address.port.data(), address.port.data() + address.port.size(), port);
  if (error != std::errc() || end != address.port.data() + address.port.size())
    return failure(
        fmt::format("address '{}': port must be a number from 0 to 65535", clean_text(text, 100)));
  return address;
}

Result<Fd> open_listener(const std::string& text) {
  auto address = split_address(text);
  if (!address) return tl::make_unexpected(address.error());
  auto failed = [&](const char* why) {
    return failure(fmt::format(
        "cannot listen on {}: {}; stop what has it or give another --web.listen-address",
        clean_text(text, 100), why));
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int error = getaddrinfo(address->host.empty() ? nullptr : address->host.c_str(),
                          address->port.c_str(), &hints, &found);
  if (error != 0) return failed(gai_strerror(error));
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  int saved = EADDRNOTAVAIL;
  for (addrinfo* entry = found; entry; entry = entry->ai_next) {
    Fd fd(socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int one = 1;
    if (fd) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd && bind(fd.get(), entry->ai_addr, entry->ai_addrlen) == 0 &&
        ::listen(fd.get(), 128) == 0)
      return fd;
    saved = errno;
  }
  return failed(std::strerror(saved));
}

uint16_t bound_port(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  if (storage.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
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
  HttpResponse response{
      .status = MHD_HTTP_METHOD_NOT_ALLOWED, .content_type = kText, .body = "only GET and HEAD\n"};
  if (allowed) {
    auto argument = [&](const char* key) {
      const char* value = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, key);
      return std::string(value ? value : "");
    };
    response = server->respond({.path = url,
                                .limit = argument("limit"),
                                .workload = argument("workload"),
                                .cause = argument("cause")});
  }
  MHD_Response* raw = MHD_create_response_from_buffer(response.body.size(), response.body.data(),
                                                      MHD_RESPMEM_MUST_COPY);
  if (!raw) return MHD_NO;
  MHD_add_response_header(raw, MHD_HTTP_HEADER_CONTENT_TYPE, response.content_type.c_str());
  MHD_add_response_header(raw, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header(raw, "Content-Security-Policy",
                          "default-src 'none'; frame-ancestors 'none'");
  if (!allowed) MHD_add_response_header(raw, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  MHD_Result result = MHD_queue_response(connection, response.status, raw);
  MHD_destroy_response(raw);
  return result;
}

std::string loops_json(const Snapshot& snapshot) {
  auto loops = nlohmann::ordered_json::array();
  for (const auto& [name, workload] : snapshot.totals.workloads()) {
    auto kinds = nlohmann::ordered_json::array();
    for (const auto& [kind, count] : workload.loops)
      if (count > 0)
        kinds.push_back({{"loop", kind.first}, {"python", kind.second}, {"count", count}});
    auto workers = nlohmann::ordered_json::array();
    for (const auto& [number, worker] : workload.workers) {
      auto causes = nlohmann::ordered_json::object();
      uint64_t busy = 0;
      uint64_t stalled = 0;
      for (size_t i = 0; i < LS_CAUSES; i++) {
        busy += worker.busy[i];
        if (worker.busy[i] > 0) causes[kCauseNames[i]] = static_cast<double>(worker.busy[i]) / 1e9;
      }
      for (const auto& [loop, ns] : worker.stalled_ns) stalled = std::max(stalled, ns);
      workers.push_back({{"worker", number},
                         {"loops", worker.stalled_ns.size()},
                         {"iterations", worker.iterations},
                         {"busy_seconds", static_cast<double>(busy) / 1e9},
                         {"idle_seconds", static_cast<double>(worker.idle_ns) / 1e9},
                         {"stalled_seconds", static_cast<double>(stalled) / 1e9},
                         {"causes", std::move(causes)}});
    }
    loops.push_back(
        {{"workload", name}, {"loops", std::move(kinds)}, {"workers", std::move(workers)}});
  }
  return to_line(loops) + "\n";
}

}  // namespace

HttpResponse HttpServer::respond(const HttpRequest& request) const {
  if (request.path == "/") return {.content_type = "text/html; charset=utf-8", .body = kLanding};
  if (request.path == "/metrics")
    return {.content_type = kMetricsText, .body = metrics_page(metrics_)};
  if (request.path == "/-/healthy") return {.content_type = kText, .body = "healthy\n"};
  if (request.path == "/-/ready") {
    if (publication_.snapshot()->ready) return {.content_type = kText, .body = "ready\n"};
    return {.status = 503, .content_type = kText, .body = "not ready: probes are being attached\n"};
  }
  if (request.path == "/api/v1/loops")
    return {.content_type = kJson, .body = loops_json(*publication_.snapshot())};
  if (request.path == "/api/v1/stalls") {
    size_t limit = kDefaultStalls;
    if (!request.limit.empty()) {
      auto [end, error] =
          std::from_chars(request.limit.data(), request.limit.data() + request.limit.size(), limit);
      if (error != std::errc() || end != request.limit.data() + request.limit.size())
        return {.status = 400, .content_type = kText, .body = "limit must be a number\n"};
    }
    auto stalls = nlohmann::ordered_json::array();
    for (auto& stall :
         publication_.stalls(std::min(limit, kMaxStalls), request.workload, request.cause))
      stalls.push_back(std::move(stall));
    return {.content_type = kJson, .body = to_line(stalls) + "\n"};
  }
  return {.status = 404, .content_type = kText, .body = "not found; / says what is here\n"};
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const std::string& address,
                                                       const Publication& publication,
                                                       const Metrics& metrics) {
  auto listener = open_listener(address);
  if (!listener) return tl::make_unexpected(listener.error());
  std::unique_ptr<HttpServer> server(new HttpServer(publication, metrics));
  server->port_ = bound_port(listener->get());
  server->daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, nullptr, nullptr, answer, server.get(),
      MHD_OPTION_LISTEN_SOCKET, listener->get(), MHD_OPTION_CONNECTION_LIMIT, kConnectionLimit,
      MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
      kConnectionMemory, MHD_OPTION_END);
  if (!server->daemon_)
    return failure(
        fmt::format("cannot serve HTTP on {}: {}", clean_text(address, 100), std::strerror(errno)));
  listener->release();  // the library closes it when it stops
  return server;
}

HttpServer::~HttpServer() {
  if (daemon_) MHD_stop_daemon(daemon_);
}

}  // namespace loopsight
