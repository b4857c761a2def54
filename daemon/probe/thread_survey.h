// One look of the kernel at all threads of a process: which of them runs, and what each other one
// waits for since when. Attaches nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "bpf/survey_wire.h"
#include "daemon/base/result.h"

namespace loopsight {

class ThreadSurvey {
 public:
  // Errors: no rights, no type information of the kernel, another PID namespace, the kernel refuses
  // the program.
  static Result<ThreadSurvey> open();
  ThreadSurvey(ThreadSurvey&&) noexcept;
  ThreadSurvey& operator=(ThreadSurvey&&) noexcept;
  ~ThreadSurvey();

  // The threads of a process; none where it is gone. `polled` says, by thread, which descriptor a
  // poll or select of its waits for: what that is is told only then. Errors: the kernel refuses.
  Result<std::vector<ls_surveyed>> look(uint32_t tgid, const std::map<uint32_t, int>& polled = {});

 private:
  struct State;
  explicit ThreadSurvey(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace loopsight
