#include "daemon/attribute/code_objects.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "daemon/attribute/line_table.h"
#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxCodes = 65536;
constexpr size_t kMaxName = 256;

void append_utf8(std::string& text, uint32_t point) {
  auto byte = [&](uint32_t value) { text += static_cast<char>(value); };
  if (point < 0x80) {
    byte(point);
  } else if (point < 0x800) {
    byte(0xC0 | point >> 6);
    byte(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    byte(0xE0 | point >> 12);
    byte(0x80 | (point >> 6 & 0x3F));
    byte(0x80 | (point & 0x3F));
  } else if (point < 0x110000) {
    byte(0xF0 | point >> 18);
    byte(0x80 | (point >> 12 & 0x3F));
    byte(0x80 | (point >> 6 & 0x3F));
    byte(0x80 | (point & 0x3F));
  } else {
    text += '?';
  }
}

// The end of ".../lib/python3.11/" or ".../lib64/python3.11/" in a path, npos where there is none.
size_t library_root_end(std::string_view path) {
  for (size_t at = path.find("/python3"); at != std::string_view::npos;
       at = path.find("/python3", at + 1)) {
    std::string_view before = path.substr(0, at);
    if (!before.ends_with("/lib") && !before.ends_with("/lib64")) continue;
    size_t slash = path.find('/', at + 1);
    if (slash == std::string_view::npos) continue;
    std::string_view version = path.substr(at + 8, slash - at - 8);
    bool plain = std::all_of(version.begin(), version.end(),
                             [](char c) { return (c >= '0' && c <= '9') || c == '.' || c == 't'; });
    if (plain) return slash + 1;
  }
  return std::string_view::npos;
}

}  // namespace

std::string decode_text(const ls_text& text) {
  // Bits 2 to 4 of the state word are the bytes of a character.
  size_t kind = text.state >> 2 & 7;
  if (kind != 1 && kind != 2 && kind != 4) return "";
  size_t count = std::min<size_t>(text.length, sizeof(text.bytes) / kind);
  std::string utf8;
  for (size_t i = 0; i < count; i++) {
    uint32_t point = 0;
    std::memcpy(&point, text.bytes + i * kind, kind);
    append_utf8(utf8, point);
  }
  if (count < text.length) utf8 += "\xE2\x80\xA6";
  return clean_text(utf8, kMaxName);
}

bool is_library_file(const std::string& filename) {
  return filename.starts_with("<frozen ") ||
         filename.find("/site-packages/") != std::string::npos ||
         filename.find("/dist-packages/") != std::string::npos ||
         library_root_end(filename) != std::string_view::npos;
}

std::string module_name(const std::string& filename) {
  std::string_view path = filename;
  if (path.starts_with("<frozen ") && path.ends_with(">"))
    return std::string(path.substr(8, path.size() - 9));
  if (path.starts_with("<")) return std::string(path);
  size_t root = std::string_view::npos;
  for (std::string_view packages : {"/site-packages/", "/dist-packages/"})
    if (size_t at = path.rfind(packages); at != std::string_view::npos) root = at + packages.size();
  if (root == std::string_view::npos) root = library_root_end(path);
  if (root == std::string_view::npos) {
    size_t slash = path.rfind('/');
    root = slash == std::string_view::npos ? 0 : slash + 1;
    // Of a package's own file the folder says more.
    if (path.substr(root) == "__init__.py" && root > 1) {
      size_t parent = path.rfind('/', root - 2);
      root = parent == std::string_view::npos ? 0 : parent + 1;
    }
  }
  std::string module(path.substr(root));
  if (module.ends_with(".py")) module.resize(module.size() - 3);
  if (module.ends_with("/__init__")) module.resize(module.size() - 9);
  std::replace(module.begin(), module.end(), '/', '.');
  return module;
}

void CodeObjects::on_code(const ls_code& record) {
  std::pair<uint32_t, uint64_t> key{record.header.tgid, record.code};
  if (codes_.size() >= kMaxCodes && !codes_.contains(key)) return;
  size_t size = std::min<size_t>(record.lines_size, sizeof(record.lines));
  codes_[key] = {.function = decode_text(record.name),
                 .filename = decode_text(record.filename),
                 .adaptive = record.adaptive,
                 .first_line = record.first_line,
                 .lines = std::string(reinterpret_cast<const char*>(record.lines), size)};
}

void CodeObjects::on_exit(uint32_t tgid) {
  codes_.erase(codes_.lower_bound({tgid, 0}), codes_.upper_bound({tgid, UINT64_MAX}));
}

std::vector<Frame> CodeObjects::resolve(uint32_t tgid, int minor, const ls_stack& stack) const {
  std::vector<Frame> frames;
  for (uint32_t i = 0; i < std::min<uint32_t>(stack.count, LS_MAX_FRAMES); i++) {
    auto found = codes_.find({tgid, stack.frames[i].code});
    if (found == codes_.end()) continue;
    const Code& code = found->second;
    uint64_t raw = stack.frames[i].instruction;
    // An index of bytes to 3.9, of code units in 3.10, an address from 3.11 on.
    uint64_t offset = minor <= 9    ? raw & 0xFFFFFFFF
                      : minor == 10 ? (raw & 0xFFFFFFFF) * 2
                                    : raw - code.adaptive;
    auto line = find_line(minor, code.lines, code.first_line, offset);
    frames.push_back({.function = code.function,
                      .module = module_name(code.filename),
                      .file = code.filename,
                      .line = line.value_or(code.first_line)});
  }
  return frames;
}

}  // namespace loopsight
