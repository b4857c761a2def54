#include "daemon/python/running_loop.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "daemon/python/plumbing.h"
#include "daemon/python/python_objects.h"
#include "daemon/python/run_methods.h"

namespace loopsight {
namespace {

// Where a thread's own stack begins, which is no greenlet's then.
bool begins_thread(const Frame& frame) {
  constexpr std::array<std::string_view, 4> kBeginnings = {
      "<module>", "_bootstrap", "_bootstrap_inner", "_run_module_as_main"};
  return std::find(kBeginnings.begin(), kBeginnings.end(), last_name(frame.function)) !=
         kBeginnings.end();
}

}  // namespace

// Up to 3.12 the loop, or from 3.8 to 3.12.0 a holder of it, stands in the thread state's dict;
// from 3.13 on in the thread state itself (Modules/_asynciomodule.c).
std::string running_loop_type(const RemoteMemory& memory, const ls_python& python,
                              uint64_t thread) {
  PythonObjects objects(memory, python);
  uint64_t loop = 0;
  if (python.thread_loop != LS_NO_OFFSET) {
    loop = memory.word(thread + python.thread_loop);
  } else if (python.thread_dict != LS_NO_OFFSET) {
    uint64_t dict = memory.word(thread + python.thread_dict);
    loop = objects.item(dict, "__asyncio_running_event_loop__");
    if (loop != 0 && objects.type_name(loop).find("RunningLoopHolder") != std::string::npos)
      loop = memory.word(loop + python.object_bytes);
  }
  if (loop == 0) return "";
  std::string type = objects.type_name(loop);
  return type == "NoneType" ? "" : type;
}

HidingLibraries find_hiding_libraries(const std::vector<Mapping>& mappings) {
  HidingLibraries found;
  for (const Mapping& mapping : mappings) {
    if (mapping.path.find("/uvloop/") != std::string::npos) found.uvloop = true;
    if (mapping.path.find("/gevent/") != std::string::npos) found.gevent = true;
  }
  return found;
}

std::optional<HiddenLoop> find_hidden_loop(const std::vector<Frame>& frames,
                                           const std::string& loop_type, bool is_main,
                                           const HidingLibraries& libraries) {
  if (frames.empty()) return std::nullopt;
  bool in_greenlet = !begins_thread(frames.back());
  // uvloop.Loop, which may have subclasses; asyncio's own have a run method that would be seen.
  if (!loop_type.empty() && libraries.uvloop &&
      (loop_type == "Loop" || loop_type.find("uvloop") != std::string::npos || !in_greenlet))
    return HiddenLoop{.kind = LoopKind::kUvloop};
  if (!in_greenlet) return std::nullopt;
  if (!loop_type.empty()) return HiddenLoop{.kind = LoopKind::kAsyncio, .in_greenlet = true};
  if (is_of_module(frames.back().file, "eventlet.greenthread"))
    return HiddenLoop{.kind = LoopKind::kEventlet, .in_greenlet = true};
  if (libraries.gevent && is_main)
    return HiddenLoop{.kind = LoopKind::kGevent, .in_greenlet = true};
  return std::nullopt;
}

}  // namespace loopsight
