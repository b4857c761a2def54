#include "daemon/config/web_config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "daemon/base/fd.h"
#include "daemon/base/text.h"
#include "daemon/config/bcrypt.h"
#include "daemon/config/yaml_tree.h"

namespace loopsight {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxUsers = 1000;
constexpr size_t kShownBytes = 80;

constexpr std::array kClientAuths = {
    std::pair{"NoClientCert", ClientAuth::kNone},
    std::pair{"RequestClientCert", ClientAuth::kRequest},
    std::pair{"RequireAnyClientCert", ClientAuth::kRequireAny},
    std::pair{"RequireClientCert", ClientAuth::kRequireAny},  // its former name
    std::pair{"VerifyClientCertIfGiven", ClientAuth::kVerifyIfGiven},
    std::pair{"RequireAndVerifyClientCert", ClientAuth::kRequireAndVerify}};
constexpr std::array kVersions = {std::pair{"TLS10", 10}, std::pair{"TLS11", 11},
                                  std::pair{"TLS12", 12}, std::pair{"TLS13", 13}};
constexpr std::array kCurves = {std::pair{"X25519", 0}, std::pair{"CurveP256", 0},
                                std::pair{"CurveP384", 0}, std::pair{"CurveP521", 0}};
constexpr std::array kHeaders = {"Content-Security-Policy", "X-Frame-Options",
                                 "X-Content-Type-Options", "X-XSS-Protection",
                                 "Strict-Transport-Security"};

using Node = YamlNode;

// Thrown and caught in this file only.
struct Refused {
  size_t line;
  size_t column;
  std::string what;
};

[[noreturn]] void refuse(const Node& node, std::string what) {
  throw Refused{node.line, node.column, std::move(what)};
}

bool is_text(const Node& node) { return node.kind == Node::Kind::kScalar; }

template <typename Table>
std::string names_of(const Table& table) {
  std::vector<std::string> names;
  names.reserve(table.size());
  for (const auto& [name, value] : table) names.emplace_back(name);
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string shown(const Node& node) {
  return is_text(node) ? clean_text(node.text, kShownBytes) : "?";
}

std::string text_of(const Node& node, const std::string& key) {
  if (!is_text(node)) refuse(node, fmt::format("{} must be a text", key));
  if (node.text.find('\0') != std::string::npos)
    refuse(node, fmt::format("{} holds a zero byte", key));
  return node.text;
}

bool flag_of(const Node& node, const std::string& key) {
  // As YAML 1.1 has them, and the exporters.
  constexpr std::array<std::string_view, 4> kTrue = {"true", "yes", "on", "y"};
  constexpr std::array<std::string_view, 4> kFalse = {"false", "no", "off", "n"};
  std::string word = is_text(node) && !node.quoted ? node.text : "";
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  });
  bool value = std::find(kTrue.begin(), kTrue.end(), word) != kTrue.end();
  if (!value && std::find(kFalse.begin(), kFalse.end(), word) == kFalse.end())
    refuse(node, fmt::format("{} must be true or false", key));
  return value;
}

template <typename Table>
auto choice_of(const Node& node, const std::string& key, const Table& table) {
  std::string text = text_of(node, key);
  for (const auto& [name, value] : table)
    if (text == name) return value;
  refuse(node, fmt::format("{}: no '{}'; there are {}", key, shown(node), names_of(table)));
}

// Calls `take(key, key's node, value)` for each entry.
template <typename Take>
void each_entry(const Node& map, const std::string& section, Take take) {
  if (map.kind == Node::Kind::kNull) return;
  if (map.kind != Node::Kind::kMap)
    refuse(map, fmt::format("{} must be a mapping of keys to values", section));
  for (size_t i = 0; i < map.keys.size(); i++) {
    std::string key = text_of(map.keys[i], "a key");
    take(key, map.keys[i], map.items[i]);
  }
}

