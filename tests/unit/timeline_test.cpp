#include "daemon/correlate/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/timeline_fixture.h"

namespace loopsight {
namespace {

TEST_F(TimelineTest, ReportsAStallThatEnded) {
  auto found = timeline_.on_stall(stall(100, 250));
  ASSERT_EQ(found.stalls.size(), 1U);
  EXPECT_EQ(found.stalls[0].duration_ns(), 150 * kMs);
  EXPECT_EQ(found.stalls[0].tgid, 10U);
  EXPECT_EQ(found.stalls[0].kind, LoopKind::kAsyncio);
  EXPECT_FALSE(found.stalls[0].in_progress);
}

TEST_F(TimelineTest, MakesTheMissingPartUnknown) {
  auto event = stall(100, 250);
  event.record.phase_ns[LS_CAUSE_SLEEP] = 100 * kMs;
  auto found = timeline_.on_stall(event);
  EXPECT_EQ(found.stalls.at(0).causes[LS_CAUSE_UNKNOWN], 50 * kMs);
  EXPECT_EQ(sum(found.stalls[0].causes), 150 * kMs);
  EXPECT_EQ(timeline_.inconsistent_records(), 1U);
}

TEST_F(TimelineTest, CutsCausesThatExceedTheDuration) {
  auto event = stall(100, 250);
  event.record.phase_ns[LS_CAUSE_CPU] = 400 * kMs;
  auto found = timeline_.on_stall(event);
  EXPECT_EQ(sum(found.stalls.at(0).causes), 150 * kMs);
  EXPECT_EQ(timeline_.inconsistent_records(), 1U);
}

TEST_F(TimelineTest, LeavesOutAStallThatOverlapsTheOneBefore) {
  EXPECT_EQ(timeline_.on_stall(stall(100, 250)).stalls.size(), 1U);
  EXPECT_TRUE(timeline_.on_stall(stall(200, 300)).stalls.empty());
  EXPECT_EQ(timeline_.on_stall(stall(250, 300)).stalls.size(), 1U);
  EXPECT_EQ(timeline_.inconsistent_records(), 1U);
}

TEST_F(TimelineTest, RecognisesARecordOfAnEarlierOwner) {
  timeline_.on_poller(poller(1, 2));
  EXPECT_TRUE(timeline_.on_stall(stall(100, 250, 1)).stalls.empty());
  EXPECT_EQ(timeline_.late_records(), 1U);
}

TEST_F(TimelineTest, ALoopMayHaveAThresholdOfItsOwn) {
  auto own = [](uint64_t now_ms) {
    LoopState event = state(now_ms, LS_PHASE_BUSY, 1000);
    event.loop.threshold_ns = 200 * kMs;
    return event;
  };
  EXPECT_EQ(timeline_.on_state(own(1150)).progress[0].stalled_ns, 0U);
  EXPECT_EQ(timeline_.on_state(own(1250)).progress[0].stalled_ns, 250 * kMs);
  EXPECT_TRUE(timeline_.on_state(own(2900)).stalls.empty());
  ASSERT_EQ(timeline_.on_state(own(3100)).stalls.size(), 1U);
  EXPECT_EQ(timeline_.on_end(end(3150, 9)).stalls.size(), 1U);
}

TEST_F(TimelineTest, ALoopThatIsNotToBeWatchedAnyMoreEnds) {
  timeline_.on_state(state(1000, LS_PHASE_POLL, 900));
  auto findings = timeline_.on_verdict(verdict(false));
  ASSERT_EQ(findings.progress.size(), 1U);
  EXPECT_TRUE(findings.progress[0].ended);
  EXPECT_TRUE(timeline_.on_stall(stall(1100, 1400)).stalls.empty());
  EXPECT_TRUE(timeline_.on_state(state(2000, LS_PHASE_BUSY, 1100)).progress.empty());
  EXPECT_TRUE(timeline_.on_end(end(3000)).progress.empty());  // not a second time
}

TEST_F(TimelineTest, GivesAStallTheThreadThatEndedItsLongestWait) {
  auto waker = [](uint64_t phase_ms, uint64_t slice_ms, uint32_t tid) {
    WakerSeen event{};
    event.record.row = 1;
    event.record.generation = 1;
    event.record.phase_start_ns = phase_ms * kMs;
    event.record.slice_start_ns = slice_ms * kMs;
    event.record.waker_tid = tid;
    return event;
  };
  auto waited = [](uint64_t start_ms, uint64_t end_ms, uint64_t wait_ms) {
    StallEnded event = stall(start_ms, end_ms);
    event.record.longest.start_ns = wait_ms * kMs;
    event.record.longest.duration_ns = 40 * kMs;
    return event;
  };
  timeline_.on_waker(waker(10, 20, 5));  // of an earlier busy phase
  timeline_.on_waker(waker(100, 110, 6));
  timeline_.on_waker(waker(100, 180, 7));
  auto found = timeline_.on_stall(waited(100, 250, 180));
  ASSERT_EQ(found.stalls.size(), 1U);
  ASSERT_TRUE(found.stalls[0].waker);
  EXPECT_EQ(found.stalls[0].waker->waker_tid, 7U);
  timeline_.on_waker(waker(300, 310, 8));
  auto other = timeline_.on_stall(waited(300, 450, 330));  // its longest wait was another
  ASSERT_EQ(other.stalls.size(), 1U);
  EXPECT_FALSE(other.stalls[0].waker);
}

StallEnded held_stall(uint64_t start_ms, uint64_t end_ms) {
  StallEnded event = stall(start_ms, end_ms);
  event.record.waiters_follow = 1;
  return event;
}

WaitersSeen waiters(uint64_t start_ms, uint64_t end_ms, uint32_t ready, uint32_t before = 0,
                    uint32_t seen = 0) {
  WaitersSeen event{};
  event.record.row = 1;
  event.record.generation = 1;
  event.record.waiters = {.start_ns = start_ms * kMs,
                          .end_ns = end_ms * kMs,
                          .wait_ns = seen * 10 * kMs,
                          .longest_ns = seen > 0 ? 20 * kMs : 0,
                          .ready = ready,
                          .ready_before = before,
                          .seen = seen};
  return event;
}

TEST_F(TimelineTest, HoldsAStallUntilItIsKnownWhoWaited) {
  EXPECT_TRUE(timeline_.on_stall(held_stall(100, 250)).stalls.empty());
  auto event = waiters(100, 250, 7, 2);
  event.record.waiters.timer_due_ns = 150 * kMs;
  event.record.waiters.timer_late_ns = 100 * kMs;
  auto found = timeline_.on_waiters(event);
  ASSERT_EQ(found.stalls.size(), 1U);
  auto delayed = found.stalls[0].delayed.value();
  EXPECT_EQ(delayed.events_at_least, 5U);  // two of them may have been ready before
  EXPECT_EQ(delayed.events, 7U);
  EXPECT_EQ(delayed.ns, 7 * 150 * kMs);
  EXPECT_EQ(delayed.longest_ns, 150 * kMs);
  EXPECT_FALSE(delayed.exact);
  EXPECT_EQ(delayed.timer_late_ns, 100 * kMs);
}

TEST_F(TimelineTest, KnowsTheWaitsOfThoseThatWereSeenToBecomeReady) {
  timeline_.on_stall(held_stall(100, 250));
  auto exact = timeline_.on_waiters(waiters(100, 250, 3, 3, 3)).stalls.at(0).delayed.value();
  EXPECT_TRUE(exact.exact);
  EXPECT_EQ(exact.events_at_least, 3U);
  EXPECT_EQ(exact.ns, 30 * kMs);
  EXPECT_EQ(exact.longest_ns, 20 * kMs);
  EXPECT_FALSE(exact.timer_late_ns);
  timeline_.on_stall(held_stall(300, 400));
  auto partly = timeline_.on_waiters(waiters(300, 400, 3, 3, 2)).stalls.at(0).delayed.value();
  EXPECT_FALSE(partly.exact);
  EXPECT_EQ(partly.events_at_least, 2U);
  EXPECT_EQ(partly.ns, 120 * kMs);
  EXPECT_EQ(partly.longest_ns, 100 * kMs);
}

TEST_F(TimelineTest, ReportsAStallWhoseWaitersWereLost) {
  timeline_.on_stall(held_stall(100, 250));
  EXPECT_TRUE(timeline_.on_state(state(300, LS_PHASE_POLL, 250)).stalls.empty());
  auto next = timeline_.on_stall(held_stall(300, 400));  // by the next one
  ASSERT_EQ(next.stalls.size(), 1U);
  EXPECT_EQ(next.stalls[0].start_ns, 100 * kMs);
  EXPECT_FALSE(next.stalls[0].delayed);
  auto later = timeline_.on_state(state(1400, LS_PHASE_POLL, 400));  // by the time that passed
  ASSERT_EQ(later.stalls.size(), 1U);
  timeline_.on_stall(held_stall(1500, 1600));
  EXPECT_TRUE(timeline_.on_waiters(waiters(100, 250, 1)).stalls.empty());  // of another stall
  EXPECT_EQ(timeline_.on_end(end(1610)).stalls.size(), 1U);                // by the loop's end
}

TEST(Timeline, HoldsStallsUntilTheVerdict) {
  Timeline timeline(kThreshold);
  timeline.on_poller(poller());
  EXPECT_TRUE(timeline.on_stall(stall(100, 250)).stalls.empty());
  auto found = timeline.on_verdict(verdict(true));
  ASSERT_EQ(found.stalls.size(), 1U);
  EXPECT_EQ(found.stalls[0].kind, LoopKind::kAsyncio);
}

TEST(Timeline, DropsTheStallsOfWhatIsNoLoop) {
  Timeline timeline(kThreshold);
  timeline.on_poller(poller());
  timeline.on_stall(stall(100, 250));
  EXPECT_TRUE(timeline.on_verdict(verdict(false)).stalls.empty());
  EXPECT_TRUE(timeline.on_stall(stall(300, 400)).stalls.empty());
  EXPECT_TRUE(timeline.on_state(state(500, LS_PHASE_POLL, 400)).progress.empty());
}

TEST_F(TimelineTest, FindsARunningStallAtTenTimesTheThresholdAndAtEachDoubling) {
  std::vector<uint64_t> reported;
  for (uint64_t now = 100; now <= 4300; now += 100) {
    auto found = timeline_.on_state(state(now, LS_PHASE_BUSY, 100));
    for (const Stall& one : found.stalls) {
      EXPECT_TRUE(one.in_progress);
      EXPECT_EQ(sum(one.causes), one.duration_ns());
      reported.push_back(one.duration_ns() / kMs);
    }
  }
  EXPECT_EQ(reported, (std::vector<uint64_t>{500, 1000, 2000, 4000}));
  EXPECT_FALSE(timeline_.on_stall(stall(100, 4350)).stalls.at(0).in_progress);
}

TEST_F(TimelineTest, SaysWhatARunningStallWaitsFor) {
  auto event = state(1100, LS_PHASE_BUSY, 100);
  event.loop.phase_ns[LS_CAUSE_CPU] = 20 * kMs;
  event.loop.off_cpu = 1;
  event.loop.wait = {.start_ns = 120 * kMs, .cause = LS_CAUSE_NETWORK, .syscall = 45};
  auto found = timeline_.on_state(event);
  ASSERT_EQ(found.stalls.size(), 1U);
  EXPECT_EQ(found.stalls[0].causes[LS_CAUSE_NETWORK], 980 * kMs);
  EXPECT_EQ(found.stalls[0].causes[LS_CAUSE_CPU], 20 * kMs);
  ASSERT_TRUE(found.stalls[0].wait);
  EXPECT_EQ(found.stalls[0].wait->duration_ns, 980 * kMs);
}

TEST_F(TimelineTest, ShowsTheAgeOfARunningStallFromTheThresholdOn) {
  EXPECT_EQ(timeline_.on_state(state(149, LS_PHASE_BUSY, 100)).progress.at(0).stalled_ns, 0U);
  EXPECT_EQ(timeline_.on_state(state(160, LS_PHASE_BUSY, 100)).progress.at(0).stalled_ns, 60 * kMs);
  EXPECT_EQ(timeline_.on_state(state(170, LS_PHASE_POLL, 165)).progress.at(0).stalled_ns, 0U);
}

TEST_F(TimelineTest, IsSilentAboutALoopThatWasClosedOrSteppedAside) {
  auto closed = state(9000, LS_PHASE_BUSY, 100);
  closed.loop.flags |= LS_LOOP_STALE;
  auto found = timeline_.on_state(closed);
  EXPECT_TRUE(found.stalls.empty());
  EXPECT_EQ(found.progress.at(0).stalled_ns, 0U);
  EXPECT_TRUE(timeline_.on_state(state(9000, LS_PHASE_NESTED, 100)).stalls.empty());
}

TEST_F(TimelineTest, ClosesARunningStallWhoseEndWasLostAsUnknown) {
  ASSERT_EQ(timeline_.on_state(state(700, LS_PHASE_BUSY, 100)).stalls.size(), 1U);
  auto after = state(1000, LS_PHASE_POLL, 900);
  after.loop.stalls = 1;  // counted, but no record of it reached the ring buffer
  auto found = timeline_.on_state(after);
  ASSERT_EQ(found.stalls.size(), 1U);
  EXPECT_FALSE(found.stalls[0].in_progress);
  EXPECT_EQ(found.stalls[0].causes[LS_CAUSE_UNKNOWN], 800 * kMs);
  EXPECT_EQ(found.progress.at(0).lost_stalls, 0U);
}

TEST_F(TimelineTest, CountsStallsWhoseRecordsWereLost) {
  auto after = state(1000, LS_PHASE_POLL, 900);
  after.loop.stalls = 5;
  after.loop.stall_records = 2;
  EXPECT_EQ(timeline_.on_state(after).progress.at(0).lost_stalls, 3U);
  EXPECT_EQ(timeline_.on_state(after).progress.at(0).lost_stalls, 0U);
}

TEST_F(TimelineTest, ReportsProgressAsDifferences) {
  auto first = state(100, LS_PHASE_POLL, 90);
  first.loop.iterations = 10;
  first.loop.phase = LS_PHASE_NONE;
  first.loop.idle_ns = 5 * kMs;
  first.loop.busy_ns[LS_CAUSE_CPU] = 7 * kMs;
  first.loop.buckets[0] = 10;
  timeline_.on_state(first);
  first.loop.iterations = 12;
  first.loop.buckets[0] = 12;
  auto found = timeline_.on_state(first);
  EXPECT_EQ(found.progress.at(0).iterations, 2U);
  EXPECT_EQ(found.progress.at(0).buckets[0], 2U);
  EXPECT_EQ(found.progress.at(0).idle_ns, 0U);
}

TEST_F(TimelineTest, CountsIdleTimeWhileItPassesAndOnlyOnce) {
  EXPECT_EQ(timeline_.on_state(state(100, LS_PHASE_POLL, 90)).progress.at(0).idle_ns, 10 * kMs);
  EXPECT_EQ(timeline_.on_state(state(400, LS_PHASE_POLL, 90)).progress.at(0).idle_ns, 300 * kMs);
  auto after = state(500, LS_PHASE_BUSY, 480);
  after.loop.idle_ns = 390 * kMs;
  EXPECT_EQ(timeline_.on_state(after).progress.at(0).idle_ns, 80 * kMs);
}

TEST_F(TimelineTest, CountsALongRunningBusyPhaseWhileItPassesAndOnlyOnce) {
  auto busy = [&](const LoopState& event) { return timeline_.on_state(event).progress.at(0).busy; };
  // A short one is told of as a whole, with its causes.
  EXPECT_EQ(sum(busy(state(100, LS_PHASE_BUSY, 0))), 0U);
  EXPECT_EQ(sum(busy(state(600, LS_PHASE_BUSY, 0))), 600 * kMs);
  auto open = state(750, LS_PHASE_BUSY, 0);
  open.loop.phase_ns[LS_CAUSE_CPU] = 740 * kMs;  // what looked like CPU was the run queue at last
  open.loop.slice_start_ns = 740 * kMs;
  EXPECT_EQ(sum(busy(open)), 150 * kMs);
  auto ended = state(810, LS_PHASE_POLL, 800);
  ended.loop.busy_ns[LS_CAUSE_CPU] = 10 * kMs;
  ended.loop.busy_ns[LS_CAUSE_RUN_QUEUE] = 790 * kMs;
  EXPECT_EQ(sum(busy(ended)), 50 * kMs);
  ended.loop.busy_ns[LS_CAUSE_CPU] = 400 * kMs;
  EXPECT_EQ(sum(busy(ended)), 390 * kMs);
}

TEST_F(TimelineTest, CountsTheBusyPhaseThatDeathEnded) {
  timeline_.on_state(state(10, LS_PHASE_BUSY, 0));
  Findings findings = timeline_.on_end(end(2660, 9));
  ASSERT_EQ(findings.stalls.size(), 1U);
  EXPECT_EQ(sum(findings.progress.at(0).busy), 2660 * kMs);
  EXPECT_EQ(findings.progress.at(0).over_ns, 2660 * kMs);
}

TEST_F(TimelineTest, ReportsAStallThatDeathEnded) {
  timeline_.on_state(state(300, LS_PHASE_BUSY, 100));
  auto found = timeline_.on_end(end(350, 9));
  ASSERT_EQ(found.stalls.size(), 1U);
  EXPECT_EQ(found.stalls[0].killed_by, 9U);
  EXPECT_EQ(found.stalls[0].duration_ns(), 250 * kMs);
  EXPECT_TRUE(found.progress.at(0).ended);
}

TEST_F(TimelineTest, TakesAnOrdinaryExitForNoStall) {
  timeline_.on_state(state(300, LS_PHASE_BUSY, 100));
  EXPECT_TRUE(timeline_.on_end(end(350, 0)).stalls.empty());
}

TEST_F(TimelineTest, TakesDeathAfterTheLoopWasClosedForNoStall) {
  timeline_.on_state(state(300, LS_PHASE_BUSY, 100));
  EXPECT_TRUE(timeline_.on_end(end(350, 9, false)).stalls.empty());
}

TEST_F(TimelineTest, CountsLostRecords) {
  timeline_.on_lost({.time_ns = 1, .records = 3});
  timeline_.on_lost({.time_ns = 2, .records = 4});
  EXPECT_EQ(timeline_.lost_records(), 7U);
}

// Doubling nothing until it is as large as the age would never end.
TEST_F(TimelineTest, ALoopFoundInItsBusyPhaseIsToldOfAtOnceAndAsALowerBound) {
  auto found = state(1200, LS_PHASE_BUSY, 1000);
  found.loop.flags |= LS_LOOP_ADOPTED;
  found.loop.created_ns = 1100 * kMs;  // asleep since before we came
  auto findings = timeline_.on_state(found);
  ASSERT_EQ(findings.stalls.size(), 1U);
  EXPECT_TRUE(findings.stalls[0].in_progress);
  EXPECT_TRUE(findings.stalls[0].at_least);
  auto ended = timeline_.on_stall(stall(1000, 1500));
  ASSERT_EQ(ended.stalls.size(), 1U);
  EXPECT_TRUE(ended.stalls[0].at_least);
}

TEST_F(TimelineTest, ItsLaterBusyPhasesAreAsAnyOther) {
  auto found = state(1210, LS_PHASE_BUSY, 1150);
  found.loop.flags |= LS_LOOP_ADOPTED;
  found.loop.created_ns = 1100 * kMs;
  EXPECT_TRUE(timeline_.on_state(found).stalls.empty());
  auto ended = timeline_.on_stall(stall(1150, 1300));
  ASSERT_EQ(ended.stalls.size(), 1U);
  EXPECT_FALSE(ended.stalls[0].at_least);
}

TEST(Timeline, AThresholdOfNothingIsOneAllTheSame) {
  Timeline timeline(0);
  EXPECT_EQ(timeline.threshold_ns(), 1U);
  timeline.on_poller(poller());
  timeline.on_verdict(verdict(true));
  EXPECT_EQ(timeline.on_state(state(1000, LS_PHASE_BUSY, 100)).stalls.size(), 1U);
  EXPECT_LE(Timeline(UINT64_MAX).threshold_ns(), 86'400'000'000'000U);
}

}  // namespace
}  // namespace loopsight
