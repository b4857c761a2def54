// The functions by which event loops run: what stands on the stack of a loop's thread while the
// loop runs, and below which it polls and calls what it runs. One table for all that asks for them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/run_method_name.h"
#include "daemon/event/event.h"
#include "daemon/python/frame.h"

namespace loopsight {

struct RunMethod {
  std::string_view module;  // "asyncio.base_events"; "" any
  std::string_view function;
  LoopKind kind = LoopKind::kUnknown;
  // The functions through which it polls, and nothing else, from here to the poll call. None: it
  // polls through any but `callback`.
  std::span<const std::string_view> polls;
  std::string_view callback;  // the function through which it calls what it runs
  // The functions that call it again and again: while one of them is on the stack the loop runs.
  std::span<const std::string_view> callers;
  bool by_self = false;    // its first argument is the loop
  bool greenlets = false;  // what it runs has stacks of its own
  // With nothing to poll on it sleeps, in the innermost of `polls` or itself.
  bool sleeps = false;
};

// The innermost loop whose run method is among some frames.
struct RunningLoop {
  LoopKind kind = LoopKind::kUnknown;
  size_t method = 0;   // index of the run method's frame
  size_t outer = 0;    // of the frame that is there as long as the loop runs
  bool polls = false;  // between it and the innermost frame is nothing but its way to poll
  bool by_self = false;
  bool greenlets = false;
  bool sleeps = false;
};

// `frames` from the innermost on. Nothing where no loop runs there.
std::optional<RunningLoop> find_running_loop(const std::vector<Frame>& frames,
                                             std::span<const RunMethodName> configured = {});

// Of a loop that sleeps with nothing to poll on: the index of the frame that then is the innermost.
size_t idle_frame(const RunningLoop& loop, const std::vector<Frame>& frames);

// True where the file of a frame is that of a module, wherever it lies: in a folder, in an archive,
// frozen, or named by a relative path.
bool is_of_module(std::string_view file, std::string_view module);

}  // namespace loopsight
