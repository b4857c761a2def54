#include "daemon/python/plumbing.h"

#include "daemon/python/run_methods.h"

namespace loopsight {

std::string_view last_name(std::string_view function) {
  size_t dot = function.rfind('.');
  return dot == std::string_view::npos ? function : function.substr(dot + 1);
}

bool is_run_once(const Frame& frame) {
  return is_of_module(frame.file, "asyncio.base_events") &&
         last_name(frame.function) == "_run_once";
}

}  // namespace loopsight
