#include "daemon/web/request_head.h"

#include <algorithm>

namespace loopsight {
namespace {

bool is_control(unsigned char c) { return c < 0x20 || c == 0x7f; }

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

int hex_value(char c) {
  if (c <= '9') return c - '0';
  return (c | 0x20) - 'a' + 10;
}

bool same(std::string_view one, std::string_view other) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [&](char a, char b) { return lower(a) == lower(b); });
}

bool starts_like(std::string_view text, std::string_view start) {
  return same(text.substr(0, start.size()), start);
}

// RFC 9110's token.
bool is_name(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           kMarks.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

std::string target_fault(std::string_view target) {
  bool is_path = true;  // in front of the query
  for (size_t i = 0; i < target.size(); i++) {
    auto c = static_cast<unsigned char>(target[i]);
    if (is_control(c) || c == ' ') return "a control character or a space in the target";
    if (c == '?') is_path = false;
    if (c != '%') continue;
    if (i + 2 >= target.size() || !is_hex(target[i + 1]) || !is_hex(target[i + 2]))
      return "a '%' in the target without two hexadecimal digits behind it";
    auto byte =
        static_cast<unsigned char>(hex_value(target[i + 1]) * 16 + hex_value(target[i + 2]));
    if (is_control(byte)) return "an encoded control character in the target";
    if (is_path && (byte == '/' || byte == '\\')) return "an encoded slash in the path";
  }
  return "";
}

std::string header_fault(const RequestHead& head) {
  for (const auto& [name, value] : head.headers) {
    if (!is_name(name)) return "a header whose name is none";
    if (std::any_of(value.begin(), value.end(), [](char c) { return is_control(c) && c != '\t'; }))
      return "a control character in a header";
  }
  std::string_view length = head.header("Content-Length");
  bool has_length = head.count("Content-Length") > 0;
  for (const char* once : {"Content-Length", "Authorization"})
    if (head.count(once) > 1) return std::string("more than one ") + once;
  if (has_length && (length.empty() || length.find_first_not_of("0123456789") != length.npos))
    return "a length that is no number";
  if (has_length && head.count("Transfer-Encoding") > 0) return "a length and an encoding";
  return "";
}

}  // namespace

std::string_view RequestHead::header(std::string_view name) const {
  for (const auto& [have, value] : headers)
    if (same(have, name)) return value;
  return "";
}

size_t RequestHead::count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(headers.begin(), headers.end(), [&](const auto& header) {
    return same(header.first, name);
  }));
}

std::string RequestHead::fault() const {
  if (cut) return "a zero byte";
  if (!target.starts_with('/') && !authority()) return "a target that is no path";
  if (std::string fault = target_fault(target); !fault.empty()) return fault;
  return header_fault(*this);
}

std::optional<std::string_view> RequestHead::authority() const {
  std::string_view rest = target;
  for (std::string_view scheme : {"http://", "https://"})
    if (starts_like(rest, scheme)) {
      rest.remove_prefix(scheme.size());
      return rest.substr(0, rest.find_first_of("/?"));
    }
  return std::nullopt;
}

std::vector<std::string_view> RequestHead::hosts() const {
  std::vector<std::string_view> hosts;
  if (count("Host") != 1) return hosts;
  hosts.push_back(header("Host"));
  if (auto host = authority()) hosts.push_back(*host);
  return hosts;
}

bool RequestHead::is_of_another_site() const {
  std::string_view origin = header("Origin");
  if (!origin.empty()) {
    size_t scheme = origin.find("://");
    if (scheme == std::string_view::npos || !same(origin.substr(scheme + 3), header("Host")))
      return true;
  }
  std::string_view site = header("Sec-Fetch-Site");
  if (site.empty() || same(site, "same-origin") || same(site, "none")) return false;
  return !same(header("Sec-Fetch-Mode"), "navigate") || !same(header("Sec-Fetch-Dest"), "document");
}

}  // namespace loopsight
