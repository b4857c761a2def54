#include "daemon/web/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>

namespace loopsight {
namespace {

constexpr int kLevel = 3;
constexpr int kGzipWindow = 15 + 16;  // the largest window, in a gzip wrapper

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// "q=0", "q=0.000": not wanted.
bool is_refused(std::string_view parameter) {
  parameter = trimmed(parameter);
  if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) return false;
  return parameter.find_first_not_of("0.", 2) == std::string_view::npos;
}

bool is_gzip(std::string_view coding) {
  auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  for (std::string_view known : {"gzip", "x-gzip"})
    if (std::equal(coding.begin(), coding.end(), known.begin(), known.end(), same)) return true;
  return false;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    std::string_view entry = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    size_t semicolon = std::min(entry.find(';'), entry.size());
    if (!is_gzip(trimmed(entry.substr(0, semicolon)))) continue;
    return semicolon == entry.size() || !is_refused(entry.substr(semicolon + 1));
  }
  return false;
}

std::optional<std::string> gzip(const std::string& body) {
  z_stream stream{};
  if (deflateInit2(&stream, kLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    return std::nullopt;
  std::string packed(deflateBound(&stream, body.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  int status = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) return std::nullopt;
  return packed;
}

}  // namespace loopsight
