// Stalls in, reports out: the cause with the largest share, what was waited for, who is to blame.
#pragma once

#include <string>

#include "daemon/attribute/code_objects.h"
#include "daemon/attribute/report.h"

namespace loopsight {

class Attributor {
 public:
  Attributor(const Workloads& workloads, const CodeObjects& codes)
      : workloads_(workloads), codes_(codes) {}

  StallReport on_stall(const Stall& stall) const;

 private:
  void refine_causes(StallReport& report) const;
  void name_code(const Stall& stall, StallReport& report) const;

  const Workloads& workloads_;
  const CodeObjects& codes_;
};

// The name of a system call on this processor; "syscall 451" where it has none here.
std::string syscall_name(int number);

// What a wait was for, as a person would write it; nothing where it is not known.
std::optional<std::string> describe_target(const ls_wait& wait);

}  // namespace loopsight
