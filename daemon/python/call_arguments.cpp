#include "daemon/python/call_arguments.h"

#include <asm/unistd_64.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

namespace loopsight {
namespace {

constexpr uint64_t kMostPolled = 1024;

std::optional<int> first_of_poll(const RemoteMemory& memory, const ls_wait& wait) {
  std::vector<pollfd> polled(std::min<uint64_t>(wait.args[1], kMostPolled));
  if (polled.empty() || !memory.read(wait.args[0], polled.data(), polled.size() * sizeof(pollfd)))
    return std::nullopt;
  for (const pollfd& one : polled)
    if (one.fd >= 0) return one.fd;
  return std::nullopt;
}

// The read set first, then the write set; glibc's have 1,024 bits whatever nfds says.
std::optional<int> first_of_select(const RemoteMemory& memory, const ls_wait& wait) {
  for (size_t set = 1; set <= 2; set++) {
    std::array<uint64_t, 16> words{};
    size_t count = std::min<size_t>((std::min<uint64_t>(wait.args[0], 1024) + 63) / 64, 16);
    if (wait.args[set] == 0 || count == 0 ||
        !memory.read(wait.args[set], words.data(), count * sizeof(uint64_t)))
      continue;
    for (size_t i = 0; i < count; i++)
      if (words[i] != 0) return static_cast<int>(64 * i) + std::countr_zero(words[i]);
  }
  return std::nullopt;
}

}  // namespace

std::optional<int> polled_descriptor(const RemoteMemory& memory, const ls_wait& wait) {
  switch (wait.syscall) {
    case __NR_poll:
    case __NR_ppoll: return first_of_poll(memory, wait);
    case __NR_select:
    case __NR_pselect6: return first_of_select(memory, wait);
    default: return std::nullopt;
  }
}

std::string path_argument(const RemoteMemory& memory, const ls_wait& wait, bool is_second) {
  std::array<char, size_t{LS_PATH_NAMES} * LS_PATH_NAME_SIZE> text{};
  uint64_t address = wait.args[is_second ? 1 : 0];
  // It may end near the end of what is mapped: in pieces that do not cross a page.
  constexpr uint64_t kPage = 4096;
  size_t got = 0;
  while (got < text.size()) {
    uint64_t at = address + got;
    size_t size = std::min<size_t>(text.size() - got, kPage - at % kPage);
    if (!memory.read(at, text.data() + got, size)) break;
    auto end = std::find(text.begin() + static_cast<ptrdiff_t>(got),
                         text.begin() + static_cast<ptrdiff_t>(got + size), '\0');
    if (end != text.begin() + static_cast<ptrdiff_t>(got + size)) return {text.begin(), end};
    got += size;
  }
  return {text.data(), got};
}

}  // namespace loopsight
