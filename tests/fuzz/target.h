// What fuzz targets share. A target is a function of the input's bytes that may return, and do
// nothing else: no crash, no sanitizer's complaint, no failed assertion, no long time.
//
//   FUZZ_TARGET(name, input) { parse(input); }
//
// Under libFuzzer it is the program's entry; else it is registered for replay.cpp.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>

#include "daemon/base/fd.h"

namespace loopsight::fuzz {

using Target = void (*)(std::string_view input);
inline std::map<std::string, Target>& targets() {
  static std::map<std::string, Target> all;
  return all;
}

// Stays on where NDEBUG is.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Takes values off the input; zeros where it is used up.
class Bytes {
 public:
  explicit Bytes(std::string_view input) : rest_(input) {}
  bool is_empty() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

  template <typename Value>
  Value take() {
    static_assert(std::is_trivially_copyable_v<Value>);
    Value value{};
    size_t size = std::min(sizeof(value), rest_.size());
    if (size > 0) std::memcpy(&value, rest_.data(), size);
    rest_.remove_prefix(size);
    return value;
  }
  std::string_view take_text(size_t most) {
    std::string_view text = rest_.substr(0, most);
    rest_.remove_prefix(text.size());
    return text;
  }
  // Up to the separator, without it.
  std::string_view take_field(char separator) {
    size_t end = rest_.find(separator);
    std::string_view field = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return field;
  }

 private:
  std::string_view rest_;
};

// A regular file that is in memory only.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    require(fd_ && write(fd_.get(), content.data(), content.size()) ==
                       static_cast<ssize_t>(content.size()),
            "a file in memory");
  }
  int fd() const { return fd_.get(); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  Fd fd_;
};

}  // namespace loopsight::fuzz

#ifdef LOOPSIGHT_LIBFUZZER
#define LS_FUZZ_ENTRY(name)                                                 \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);  \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { \
    loopsight::fuzz_##name({reinterpret_cast<const char*>(data), size});    \
    return 0;                                                               \
  }
#else
#define LS_FUZZ_ENTRY(name)                               \
  [[maybe_unused]] static const bool kRegistered_##name = \
      loopsight::fuzz::targets().emplace(#name, loopsight::fuzz_##name).second;
#endif

#define FUZZ_TARGET(name, input)                   \
  namespace loopsight {                            \
  static void fuzz_##name(std::string_view input); \
  }                                                \
  LS_FUZZ_ENTRY(name)                              \
  static void loopsight::fuzz_##name(std::string_view input)
