#include "daemon/python/loop_evidence.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

Frame frame(const std::string& function, const std::string& file) {
  return {.function = function, .module = "", .file = file, .line = 1};
}

TEST(FindLoopKind, GoesByTheRunMethods) {
  const std::string lib = "/usr/lib/python3.11";
  const std::string packages = "/v/lib/python3.12/site-packages";
  EXPECT_EQ(find_loop_kind({frame("EpollSelector.select", lib + "/selectors.py"),
                            frame("BaseEventLoop._run_once", lib + "/asyncio/base_events.py")}),
            LoopKind::kAsyncio);
  EXPECT_EQ(find_loop_kind({frame("_run_once", lib + "/asyncio/base_events.py"),
                            frame("IOLoop.run_sync", packages + "/tornado/ioloop.py")}),
            LoopKind::kTornado);
  EXPECT_EQ(find_loop_kind({frame("unrolled_run", packages + "/trio/_core/_run.py")}),
            LoopKind::kTrio);
  EXPECT_EQ(find_loop_kind(
                {frame("_SignalReactorMixin.mainLoop", packages + "/twisted/internet/base.py")}),
            LoopKind::kTwisted);
}

TEST(FindLoopKind, TakesNothingElseForALoop) {
  EXPECT_EQ(find_loop_kind({}), std::nullopt);
  EXPECT_EQ(find_loop_kind({frame("run", "/srv/app.py"),
                            frame("serve_forever", "/usr/lib/python3.11/socketserver.py")}),
            std::nullopt);
  EXPECT_EQ(find_loop_kind({frame("time", "/usr/lib/python3.11/asyncio/base_events.py")}),
            std::nullopt);
}

}  // namespace
}  // namespace loopsight
