#include "daemon/top/api_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxBody = 32 << 20;
constexpr std::string_view kLocalPrefix = "unix:";
constexpr long kConnectMs = 2000;
constexpr long kWholeMs = 8000;

size_t take(const char* data, size_t size, size_t count, void* context) {
  auto* body = static_cast<std::string*>(context);
  if (body->size() + size * count > kMaxBody) return 0;  // ends the transfer with an error
  body->append(data, size * count);
  return size * count;
}

}  // namespace

void ApiClient::Closer::operator()(void* curl) const { curl_easy_cleanup(curl); }

Result<ApiClient> ApiClient::create(ApiOptions options) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  CURL* curl = curl_easy_init();
  if (!curl) return failure("cannot set up the HTTP client");
  while (options.url.ends_with('/')) options.url.pop_back();
  return ApiClient(std::move(options), curl);
}

Result<std::string> ApiClient::get(const std::string& path) {
  CURL* curl = curl_.get();
  std::string body;
  bool is_local = options_.url.starts_with(kLocalPrefix);
  std::string url = (is_local ? "http://localhost" : options_.url) + path;
  std::string socket_path = is_local ? options_.url.substr(kLocalPrefix.size()) : "";
  curl_easy_reset(curl);
  if (is_local) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectMs);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, kWholeMs);
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_OPTIONAL));
  curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
  if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  CURLcode code = curl_easy_perform(curl);
  std::string where = shown_url(options_.url);
  if (code != CURLE_OK)
    return failure(fmt::format("no answer from {}: {}", where, curl_easy_strerror(code)));
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200)
    return failure(fmt::format("{} answers {} with status {}", where, path, status));
  return body;
}

std::string shown_url(const std::string& url) {
  size_t scheme = url.find("://");
  size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  size_t at = url.rfind('@', url.find('/', begin));
  std::string shown = url;
  if (at != std::string::npos && at >= begin) shown.erase(begin, at + 1 - begin);
  return clean_text(shown, 100);
}

}  // namespace loopsight
