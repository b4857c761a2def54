// The web configuration file that Prometheus exporters share: TLS, client certificates, users, a
// few headers. What it may say beyond what is served here is refused or warned of, never passed
// over.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/result.h"

namespace loopsight {

enum class ClientAuth { kNone, kRequest, kRequireAny, kVerifyIfGiven, kRequireAndVerify };

// The place of a PEM text: a file, or the configuration itself.
struct PemSource {
  std::string file;  // absolute or relative to the current folder; "" where `text` holds it
  std::string text;
  bool is_set() const { return !file.empty() || !text.empty(); }
};

struct TlsConfig {
  PemSource certificate;
  PemSource key;
  PemSource client_ca;
  ClientAuth client_auth = ClientAuth::kNone;
  int min_version = 12;  // 10 to 13
  int max_version = 13;
  std::vector<std::string> curves;  // as the file names them; none: the library's
  bool prefer_server_suites = true;
};

struct WebConfig {
  std::optional<TlsConfig> tls;
  std::vector<std::pair<std::string, std::string>> headers;
  std::map<std::string, std::string> users;  // bcrypt hashes
  std::vector<std::string> warnings;
};

// Errors: FILE:LINE:COLUMN, what is wrong, and what was expected.
Result<WebConfig> parse_web_config(const std::string& text, const std::string& path);
Result<WebConfig> read_web_config(const std::string& path);

// A text file of at most 1 MiB. Errors: cannot be read, no regular file, too large.
Result<std::string> read_small_file(const std::string& path);

}  // namespace loopsight
