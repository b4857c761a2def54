// Whose code it is, for each process: by what the configuration says of its workload, and by what
// it was started as.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/base/code_patterns.h"
#include "daemon/base/run_method_name.h"
#include "daemon/event/event.h"
#include "daemon/python/frame.h"
#include "daemon/python/own_code.h"

namespace loopsight {

// For the workload of that name; without one for those in whose name the pattern is found.
struct WorkloadCode {
  std::string name;
  Pattern match;
  CodePatterns code;
};

// What a user says of code.
struct CodeNames {
  CodePatterns all;
  // Of several for one workload the first counts, and before `all`.
  std::vector<WorkloadCode> of_workloads;
  std::vector<RunMethodName> loops;
};

class CodeJudge {
 public:
  void set_names(CodeNames names) { names_ = std::move(names); }
  void on_facts(const ProcessFacts& facts);
  void on_exit(uint32_t tgid) { applications_.erase(tgid); }

  // `outside`: the first frame above the loop, where that is known.
  JudgedCode judge(std::vector<Frame>& frames, uint32_t tgid, std::string_view workload,
                   std::optional<size_t> outside = std::nullopt) const;
  const Frame* find_culprit(std::vector<Frame>& frames, uint32_t tgid,
                            std::string_view workload) const;

 private:
  CodeNames names_;
  std::map<uint32_t, std::string> applications_;  // by tgid
};

}  // namespace loopsight
