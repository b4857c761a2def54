// Stalls in, reports out: the cause with the largest share, what was waited for, who is to blame.
#pragma once

#include <string>

#include "daemon/attribute/report.h"
#include "daemon/attribute/sources.h"
#include "daemon/python/code_objects.h"

namespace loopsight {

class Attributor {
 public:
  Attributor(const Workloads& workloads, const CodeObjects& codes, const Sources& sources)
      : workloads_(workloads), codes_(codes), sources_(sources) {}

  StallReport on_stall(const Stall& stall) const;

 private:
  // A part of the busy phase whose code was seen.
  struct Slice {
    const StackSample* sample = nullptr;
    std::vector<Frame> frames;
    Frame culprit;
    uint64_t ns = 0;
    uint32_t cause = LS_CAUSE_CPU;
  };
  std::vector<Slice> find_slices(StallReport& report, int minor) const;
  std::optional<WaitedFor> find_waited_for(const Stall& stall, int minor) const;
  static void name_probed(StallReport& report);
  void name_code(const std::vector<Slice>& slices, StallReport& report) const;

  const Workloads& workloads_;
  const CodeObjects& codes_;
  const Sources& sources_;
};

// The name of a system call on this processor; "syscall 451" where it has none here.
std::string syscall_name(int number);

// What a wait was for, as a person would write it; nothing where it is not known.
std::optional<std::string> describe_target(const ls_wait& wait);

}  // namespace loopsight
