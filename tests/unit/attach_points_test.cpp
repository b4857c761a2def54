#include "daemon/probe/attach_points.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace loopsight {
namespace {

constexpr auto kAnyFunction = [](const std::string&) { return true; };

std::vector<std::string> tracepoints(const std::string& program, const ByFunction& by_function) {
  std::vector<std::string> found;
  for (const AttachPoint& point : attach_points(program, by_function))
    found.push_back(point.name + " " + point.tracepoint);
  return found;
}

TEST(AttachPoints, OneProgramServesTheTracepointsOfManyCalls) {
  EXPECT_EQ(tracepoints("epoll_exit", {}),
            (std::vector<std::string>{"epoll_wait_exit sys_exit_epoll_wait",
                                      "epoll_pwait_exit sys_exit_epoll_pwait",
                                      "epoll_pwait2_exit sys_exit_epoll_pwait2"}));
  EXPECT_EQ(tracepoints("poll_enter", {}),
            (std::vector<std::string>{"poll_enter sys_enter_poll", "ppoll_enter sys_enter_ppoll",
                                      "select_enter sys_enter_select",
                                      "pselect6_enter sys_enter_pselect6"}));
  EXPECT_EQ(tracepoints("epoll_created", {}),
            (std::vector<std::string>{"epoll_create sys_exit_epoll_create",
                                      "epoll_create1 sys_exit_epoll_create1"}));
  EXPECT_TRUE(attach_points("poll_fn_in", {}).empty());
}

TEST(AttachPoints, NoTracepointOfASystemCallIsLeftWhereItsFunctionIsAllowed) {
  auto by_function = calls_by_function(kAnyFunction);
  EXPECT_EQ(by_function.size(), 9U);
  for (const char* program :
       {"epoll_enter", "epoll_exit", "poll_enter", "poll_exit", "epoll_created"})
    EXPECT_TRUE(attach_points(program, by_function).empty()) << program;
  EXPECT_EQ(tracepoints("select_fn_in", by_function), std::vector<std::string>{"select_fn_in "});
}

TEST(AttachPoints, ACallWithoutAFunctionKeepsItsTracepoints) {
  auto by_function = calls_by_function(
      [](const std::string& function) { return function != "__x64_sys_epoll_pwait2"; });
  EXPECT_EQ(tracepoints("epoll_enter", by_function),
            std::vector<std::string>{"epoll_pwait2_enter sys_enter_epoll_pwait2"});
  EXPECT_TRUE(attach_points("epoll_pwait2_fn_in", by_function).empty());
}

TEST(AttachPoints, AsksForOneFunctionOnlyWhereNoneIsAllowed) {
  int asked = 0;
  EXPECT_TRUE(calls_by_function([&](const std::string&) { return ++asked < 0; }).empty());
  EXPECT_EQ(asked, 1);
}

TEST(AttachPoints, OtherProgramsGoWhereTheirSectionsSay) {
  EXPECT_EQ(tracepoints("sched_switch", {}), std::vector<std::string>{"sched_switch "});
  EXPECT_EQ(tracepoints("process_exit", calls_by_function(kAnyFunction)),
            std::vector<std::string>{"process_exit "});
}

}  // namespace
}  // namespace loopsight