[[noreturn]] void unknown_key(const Node& node, const std::string& section,
                              std::string_view known) {
  refuse(node, fmt::format("unknown key '{}' in {}; there are {}", shown(node), section, known));
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  WebConfig read(const Node& root) {
    each_entry(root, "the file", [&](const std::string& key, const auto& name, const auto& value) {
      if (key == "tls_server_config")
        read_tls(value);
      else if (key == "http_server_config")
        read_http(value);
      else if (key == "basic_auth_users")
        read_users(value);
      else if (key == "rate_limit")
        warn(name, "rate_limit has no effect: connections and their time are bounded already");
      else
        unknown_key(name, "the file",
                    "tls_server_config, http_server_config, basic_auth_users, rate_limit");
    });
    return std::move(config_);
  }

 private:
  void warn(const Node& node, const std::string& what) {
    config_.warnings.push_back(
        fmt::format("{}:{}:{}: {}", clean_text(path_, 300), node.line, node.column, what));
  }

  // Relative to the configuration's own folder.
  std::string path_of(const Node& node, const std::string& key) const {
    std::string file = text_of(node, key);
    if (file.empty()) refuse(node, fmt::format("{} must be the path of a file", key));
    size_t slash = path_.rfind('/');
    if (file.front() == '/' || slash == std::string::npos) return file;
    return path_.substr(0, slash + 1) + file;
  }

  void read_pem(PemSource& source, const std::string& key, const Node& name, const Node& value) {
    if (source.is_set())
      refuse(name, fmt::format("{}: it is given twice, inline and as a file", key));
    if (key.ends_with("_file"))
      source.file = path_of(value, key);
    else if (source.text = text_of(value, key); source.text.empty())
      refuse(value, fmt::format("{} must be a text in PEM format", key));
  }

  void read_tls(const Node& section) {
    TlsConfig tls;
    bool any = false;
    each_entry(section, "tls_server_config",
               [&](const std::string& key, const auto& name, const auto& value) {
                 any = true;
                 read_tls_entry(tls, key, name, value);
               });
    if (!any) return;
    if (!tls.certificate.is_set()) refuse(section, "tls_server_config has no cert_file");
    if (!tls.key.is_set()) refuse(section, "tls_server_config has no key_file");
    bool verifies = tls.client_auth == ClientAuth::kVerifyIfGiven ||
                    tls.client_auth == ClientAuth::kRequireAndVerify;
    if (verifies && !tls.client_ca.is_set())
      refuse(section, "client_auth_type asks to verify client certificates: give client_ca_file");
    if (tls.client_ca.is_set() && tls.client_auth == ClientAuth::kNone)
      refuse(section,
             "client_ca_file has no effect without client_auth_type; give "
             "RequireAndVerifyClientCert");
    if (tls.min_version > tls.max_version) refuse(section, "min_version is above max_version");
    config_.tls = std::move(tls);
  }

  void read_tls_entry(TlsConfig& tls, const std::string& key, const Node& name, const Node& value) {
    if (key == "cert" || key == "cert_file") return read_pem(tls.certificate, key, name, value);
    if (key == "key" || key == "key_file") return read_pem(tls.key, key, name, value);
    if (key == "client_ca" || key == "client_ca_file")
      return read_pem(tls.client_ca, key, name, value);
    if (key == "client_auth_type") {
      tls.client_auth = choice_of(value, key, kClientAuths);
    } else if (key == "min_version") {
      tls.min_version = choice_of(value, key, kVersions);
    } else if (key == "max_version") {
      tls.max_version = choice_of(value, key, kVersions);
    } else if (key == "prefer_server_cipher_suites") {
      tls.prefer_server_suites = flag_of(value, key);
    } else if (key == "curve_preferences") {
      if (value.kind != Node::Kind::kList) refuse(value, "curve_preferences must be a list");
      for (const Node& curve : value.items) {
        (void)choice_of(curve, key, kCurves);
        tls.curves.push_back(curve.text);
      }
    } else if (key == "cipher_suites") {
      refuse(name,
             "cipher_suites cannot be chosen here; leave it out, or ask for TLS13 by "
             "min_version");
    } else if (key == "client_allowed_sans") {
      refuse(name,
             "client_allowed_sans is not checked here; sign the clients that may come by a "
             "client_ca_file of their own");
    } else {
      unknown_key(name, "tls_server_config",
                  "cert_file, key_file, client_auth_type, client_ca_file, cert, key, client_ca, "
                  "min_version, max_version, curve_preferences, prefer_server_cipher_suites");
    }
  }

  void read_http(const Node& section) {
    each_entry(section, "http_server_config",
               [&](const std::string& key, const auto& name, const auto& value) {
                 if (key == "http2") {
                   if (flag_of(value, key)) warn(name, "http2: HTTP/1.1 is what is served");
                 } else if (key == "headers") {
                   read_headers(value);
                 } else {
                   unknown_key(name, "http_server_config", "http2, headers");
                 }
               });
  }

  void read_headers(const Node& section) {
    each_entry(
        section, "headers", [&](const std::string& key, const auto& name, const auto& value) {
          if (std::find(kHeaders.begin(), kHeaders.end(), key) == kHeaders.end())
            unknown_key(name, "headers", fmt::format("{}", fmt::join(kHeaders, ", ")));
          std::string text = text_of(value, key);
          if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20; }))
            refuse(value, fmt::format("{} must be one line", key));
          if (key == "X-Content-Type-Options" && !text.empty() && text != "nosniff")
            refuse(value, "X-Content-Type-Options can only be nosniff");
          if (key == "X-Frame-Options" && !text.empty() && text != "deny" && text != "sameorigin")
            refuse(value, "X-Frame-Options can only be deny or sameorigin");
          if (!text.empty()) config_.headers.emplace_back(key, text);
        });
  }

  void read_users(const Node& section) {
    each_entry(section, "basic_auth_users",
               [&](const std::string& key, const auto& name, const auto& value) {
                 if (key.empty() || key.find(':') != std::string::npos)
                   refuse(name, "a user's name must not be empty or hold a colon");
                 if (config_.users.size() >= kMaxUsers)
                   refuse(name, fmt::format("more than {} users", kMaxUsers));
                 std::string hash = text_of(value, "a user's password");
                 if (!is_bcrypt(hash))
                   refuse(
                       value,
                       fmt::format("the password of '{}' must be a bcrypt hash of a cost from 4 to "
                                   "{}, as 'htpasswd -nBC 10 USER' prints",
                                   clean_text(key, kShownBytes), kMaxBcryptCost));
                 config_.users[key] = hash;
               });
  }

  const std::string& path_;
  WebConfig config_;
};

}  // namespace

Result<std::string> read_small_file(const std::string& path) {
  auto failed = [&](const char* why) {
    return failure(fmt::format("cannot read {}: {}", clean_text(path, 300), why));
  };
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return failed(std::strerror(errno));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return failed(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return failed("it is no regular file");
  std::string text(kMaxFileBytes + 1, '\0');
  size_t filled = 0;
  while (filled < text.size()) {
    ssize_t got = read(fd.get(), text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(std::strerror(errno));
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  if (filled > kMaxFileBytes) return failed("it is larger than 1 MiB");
  text.resize(filled);
  return text;
}

Result<WebConfig> parse_web_config(const std::string& text, const std::string& path) {
  auto root = parse_yaml(path, text);
  if (!root) return tl::make_unexpected(root.error());
  try {
    return Reader(path).read(*root);
  } catch (const Refused& refused) {
    return tl::make_unexpected(yaml_error(path, refused.line, refused.column, refused.what));
  }
}

Result<WebConfig> read_web_config(const std::string& path) {
  auto text = read_small_file(path);
  if (!text) return tl::make_unexpected(text.error());
  return parse_web_config(*text, path);
}

}  // namespace loopsight
