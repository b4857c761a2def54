#include "daemon/python/thread_states.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

ls_stack stack(std::initializer_list<ls_frame> frames) {
  ls_stack one{};
  for (const ls_frame& frame : frames) one.frames[one.count++] = frame;
  one.end = LS_STACK_COMPLETE;
  return one;
}

const ls_frame kSelect = {.code = 1, .offset = 10};
const ls_frame kRunOnce = {.code = 2, .offset = 20};
const ls_frame kRun = {.code = 3, .offset = 30};
const ls_frame kMain = {.code = 4, .offset = 40};
const ls_frame kMainLater = {.code = 4, .offset = 44};
const ls_frame kOther = {.code = 5, .offset = 50};
const ls_stack kPoll = stack({kSelect, kRunOnce, kRun, kMain});

TEST(StandsBelow, TellsWhetherALoopWasLeft) {
  EXPECT_EQ(stands_below(stack({kOther, kRunOnce, kRun, kMain}), kPoll, 2), true);
  EXPECT_EQ(stands_below(kPoll, kPoll, 2), true);
  EXPECT_EQ(stands_below(stack({kOther, kMain}), kPoll, 2), false);
  EXPECT_EQ(stands_below(stack({kMain}), kPoll, 2), false);
  EXPECT_EQ(stands_below(stack({kOther, kRun, kMainLater}), kPoll, 2), false);  // another run
}

TEST(StandsBelow, SaysNothingOfStacksThatAreNotWhole) {
  ls_stack cut = kPoll;
  cut.end = LS_STACK_CUT;
  EXPECT_FALSE(stands_below(cut, kPoll, 2));
  EXPECT_FALSE(stands_below(kPoll, cut, 2));
  EXPECT_FALSE(stands_below(kPoll, kPoll, 4));
}

}  // namespace
}  // namespace loopsight
