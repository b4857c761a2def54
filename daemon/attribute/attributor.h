// Stalls in, reports out: the cause with the largest share, what was waited for, who is to blame.
#pragma once

#include <string>

#include "daemon/attribute/code_judge.h"
#include "daemon/attribute/kernel_functions.h"
#include "daemon/attribute/report.h"
#include "daemon/attribute/sources.h"
#include "daemon/python/code_objects.h"

namespace loopsight {

class Attributor {
 public:
  Attributor(const Workloads& workloads, const CodeObjects& codes, const Sources& sources,
             const CodeJudge& judge, const KernelFunctions& kernel)
      : workloads_(workloads), codes_(codes), sources_(sources), judge_(judge), kernel_(kernel) {}

  StallReport on_stall(const Stall& stall) const;

 private:
  // A part of the busy phase whose code was seen.
  struct Slice {
    const StackSample* sample = nullptr;
    std::vector<Frame> frames;
    JudgedCode judged;
    uint64_t ns = 0;
    uint32_t cause = LS_CAUSE_CPU;

    const Frame* culprit() const { return judged.culprit ? &frames[*judged.culprit] : nullptr; }
  };
  std::vector<Slice> find_slices(StallReport& report, int minor) const;
  std::optional<WaitedFor> find_waited_for(const Stall& stall, int minor) const;
  void name_longest_wait(StallReport& report) const;
  static void name_probed(StallReport& report);
  static void name_wait(const std::vector<Slice>& slices, StallReport& report);
  void name_stack(const Slice& slice, StallReport& report) const;
  void blame_holder(const Slice& slice, StallReport& report) const;
  void name_code(const std::vector<Slice>& slices, StallReport& report) const;

  const Workloads& workloads_;
  const CodeObjects& codes_;
  const Sources& sources_;
  const CodeJudge& judge_;
  const KernelFunctions& kernel_;
};

}  // namespace loopsight
