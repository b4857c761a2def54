#include "daemon/event/codec.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace loopsight {
namespace {

template <typename Record>
std::vector<std::byte> bytes_of(Record record, uint32_t kind) {
  record.header.kind = kind;
  record.header.size = sizeof(record);
  std::vector<std::byte> bytes(sizeof(record));
  std::memcpy(bytes.data(), &record, sizeof(record));
  return bytes;
}

ls_stall good_stall() {
  ls_stall record{};
  record.header.tgid = 7;
  record.row = 3;
  record.generation = 2;
  record.start_ns = 100;
  record.end_ns = 300;
  record.phase_ns[LS_CAUSE_DISK] = 200;
  record.longest.cause = LS_CAUSE_DISK;
  return record;
}

TEST(Decode, ReadsAStall) {
  auto event = decode(bytes_of(good_stall(), LS_KIND_STALL));
  ASSERT_TRUE(event);
  const auto& stall = std::get<StallEnded>(*event).record;
  EXPECT_EQ(stall.header.tgid, 7U);
  EXPECT_EQ(stall.phase_ns[LS_CAUSE_DISK], 200U);
}

TEST(Decode, RefusesWaitersThatContradictThemselves) {
  ls_waiters_record record{};
  record.row = 3;
  record.waiters = {.start_ns = 100, .end_ns = 300, .ready = 5, .seen = 5};
  auto event = decode(bytes_of(record, LS_KIND_WAITERS));
  ASSERT_TRUE(event);
  EXPECT_EQ(std::get<WaitersSeen>(*event).record.waiters.ready, 5U);
  record.waiters.seen = 6;
  EXPECT_FALSE(decode(bytes_of(record, LS_KIND_WAITERS)));
  record.waiters.seen = 1;
  record.waiters.end_ns = 99;
  EXPECT_FALSE(decode(bytes_of(record, LS_KIND_WAITERS)));
}

TEST(Decode, RefusesEveryTruncation) {
  auto bytes = bytes_of(good_stall(), LS_KIND_STALL);
  for (size_t size = 0; size < bytes.size(); size++)
    EXPECT_FALSE(decode(std::span(bytes).first(size))) << size;
}

TEST(Decode, RefusesNumbersOutOfRange) {
  auto row = good_stall();
  row.row = LS_MAX_LOOPS;
  EXPECT_FALSE(decode(bytes_of(row, LS_KIND_STALL)));
  row.row = 0;
  EXPECT_FALSE(decode(bytes_of(row, LS_KIND_STALL)));
  auto cause = good_stall();
  cause.longest.cause = LS_CAUSES;
  EXPECT_FALSE(decode(bytes_of(cause, LS_KIND_STALL)));
  auto backwards = good_stall();
  backwards.end_ns = 99;
  EXPECT_FALSE(decode(bytes_of(backwards, LS_KIND_STALL)));
  EXPECT_FALSE(decode(bytes_of(good_stall(), 77)));
  EXPECT_FALSE(decode(bytes_of(good_stall(), LS_KIND_POLLER)));  // another kind's size
}

TEST(Decode, ReadsBackSourceLines) {
  SourceSeen source{.time_ns = 5,
                    .tgid = 7,
                    .file = "/srv/app.py",
                    .line = 3,
                    .end_line = 4,
                    .text = "time.sleep(\n  1)\xFF"};
  auto event = decode(encode(source));
  ASSERT_TRUE(event);
  const auto& back = std::get<SourceSeen>(*event);
  EXPECT_EQ(back.tgid, 7U);
  EXPECT_EQ(back.file, source.file);
  EXPECT_EQ(back.end_line, 4U);
  EXPECT_TRUE(back.text.starts_with("time.sleep(\n  1)"));
  EXPECT_FALSE(back.is_public);
  source.is_public = true;
  EXPECT_TRUE(std::get<SourceSeen>(*decode(encode(source))).is_public);
  // What was recorded before there was the word is private.
  auto text = [](std::vector<std::byte> record, std::string_view word) {
    auto* first = reinterpret_cast<char*>(record.data());
    auto at = std::string_view(first, record.size()).find(word);
    first[at] = 'P';
    return record;
  };
  EXPECT_FALSE(std::get<SourceSeen>(*decode(text(encode(source), "public"))).is_public);
  auto bytes = encode(source);
  bytes[30] = std::byte{0};
  EXPECT_FALSE(decode(bytes));
}

TEST(Decode, RefusesStacksThatCannotBe) {
  ls_stack_record record{};
  record.row = 1;
  EXPECT_TRUE(decode(bytes_of(record, LS_KIND_STACK)));
  record.stack.count = LS_MAX_FRAMES + 1;
  EXPECT_FALSE(decode(bytes_of(record, LS_KIND_STACK)));
  record.stack.count = 0;
  record.cause = LS_CAUSES;
  EXPECT_FALSE(decode(bytes_of(record, LS_KIND_STACK)));
}

TEST(Decode, SurvivesRandomBytes) {
  std::mt19937 random(20261122);
  for (int round = 0; round < 20000; round++) {
    std::vector<std::byte> bytes(random() % 1800);
    for (std::byte& one : bytes) one = static_cast<std::byte>(random());
    if (bytes.size() >= sizeof(ls_header)) {
      ls_header header;
      std::memcpy(&header, bytes.data(), sizeof(header));
      header.kind = static_cast<uint32_t>(round % 2 == 0 ? random() % 8 : 0x100 + random() % 17);
      header.size = static_cast<uint32_t>(bytes.size());
      std::memcpy(bytes.data(), &header, sizeof(header));
    }
    (void)decode(bytes);
  }
}

TEST(Encode, FactsComeBackAsTheyWere) {
  ProcessFacts facts{.tgid = 42,
                     .start_ticks = 123456789,
                     .is_python = true,
                     .why_not = "",
                     .python = "3.11.2",
                     .comm = "uvicorn",
                     .program = "app \"x\"\n",
                     .unit = "a.service",
                     .container = "",
                     .container_name = "prod/shop/web",
                     .pod = "prod/shop-x2x7z",
                     .configured_name = "front"};
  auto event = decode(encode(facts, 5));
  ASSERT_TRUE(event);
  const auto& back = std::get<ProcessFacts>(*event);
  EXPECT_EQ(back.tgid, 42U);
  EXPECT_EQ(back.start_ticks, 123456789U);
  EXPECT_TRUE(back.is_python);
  EXPECT_EQ(back.program, facts.program);
  EXPECT_EQ(back.unit, "a.service");
  EXPECT_EQ(back.container_name, "prod/shop/web");
  EXPECT_EQ(back.pod, "prod/shop-x2x7z");
  EXPECT_EQ(back.configured_name, "front");
}

TEST(Encode, FactsOfAHostileProcessAreStillJson) {
  ProcessFacts facts{.tgid = 1, .comm = "\xFF\xFE\"}", .program = std::string(3, '\0')};
  auto event = decode(encode(facts, 5));
  ASSERT_TRUE(event);
  EXPECT_EQ(std::get<ProcessFacts>(*event).program, facts.program);
}

TEST(Encode, StateVerdictAndLossComeBack) {
  LoopState state{.time_ns = 9, .row = 5};
  state.loop.iterations = 77;
  EXPECT_EQ(std::get<LoopState>(*decode(encode(state))).loop.iterations, 77U);
  LoopVerdict verdict{
      .time_ns = 9, .row = 5, .generation = 2, .is_loop = true, .kind = LoopKind::kUvloop};
  auto back = std::get<LoopVerdict>(*decode(encode(verdict)));
  EXPECT_TRUE(back.is_loop);
  EXPECT_EQ(back.kind, LoopKind::kUvloop);
  EXPECT_EQ(std::get<Lost>(*decode(encode(Lost{.time_ns = 1, .records = 3}))).records, 3U);
}

TEST(Decode, RefusesTimesPastAnyUptime) {
  for (uint64_t ns : {UINT64_MAX, uint64_t{1} << 63, (uint64_t{1} << 59) + 1}) {
    ls_stall late = good_stall();
    late.header.time_ns = ns;
    EXPECT_FALSE(decode(bytes_of(late, LS_KIND_STALL)));
    ls_stall endless = good_stall();
    endless.end_ns = ns;
    EXPECT_FALSE(decode(bytes_of(endless, LS_KIND_STALL)));
    ls_stall full = good_stall();  // as sums of causes wrap, they add up to anything
    full.phase_ns[LS_CAUSE_CPU] = ns;
    EXPECT_FALSE(decode(bytes_of(full, LS_KIND_STALL)));
    ls_stack_record stack{};
    stack.row = 3;
    stack.slice_ns = ns;
    EXPECT_FALSE(decode(bytes_of(stack, LS_KIND_STACK)));
    LoopState state{.time_ns = 5, .row = 3};
    ASSERT_TRUE(decode(encode(state)));
    for (auto* time :
         {&state.loop.phase_start_ns, &state.loop.slice_start_ns, &state.loop.threshold_ns,
          &state.loop.phase_ns[LS_CAUSE_GC], &state.loop.wait.start_ns, &state.loop.probed.gc_ns}) {
      *time = ns;
      EXPECT_FALSE(decode(encode(state)));
      *time = 0;
    }
    EXPECT_FALSE(decode(encode(PoolState{.time_ns = ns})));
  }
}

TEST(Decode, RefusesJsonNestedDeeply) {
  auto facts = encode(ProcessFacts{.tgid = 7}, 1);
  std::string json = R"({"comm": )" + std::string(30'000, '[') + std::string(30'000, ']') + "}";
  facts.resize(sizeof(ls_header) + json.size());
  std::memcpy(facts.data() + sizeof(ls_header), json.data(), json.size());
  auto size = static_cast<uint32_t>(facts.size());
  std::memcpy(facts.data() + offsetof(ls_header, size), &size, sizeof(size));
  EXPECT_FALSE(decode(facts));
}

TEST(Decode, BelievesNoNumberOfCpusThatCannotBe) {
  auto read = [](std::optional<double> cpus) {
    auto event = decode(encode(PoolState{.time_ns = 1, .cpus_used = cpus, .cpus_quota = cpus}));
    EXPECT_TRUE(event);
    const auto& state = std::get<PoolState>(*event);
    EXPECT_EQ(state.cpus_used, state.cpus_quota);
    return state.cpus_used;
  };
  EXPECT_EQ(read(3.5), 3.5);
  EXPECT_EQ(read(-1), std::nullopt);
  EXPECT_EQ(read(1e300), std::nullopt);
}

}  // namespace
}  // namespace loopsight
