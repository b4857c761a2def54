#include "daemon/web/exchange.h"

#include <fmt/format.h>
#include <microhttpd.h>
#include <spdlog/spdlog.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <exception>
#include <utility>

#include "daemon/web/gzip.h"

namespace loopsight {
namespace {

constexpr int kMaxParked = 16;
constexpr size_t kGzipFromBytes = 1024;
constexpr size_t kMaxHeadBytes = 65536;  // more than the library has for a request
constexpr uint64_t kNsPerSecond = 1'000'000'000;
// Who reads it may be the page that asked: it names nothing of ours.
constexpr const char* kForeignHostText =
    "this server does not answer to the name that was asked for: ask by an IP address, as "
    "localhost "
    "or by the host's own name, or add the name to web.allowed_hosts in loopsight.yml "
    "(--web.allowed-host NAME)";

using Headers = std::vector<std::pair<std::string, std::string>>;

uint64_t monotonic_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * kNsPerSecond + static_cast<uint64_t>(time.tv_nsec);
}

MHD_Result collect_parameter(void* context, MHD_ValueKind /*kind*/, const char* key,
                             const char* value) {
  static_cast<HttpRequest*>(context)->query.emplace_back(key, value ? value : "");
  return MHD_YES;
}

// More than `most` bytes lie between two places of one request in the library's memory. It ends
// texts at their first zero byte; what stood behind one is such a gap.
bool has_gap(const char* end, const char* next, size_t most) {
  uintptr_t gap = reinterpret_cast<uintptr_t>(next) - reinterpret_cast<uintptr_t>(end);
  return gap > most && gap < kMaxHeadBytes;
}

struct HeaderScan {
  Headers& headers;
  const char* end;  // of the newest value
  bool cut = false;
};

MHD_Result collect_header(void* context, MHD_ValueKind /*kind*/, const char* name, size_t name_size,
                          const char* value, size_t value_size) {
  auto& scan = *static_cast<HeaderScan*>(context);
  if (!scan.headers.empty() && has_gap(scan.end, name, 2)) scan.cut = true;
  scan.headers.emplace_back(std::string(name, name_size),
                            value ? std::string(value, value_size) : "");
  scan.end = value ? value + value_size : name + name_size;
  return MHD_YES;
}

const sockaddr* address_of(MHD_Connection* connection) {
  static constexpr sockaddr kNone = {.sa_family = AF_UNSPEC, .sa_data = {}};
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  return info && info->client_addr ? info->client_addr : &kNone;
}

// Every answer has these unless it, or the web configuration file, says otherwise.
Headers common_headers() {
  return {{"X-Content-Type-Options", "nosniff"},
          {"X-Frame-Options", "deny"},
          {"Referrer-Policy", "no-referrer"},
          {"Cross-Origin-Resource-Policy", "same-origin"},
          {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
          {"Cache-Control", "no-store"}};
}

void put(Headers& headers, const Headers& more) {
  for (const auto& [name, value] : more) {
    std::erase_if(headers, [&](const auto& have) {
      return strcasecmp(have.first.c_str(), name.c_str()) == 0;
    });
    headers.emplace_back(name, value);
  }
}

}  // namespace

Exchange::Exchange(HttpServer& server, MHD_Connection* connection, const char* target)
    : server_(server),
      connection_(connection),
      head_{.target = target},
      target_end_(target + head_.target.size()) {}

bool Exchange::is_local() const { return address_of(connection_)->sa_family == AF_UNIX; }

std::string Exchange::client() const {
  if (!is_local()) return address_key(address_of(connection_));
  const auto* info = MHD_get_connection_info(connection_, MHD_CONNECTION_INFO_CONNECTION_FD);
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (!info || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return "";
  return fmt::format("user {}", peer.uid);
}

void Exchange::refuse(Refused reason, unsigned status, const std::string& text) {
  server_.refusals_.add(reason);
  response_ = refusal(status, text);
  // What follows on the connection may be a part of this request, or of what hid in it.
  if (reason == Refused::kMalformed)
    response_.headers.emplace_back(MHD_HTTP_HEADER_CONNECTION, "close");
}

// Whether the request as a whole is one that nobody gets an answer to, with or without a password.
bool Exchange::is_refused(const char* method) {
  if (std::string fault = head_.fault(); !fault.empty()) {
    refuse(Refused::kMalformed, MHD_HTTP_BAD_REQUEST, "malformed request: " + fault);
    return true;
  }
  auto hosts = head_.hosts();
  // No name leads to a local socket.
  if (!is_local() && (hosts.empty() || !std::all_of(hosts.begin(), hosts.end(), [&](auto host) {
                        return server_.names_.has(host);
                      }))) {
    refuse(Refused::kForeignHost, MHD_HTTP_MISDIRECTED_REQUEST, kForeignHostText);
    return true;
  }
  if (head_.is_of_another_site()) {
    refuse(Refused::kForeignSite, MHD_HTTP_FORBIDDEN,
           "another site's page may link to this one and ask for nothing else");
    return true;
  }
  // What has a body, or is another method, is answered at once: its rest is not read.
  if (std::strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
      std::strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
    refuse(Refused::kMethod, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
    response_.headers.emplace_back(MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return true;
  }
  std::string_view length = head_.header(MHD_HTTP_HEADER_CONTENT_LENGTH);
  if ((!length.empty() && length != "0") || head_.count(MHD_HTTP_HEADER_TRANSFER_ENCODING) > 0) {
    refuse(Refused::kMalformed, MHD_HTTP_BAD_REQUEST, "a request here has no body");
    return true;
  }
  return false;
}

void Exchange::read_credentials() {
  char* password = nullptr;
  char* user = MHD_basic_auth_get_username_password(connection_, &password);
  if (user) user_ = user;
  if (password) password_ = password;
  has_user_ = user != nullptr && password != nullptr;
  MHD_free(user);
  MHD_free(password);
}

void Exchange::read_head(const char* method, const char* version) {
  HeaderScan scan{.headers = head_.headers, .end = version};
  MHD_get_connection_values_n(connection_, MHD_HEADER_KIND, collect_header, &scan);
  const auto* size = MHD_get_connection_info(connection_, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  bool cut_at_end = size && !head_.headers.empty() &&
                    has_gap(scan.end, method + size->header_size, std::strlen("\r\n\r\n"));
  head_.cut = scan.cut || cut_at_end || has_gap(target_end_, version, 1);
}

bool Exchange::begin(const char* path, const char* method, const char* version) {
  settings_ = server_.settings_.current(monotonic_ns());
  read_head(method, version);
  if (is_refused(method)) return send();
  request_ = {.path = path,
              .arrived_ns = monotonic_ns(),
              .is_authenticated = settings_->authenticates() || is_local()};
  if (auto authority = head_.authority()) {  // one of our names, so that nothing in it was encoded
    auto end = static_cast<size_t>(authority->end() - std::string_view(head_.target).begin());
    request_.path.erase(0, end);
    if (request_.path.empty()) request_.path = "/";
  }
  MHD_get_connection_values(connection_, MHD_GET_ARGUMENT_KIND, collect_parameter, &request_);
  gzip_ = accepts_gzip(head_.header(MHD_HTTP_HEADER_ACCEPT_ENCODING));
  needs_user_ = settings_->passwords.required() &&
                !(server_.open_health_ && server_.routes_.is_health(request_.path));
  if (needs_user_) read_credentials();
  return true;
}

bool Exchange::proceed() {
  if (made_) return send();
  bool allowed = !needs_user_ || (has_user_ && settings_->passwords.remembers(user_, password_));
  if (!allowed && !has_user_) {
    refuse(Refused::kNoCredentials, MHD_HTTP_UNAUTHORIZED, "unauthorized");
    ask_for_user();
    return send();
  }
  if (!allowed) client_ = client();
  // Suspended before it is handed over: the other thread may be done at once.
  if (server_.stopping_) return false;
  MHD_suspend_connection(connection_);
  bool taken = allowed ? server_.handlers_.post([this] { run_handler(); })
                       : server_.logins_.post(client_, user_, [this] { check_password(); });
  if (!taken) finish_busy();
  return true;
}

void Exchange::ask_for_user() {
  response_.headers.emplace_back(MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                 "Basic realm=\"loopsight\", charset=\"UTF-8\"");
}

void Exchange::finish_busy() {
  refuse(Refused::kBusy, MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests at once");
  response_.headers.emplace_back(MHD_HTTP_HEADER_RETRY_AFTER, "1");
  finish(std::move(response_));
}

void Exchange::check_password() {
  if (server_.stopping_) return finish(refusal(MHD_HTTP_SERVICE_UNAVAILABLE, "stopping"));
  // One that waited behind the same password's first check is known by now.
  Passwords& passwords = settings_->passwords;
  if (passwords.remembers(user_, password_) || passwords.verify(user_, password_)) {
    if (!server_.handlers_.post([this] { run_handler(); })) finish_busy();
    return;
  }
  uint64_t wait_ns = server_.logins_.failed(client_);
  if (wait_ns == 0) {
    refuse(Refused::kWrongCredentials, MHD_HTTP_UNAUTHORIZED, "unauthorized");
    ask_for_user();
  } else {
    refuse(Refused::kTooManyLogins, MHD_HTTP_TOO_MANY_REQUESTS,
           "unauthorized, and too many wrong passwords from this address");
    response_.headers.emplace_back(MHD_HTTP_HEADER_RETRY_AFTER,
                                   std::to_string(wait_ns / kNsPerSecond + 1));
  }
  finish(std::move(response_));
}

void Exchange::run_handler() {
  if (parked_) server_.parked_--;
  parked_ = false;
  if (server_.stopping_) return finish(refusal(MHD_HTTP_SERVICE_UNAVAILABLE, "stopping"));
  HttpResponse response;
  try {
    response = server_.routes_.respond(request_);
  } catch (const std::exception& error) {  // out of memory, or a library's
    spdlog::error("no answer to {}: {}", request_.path, error.what());
    response = refusal(MHD_HTTP_INTERNAL_SERVER_ERROR, "internal error");
  }
  if (response.again_ns == 0) return finish(std::move(response));
  parked_ = true;
  if (server_.parked_++ < kMaxParked &&
      server_.handlers_.post([this] { run_handler(); }, response.again_ns))
    return;
  server_.parked_--;
  parked_ = false;
  finish_busy();
}

// Gives the connection back; nothing of this object may be touched after it.
void Exchange::finish(HttpResponse response) {
  response_ = std::move(response);
  if (gzip_ && response_.body.size() >= kGzipFromBytes)
    if (auto packed = gzip(response_.body)) {
      response_.body = std::move(*packed);
      response_.headers.emplace_back(MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
    }
  made_ = true;
  MHD_resume_connection(connection_);
}

bool Exchange::send() {
  Headers headers = common_headers();
  headers.emplace_back(MHD_HTTP_HEADER_CONTENT_TYPE, response_.content_type);
  headers.emplace_back(MHD_HTTP_HEADER_VARY, MHD_HTTP_HEADER_ACCEPT_ENCODING);
  put(headers, response_.headers);
  put(headers, settings_->headers);
  // The body is this object's, which outlives the answer.
  MHD_Response* raw = MHD_create_response_from_buffer(response_.body.size(), response_.body.data(),
                                                      MHD_RESPMEM_PERSISTENT);
  if (!raw) return false;
  for (const auto& [name, value] : headers)
    MHD_add_response_header(raw, name.c_str(), value.c_str());
  MHD_Result queued = MHD_queue_response(connection_, response_.status, raw);
  MHD_destroy_response(raw);
  return queued == MHD_YES;
}

}  // namespace loopsight
