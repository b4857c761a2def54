// What polled and was judged to be no loop, so that nothing that was looked at is passed over in
// silence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/event/event.h"
#include "daemon/python/frame.h"
#include "daemon/totals/summary.h"

namespace loopsight {

class RefusedPollers {
 public:
  // Bounds: the newest processes, and of each the first kinds of poll calls.
  static constexpr size_t kMostProcesses = 64;
  static constexpr size_t kMostOfOne = 8;

  void on_refused(const PollerSeen& poller, const std::string& reason,
                  const std::vector<Frame>& frames);
  // A CPython process is watched; it is said where none of its threads ever polls.
  void on_process(const ProcessFacts& facts);

  std::vector<NoLoop> list() const;  // in the order of pids

 private:
  NoLoop* find(uint32_t tgid);
  std::map<uint32_t, NoLoop> processes_;
};

}  // namespace loopsight
