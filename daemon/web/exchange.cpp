#include "daemon/web/exchange.h"

#include <fmt/format.h>
#include <microhttpd.h>
#include <spdlog/spdlog.h>
#include <strings.h>

#include <cstring>
#include <ctime>
#include <exception>
#include <utility>

#include "daemon/web/gzip.h"

namespace loopsight {
namespace {

constexpr int kMaxParked = 16;
constexpr size_t kGzipFromBytes = 1024;

using Headers = std::vector<std::pair<std::string, std::string>>;

uint64_t monotonic_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

MHD_Result collect_parameter(void* context, MHD_ValueKind /*kind*/, const char* key,
                             const char* value) {
  static_cast<HttpRequest*>(context)->query.emplace_back(key, value ? value : "");
  return MHD_YES;
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

const char* Exchange::header(const char* name) const {
  const char* value = MHD_lookup_connection_value(connection_, MHD_HEADER_KIND, name);
  return value ? value : "";
}

bool Exchange::begin(const char* path, const char* method) {
  settings_ = server_.settings_.current(monotonic_ns());
  // What has a body, or is another method, is answered at once: its rest is not read.
  if (std::strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
      std::strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
    response_ = refusal(MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
    response_.headers.emplace_back(MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return send();
  }
  std::string length = header(MHD_HTTP_HEADER_CONTENT_LENGTH);
  if ((!length.empty() && length != "0") || *header(MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
    response_ = refusal(MHD_HTTP_BAD_REQUEST, "a request here has no body");
    return send();
  }
  request_ = {
      .path = path, .arrived_ns = monotonic_ns(), .is_authenticated = settings_->authenticates()};
  MHD_get_connection_values(connection_, MHD_GET_ARGUMENT_KIND, collect_parameter, &request_);
  gzip_ = accepts_gzip(header(MHD_HTTP_HEADER_ACCEPT_ENCODING));
  if (settings_->passwords.required()) {
    char* password = nullptr;
    char* user = MHD_basic_auth_get_username_password(connection_, &password);
    if (user) user_ = user;
    if (password) password_ = password;
    has_user_ = user != nullptr && password != nullptr;
    MHD_free(user);
    MHD_free(password);
  }
  return true;
}

bool Exchange::proceed() {
  if (made_) return send();
  Passwords& passwords = settings_->passwords;
  bool allowed = !passwords.required() || (has_user_ && passwords.remembers(user_, password_));
  if (!allowed && !has_user_) {
    refuse_user();
    return send();
  }
  // Suspended before it is handed over: the other thread may be done at once.
  if (server_.stopping_) return false;
  MHD_suspend_connection(connection_);
  bool taken = allowed ? server_.handlers_.post([this] { run_handler(); })
                       : server_.passwords_.post([this] { check_password(); });
  if (taken) return true;
  HttpResponse busy = refusal(MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests at once");
  busy.headers.emplace_back(MHD_HTTP_HEADER_RETRY_AFTER, "1");
  finish(std::move(busy));
  return true;
}

void Exchange::refuse_user() {
  response_ = refusal(MHD_HTTP_UNAUTHORIZED, "unauthorized");
  response_.headers.emplace_back(MHD_HTTP_HEADER_WWW_AUTHENTICATE,
                                 "Basic realm=\"loopsight\", charset=\"UTF-8\"");
}

void Exchange::check_password() {
  if (server_.stopping_) return finish(refusal(MHD_HTTP_SERVICE_UNAVAILABLE, "stopping"));
  // One that waited behind the same password's first check is known by now.
  Passwords& passwords = settings_->passwords;
  if (!passwords.remembers(user_, password_) && !passwords.verify(user_, password_)) {
    refuse_user();
    return finish(std::move(response_));
  }
  if (!server_.handlers_.post([this] { run_handler(); }))
    finish(refusal(MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests at once"));
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
  finish(refusal(MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests wait already"));
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
