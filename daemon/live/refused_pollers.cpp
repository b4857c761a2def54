#include "daemon/live/refused_pollers.h"

#include <algorithm>
#include <iterator>

#include "daemon/attribute/wait_target.h"
#include "daemon/base/text.h"

namespace loopsight {

NoLoop* RefusedPollers::find(uint32_t tgid) {
  auto found = processes_.find(tgid);
  if (found != processes_.end()) return &found->second;
  if (processes_.size() >= kMostProcesses) processes_.erase(processes_.begin());
  NoLoop& process = processes_[tgid];
  process.pid = tgid;
  return &process;
}

void RefusedPollers::on_process(const ProcessFacts& facts) {
  NoLoop* process = find(facts.tgid);
  process->program = clean_text(facts.program.empty() ? facts.comm : facts.program, 64);
  process->python = clean_text(facts.python, 16);
}

void RefusedPollers::on_refused(const PollerSeen& poller, const std::string& reason,
                                const std::vector<Frame>& frames) {
  constexpr size_t kFrames = 3;
  NoLoop* process = find(poller.record.header.tgid);
  NoLoop::Poller seen{.tid = poller.record.header.tid,
                      .syscall = syscall_name(static_cast<int>(poller.record.poll_syscall)),
                      .reason = reason,
                      .frames = {frames.begin(), frames.begin() + static_cast<ptrdiff_t>(std::min(
                                                                      frames.size(), kFrames))}};
  auto alike = [&](const NoLoop::Poller& known) {
    return known.reason == seen.reason && known.syscall == seen.syscall &&
           known.frames.empty() == seen.frames.empty() &&
           (seen.frames.empty() || (known.frames[0].file == seen.frames[0].file &&
                                    known.frames[0].line == seen.frames[0].line));
  };
  auto known = std::find_if(process->pollers.begin(), process->pollers.end(), alike);
  if (known != process->pollers.end())
    known->times++;
  else if (process->pollers.size() < kMostOfOne)
    process->pollers.push_back(std::move(seen));
  else
    process->more++;
}

std::vector<NoLoop> RefusedPollers::list() const {
  std::vector<NoLoop> all;
  all.reserve(processes_.size());
  for (const auto& [tgid, process] : processes_) all.push_back(process);
  return all;
}

}  // namespace loopsight
