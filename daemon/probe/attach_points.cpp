#include "daemon/probe/attach_points.h"

#include <array>

namespace loopsight {
namespace {

constexpr std::array kEpollCalls = {"epoll_wait", "epoll_pwait", "epoll_pwait2"};
constexpr std::array kPollCalls = {"poll", "ppoll", "select", "pselect6"};
constexpr std::array kCreateCalls = {"epoll_create", "epoll_create1"};

// Of a program for one function, its call; else "".
std::string_view call_of_function(std::string_view program) {
  for (std::string_view suffix : {"_fn_in", "_fn_out"})
    if (program.ends_with(suffix)) return program.substr(0, program.size() - suffix.size());
  return "";
}

}  // namespace

ByFunction calls_by_function(const std::function<bool(const std::string&)>& can_attach) {
  ByFunction calls;
  auto try_call = [&](const char* call) {
    if (can_attach(std::string("__x64_sys_") + call)) calls.insert(call);
  };
  // What has no such function for its most common calls has it for none.
  try_call("epoll_wait");
  if (calls.empty()) return calls;
  for (const char* call : kEpollCalls) try_call(call);
  for (const char* call : kPollCalls) try_call(call);
  for (const char* call : kCreateCalls) try_call(call);
  return calls;
}

std::vector<AttachPoint> attach_points(std::string_view program, const ByFunction& by_function) {
  std::vector<AttachPoint> points;
  auto add = [&](const auto& calls, const char* event, const char* suffix) {
    for (const char* call : calls)
      if (!by_function.contains(call))
        points.push_back({std::string(call) + suffix, std::string(event) + call});
  };
  if (program == "epoll_enter")
    add(kEpollCalls, "sys_enter_", "_enter");
  else if (program == "epoll_exit")
    add(kEpollCalls, "sys_exit_", "_exit");
  else if (program == "poll_enter")
    add(kPollCalls, "sys_enter_", "_enter");
  else if (program == "poll_exit")
    add(kPollCalls, "sys_exit_", "_exit");
  else if (program == "epoll_created")
    add(kCreateCalls, "sys_exit_", "");
  else if (auto call = call_of_function(program); call.empty() || by_function.contains(call))
    points.push_back({std::string(program), ""});
  return points;
}

}  // namespace loopsight
