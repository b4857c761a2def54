// When to look at a program that has just begun: before its loop runs its first callback, but not
// before its interpreter is there. A look that comes too early is made again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace loopsight {

class Beginnings {
 public:
  // All times by CLOCK_MONOTONIC. Of more than kMost programs that begin at once the others are met
  // at their first poll call.
  static constexpr size_t kMost = 1024;

  void on_exec(uint32_t tgid, uint64_t time_ns);
  void on_exit(uint32_t tgid) { begun_.erase(tgid); }
  // It need not be looked at again.
  void settle(uint32_t tgid) { begun_.erase(tgid); }

  // The programs that are to be looked at now.
  std::vector<uint32_t> due(uint64_t now_ns);
  // When due() has something next; UINT64_MAX: never.
  uint64_t next_ns() const;

 private:
  struct Program {
    uint64_t exec_ns = 0;
    size_t looks = 0;
    uint64_t due_ns = 0;
  };
  std::map<uint32_t, Program> begun_;  // by tgid
};

}  // namespace loopsight
