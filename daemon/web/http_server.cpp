#include "daemon/web/http_server.h"

#include <fmt/format.h>
#include <gnutls/abstract.h>
#include <microhttpd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <vector>

#include "daemon/base/text.h"
#include "daemon/web/exchange.h"
#include "daemon/web/listener.h"

namespace loopsight {
namespace {

// No usual scrape interval: a connection would end just as the next scrape comes.
constexpr unsigned kIdleSeconds = 12;
constexpr uint64_t kSilentNs = 20'000'000'000;  // without a whole request, drips of one included
constexpr uint64_t kSweepNs = 5'000'000'000;
constexpr size_t kConnectionMemory = 32768;  // bounds the headers
// Those that had to give way are still there until the library has seen their end.
constexpr unsigned kClosingConnections = 64;

int no_certificate(gnutls_session_t, const gnutls_datum_t*, int, const gnutls_pk_algorithm_t*, int,
                   gnutls_pcert_st**, unsigned*, gnutls_privkey_t*) {
  return -1;
}

uint64_t monotonic_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

// What the library calls, on the connections' thread.
struct HttpServer::Callbacks {
  static Connections::Handle* peer_of(MHD_Connection* connection) {
    const auto* found = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return found ? static_cast<Connections::Handle*>(found->socket_context) : nullptr;
  }

  // The request's line is there. What is given back is the request's state.
  static void* on_target(void* context, const char* target, MHD_Connection* connection) {
    return new Exchange(*static_cast<HttpServer*>(context), connection, target);
  }

  static MHD_Result on_request(void* context, MHD_Connection* connection, const char* url,
                               const char* method, const char* version, const char* /*upload*/,
                               size_t* /*upload_size*/, void** state) {
    auto* server = static_cast<HttpServer*>(context);
    auto* exchange = static_cast<Exchange*>(*state);
    if (!exchange) return MHD_NO;
    if (exchange->has_begun()) return exchange->proceed() ? MHD_YES : MHD_NO;
    if (auto* peer = peer_of(connection)) server->connections_.touch(*peer, true, monotonic_ns());
    return exchange->begin(url, method, version) ? MHD_YES : MHD_NO;
  }

  static void on_completed(void* context, MHD_Connection* connection, void** state,
                           MHD_RequestTerminationCode /*code*/) {
    auto* server = static_cast<HttpServer*>(context);
    delete static_cast<Exchange*>(*state);
    *state = nullptr;
    if (auto* peer = peer_of(connection)) server->connections_.touch(*peer, false, monotonic_ns());
  }

  static void on_connection(void* context, MHD_Connection* connection, void** peer,
                            MHD_ConnectionNotificationCode code) {
    auto* server = static_cast<HttpServer*>(context);
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
      *peer = server->open(connection);
    else if (auto* handle = static_cast<Connections::Handle*>(*peer)) {
      server->connections_.close(*handle);
      delete handle;
    }
  }
};

// The settings of the moment hold for the connection's handshake; its requests ask anew.
Connections::Handle* HttpServer::open(MHD_Connection* connection) {
  auto info = [&](MHD_ConnectionInfoType type) {
    return MHD_get_connection_info(connection, type);
  };
  const auto* fd = info(MHD_CONNECTION_INFO_CONNECTION_FD);
  const auto* address = info(MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  auto* peer = new Connections::Handle(connections_.open(
      fd ? fd->connect_fd : -1, address ? address->client_addr : nullptr, monotonic_ns()));
  if (!tls_) return peer;
  (*peer)->tls = settings_.current(monotonic_ns())->tls;
  const auto* session = info(MHD_CONNECTION_INFO_GNUTLS_SESSION);
  if (session && session->tls_session)
    (*peer)->tls->apply(static_cast<gnutls_session_t>(session->tls_session));
  return peer;
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(ServerOptions options, Routes routes) {
  auto settings = SettingsFile::open(options.config_file);
  if (!settings) return tl::make_unexpected(settings.error());
  Fd listener = std::move(options.listener);
  SocketFile file;
  if (!listener) {
    auto opened = open_listener(options.address);
    if (!opened) return tl::make_unexpected(opened.error());
    listener = std::move(opened->socket);
    file = std::move(opened->file);
  }
  std::unique_ptr<HttpServer> server(
      new HttpServer(options, std::move(routes), std::move(*settings)));
  server->port_ = bound_port(listener.get());
  server->tls_ = server->settings_.current(0)->tls != nullptr;
  std::vector<MHD_OptionItem> more;
  // Each session gets its credentials by itself; the library's own stay empty.
  if (server->tls_)
    more.push_back({MHD_OPTION_HTTPS_CERT_CALLBACK, 0, reinterpret_cast<void*>(&no_certificate)});
  more.push_back({MHD_OPTION_END, 0, nullptr});
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
  if (server->tls_) flags |= MHD_USE_TLS;
  auto connections = static_cast<unsigned>(options.limits.total) + kClosingConnections;
  server->daemon_ = MHD_start_daemon(
      flags, 0, nullptr, nullptr, Callbacks::on_request, server.get(), MHD_OPTION_LISTEN_SOCKET,
      listener.get(), MHD_OPTION_CONNECTION_LIMIT, connections, MHD_OPTION_CONNECTION_TIMEOUT,
      kIdleSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionMemory,
      MHD_OPTION_NOTIFY_CONNECTION, Callbacks::on_connection, server.get(),
      MHD_OPTION_NOTIFY_COMPLETED, Callbacks::on_completed, server.get(),
      MHD_OPTION_URI_LOG_CALLBACK, Callbacks::on_target, server.get(), MHD_OPTION_ARRAY,
      more.data(), MHD_OPTION_END);
  if (!server->daemon_)
    return failure(fmt::format("cannot serve HTTP on {}: {}", clean_text(options.address, 100),
                               std::strerror(errno)));
  listener.release();  // the library closes it when it stops
  server->socket_file_ = std::move(file);
  server->sweep();
  return server;
}

// Comes back every few seconds until the workers stop.
void HttpServer::sweep() {
  uint64_t now_ns = monotonic_ns();
  connections_.expire(now_ns, kSilentNs);
  handlers_.post([this] { sweep(); }, now_ns + kSweepNs);
}

// Nothing may be suspended when the library stops.
HttpServer::~HttpServer() {
  stopping_ = true;
  logins_.stop();
  handlers_.stop();
  if (daemon_) MHD_stop_daemon(daemon_);
}

}  // namespace loopsight
