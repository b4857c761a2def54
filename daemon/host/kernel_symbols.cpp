#include "daemon/host/kernel_symbols.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace loopsight {
namespace {

// No function of the kernel is longer; what is farther from its symbol is in something without one.
constexpr uint64_t kLongestFunction = 1 << 20;
constexpr size_t kMostSymbols = 2'000'000;

}  // namespace

KernelSymbols::KernelSymbols(const std::string& path)
    : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}

void KernelSymbols::read() {
  is_read_ = true;
  if (!file_) return;
  std::array<char, 65536> buffer;
  std::string line;
  // "ffffffff81000000 T _text", of a module with "\t[name]" after it.
  auto take_line = [&](std::string_view text) {
    uint64_t address = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), address, 16);
    if (error != std::errc() || address == 0) return;
    std::string_view rest = text.substr(static_cast<size_t>(end - text.data()));
    if (rest.size() < 4 || rest[0] != ' ' || rest[2] != ' ') return;
    if (std::string_view("tTwW").find(rest[1]) == std::string_view::npos) return;
    std::string_view name = rest.substr(3, rest.find('\t') - 3);
    if (symbols_.size() >= kMostSymbols) return;
    symbols_.push_back({.address = address, .name = static_cast<uint32_t>(names_.size())});
    names_ += name;
    names_ += '\0';
  };
  for (ssize_t count; (count = ::read(file_.get(), buffer.data(), buffer.size())) > 0;) {
    std::string_view rest(buffer.data(), static_cast<size_t>(count));
    for (size_t end; (end = rest.find('\n')) != std::string_view::npos;
         rest.remove_prefix(end + 1)) {
      line += rest.substr(0, end);
      take_line(line);
      line.clear();
    }
    line += rest;
  }
  file_ = Fd();
  std::stable_sort(symbols_.begin(), symbols_.end(),
                   [](const Symbol& a, const Symbol& b) { return a.address < b.address; });
  symbols_.shrink_to_fit();
  names_.shrink_to_fit();
}

std::string KernelSymbols::find(uint64_t address) {
  if (!is_read_) read();
  auto after = std::upper_bound(
      symbols_.begin(), symbols_.end(), address,
      [](uint64_t wanted, const Symbol& symbol) { return wanted < symbol.address; });
  if (after == symbols_.begin()) return "";
  const Symbol& symbol = *std::prev(after);
  if (address - symbol.address > kLongestFunction) return "";
  // "" ends at its '\0'; compilers append parts like ".constprop.0" to the names of clones.
  std::string name = names_.c_str() + symbol.name;
  return name.substr(0, name.find('.'));
}

}  // namespace loopsight
