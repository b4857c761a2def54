#include "daemon/attribute/code_judge.h"

namespace loopsight {

void CodeJudge::on_facts(const ProcessFacts& facts) {
  if (facts.application.empty())
    applications_.erase(facts.tgid);
  else
    applications_[facts.tgid] = facts.application;
}

JudgedCode CodeJudge::judge(std::vector<Frame>& frames, uint32_t tgid, std::string_view workload,
                            std::optional<size_t> outside) const {
  CodeContext context{.loops = names_.loops, .outside = outside};
  for (const WorkloadCode& one : names_.of_workloads) {
    if (one.name.empty() ? !one.match.found_in(workload) : one.name != workload) continue;
    context.patterns.push_back(&one.code);
    break;
  }
  context.patterns.push_back(&names_.all);
  if (auto known = applications_.find(tgid); known != applications_.end())
    context.application = known->second;
  return judge_code(frames, context);
}

const Frame* CodeJudge::find_culprit(std::vector<Frame>& frames, uint32_t tgid,
                                     std::string_view workload) const {
  JudgedCode judged = judge(frames, tgid, workload);
  return judged.culprit ? &frames[*judged.culprit] : nullptr;
}

}  // namespace loopsight
