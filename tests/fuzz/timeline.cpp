// Sequences of records that are each well formed, and mean anything: a damaged or made-up
// recording, or a kernel whose records arrive torn. An input is a list of short commands, so that
// small inputs reach deep; the bytes of a record that a command does not set may be set one by one.
#include <array>
#include <vector>

#include "daemon/command/results.h"
#include "daemon/event/codec.h"
#include "daemon/pipeline.h"
#include "tests/fuzz/target.h"

namespace loopsight {
namespace {

class Records {
 public:
  Records(fuzz::Bytes& bytes, Pipeline& pipeline) : bytes_(bytes), pipeline_(pipeline) {}

  void next() {
    switch (bytes_.take<uint8_t>() % 18) {
      case 0: return send<ls_poller>(LS_KIND_POLLER);
      case 1: return verdict();
      case 2:
      case 3: return state();
      case 4:
      case 5: return stall();
      case 6: return waiters();
      case 7:
      case 8: return stack();
      case 9: return code();
      case 10: return functions();
      case 11: return waker();
      case 12: return send<ls_loop_end>(LS_KIND_LOOP_END);
      case 13: return send<ls_process>(LS_KIND_PROCESS_EXIT);
      case 14: return facts();
      case 15: return pools();
      case 16: return feed(encode(Lost{.time_ns = time(), .records = bytes_.take<uint8_t>()}));
      default: return source();
    }
  }

 private:
  // Mostly a little later than the last one, now and then anything.
  uint64_t time() {
    auto step = bytes_.take<uint8_t>();
    if (step == 0xFF) return now_ = bytes_.take<uint64_t>();
    if (step == 0xFE) return bytes_.take<uint64_t>();
    return now_ += uint64_t{step} * 10'000'000;
  }
  uint64_t before() { return now_ - uint64_t{bytes_.take<uint8_t>()} * 10'000'000; }
  uint32_t small(uint32_t most) { return bytes_.take<uint8_t>() % most; }
  std::string word() { return std::string(bytes_.take_text(bytes_.take<uint8_t>() % 40)); }

  void feed(const std::vector<std::byte>& bytes) { (void)pipeline_.feed(bytes); }

  template <typename Record>
  void head(Record& record, uint32_t kind) {
    record.header = {.kind = kind,
                     .size = sizeof(record),
                     .time_ns = time(),
                     .tgid = small(3) == 2 ? UINT32_MAX : small(3),
                     .tid = small(4)};
    if constexpr (requires { record.row; }) {
      record.row = 1 + small(3);
      record.generation = small(2);
    }
  }
  // Any of its words may be anything.
  template <typename Record>
  void finish(Record& record) {
    auto* raw = reinterpret_cast<std::byte*>(&record);
    for (uint32_t count = small(8); count > 4; count--) {
      size_t at = sizeof(ls_header) + bytes_.take<uint16_t>() % (sizeof(record) - 31);
      auto value = bytes_.take<uint64_t>();
      std::memcpy(raw + at, &value, sizeof(value));
    }
    (void)pipeline_.feed({raw, sizeof(record)});
  }
  template <typename Record>
  void send(uint32_t kind) {
    Record record{};
    head(record, kind);
    finish(record);
  }

  void fill(ls_wait& wait) {
    wait.start_ns = before();
    wait.duration_ns = uint64_t{bytes_.take<uint8_t>()} * 1'000'000;
    wait.cause = small(LS_PHASE_CAUSES);
    wait.syscall = static_cast<int32_t>(bytes_.take<uint16_t>()) - 1;
    wait.object = small(16);
    wait.family = static_cast<uint16_t>(small(12));
    wait.flags = static_cast<uint16_t>(small(8));
    wait.port = small(2);
    for (auto& name : wait.names) {
      std::string text = word();
      if (text.empty()) break;
      std::copy_n(text.data(), std::min(text.size(), sizeof(name)), name);
    }
  }
  void fill(ls_stack& stack) {
    stack.count = small(5);
    stack.end = static_cast<uint16_t>(small(5));
    stack.flags = static_cast<uint16_t>(small(2));
    stack.ready = small(30);
    stack.ready_index = small(4);
    stack.task_number = small(2);
    for (uint32_t i = 0; i < stack.count; i++)
      stack.frames[i] = {.code = small(4), .offset = small(40), .identity = 1};
  }
  void fill(ls_probed& probed) {
    probed.gc_count = small(3);
    probed.gc_ns = uint64_t{small(200)} * 1'000'000;
    probed.gc_generation = small(4);
    probed.import_ns = uint64_t{small(200)} * 1'000'000;
    probed.import_name[0] = static_cast<char>(small(255));
    for (ls_call* call : {&probed.call, &probed.longest_call}) {
      constexpr std::array kEvents = {"open", "socket.connect", "subprocess.Popen",
                                      "urllib.Request"};
      call->time_ns = small(2);
      call->kind = small(5);
      call->length = small(200);
      call->number = small(2);
      std::snprintf(call->event, sizeof(call->event), "%s", kEvents[small(kEvents.size())]);
    }
  }

  void verdict() {
    feed(encode(LoopVerdict{.time_ns = time(),
                            .row = 1 + small(3),
                            .generation = small(2),
                            .is_loop = small(4) != 0,
                            .kind = static_cast<LoopKind>(small(7))}));
  }
  void state() {
    LoopState state{.time_ns = time(), .row = 1 + small(3)};
    ls_loop& loop = state.loop;
    loop.generation = small(2);
    loop.flags = bytes_.take<uint8_t>();
    loop.tgid = small(3);
    loop.tid = small(4);
    loop.phase = small(4);
    loop.phase_start_ns = before();
    loop.slice_start_ns = before();
    loop.off_cpu = small(2);
    loop.running_cause = small(3);
    loop.iterations = bytes_.take<uint16_t>();
    loop.idle_ns = uint64_t{bytes_.take<uint16_t>()} * 1'000'000;
    loop.import_depth = small(2);
    loop.busy_ns[small(LS_PHASE_CAUSES)] = uint64_t{bytes_.take<uint16_t>()} * 1'000'000;
    loop.stalls = small(5);
    loop.stall_records = small(5);
    fill(loop.wait);
    auto record = encode(state);
    for (uint32_t count = small(8); count > 4; count--) {
      size_t at = sizeof(ls_header) + bytes_.take<uint16_t>() % (record.size() - 31);
      auto value = bytes_.take<uint64_t>();
      std::memcpy(record.data() + at, &value, sizeof(value));
    }
    feed(record);
  }
  void stall() {
    ls_stall record{};
    head(record, LS_KIND_STALL);
    record.end_ns = record.header.time_ns;
    record.start_ns = before();
    record.iteration = small(9);
    record.phase_ns[small(LS_PHASE_CAUSES)] = uint64_t{bytes_.take<uint8_t>()} * 10'000'000;
    record.phase_ns[small(LS_PHASE_CAUSES)] = uint64_t{bytes_.take<uint8_t>()} * 10'000'000;
    record.waiters_follow = small(2);
    record.gil_waits = small(9);
    fill(record.longest);
    fill(record.probed);
    last_start_ = record.start_ns;
    last_end_ = record.end_ns;
    finish(record);
  }
  void waiters() {
    ls_waiters_record record{};
    head(record, LS_KIND_WAITERS);
    record.waiters = {.start_ns = last_start_, .end_ns = last_end_};
    record.waiters.ready = small(9);
    record.waiters.seen = small(9);
    record.waiters.ready_before = small(9);
    record.waiters.timer_due_ns = small(2);
    finish(record);
  }
  void stack() {
    ls_stack_record record{};
    head(record, LS_KIND_STACK);
    record.phase_start_ns = before();
    record.source = small(17);
    record.slice_start_ns = before();
    record.slice_ns = uint64_t{small(255)} * 10'000'000;
    record.cause = small(LS_CAUSES);
    fill(record.stack);
    finish(record);
  }
  void code() {
    ls_code record{};
    head(record, LS_KIND_CODE);
    record.code = small(4);
    record.identity = 1;
    record.adaptive = small(40);
    record.first_line = small(200);
    for (ls_text* text : {&record.filename, &record.name}) {
      std::string bytes = word();
      text->state = (1U << small(4)) << 2;
      text->length = static_cast<uint32_t>(bytes.size());
      std::copy(bytes.begin(), bytes.end(), text->bytes);
    }
    std::string lines = word();
    record.lines_size = static_cast<uint32_t>(lines.size());
    std::copy(lines.begin(), lines.end(), record.lines);
    finish(record);
  }
  void functions() {
    ls_functions record{};
    head(record, LS_KIND_FUNCTIONS);
    record.phase_start_ns = before();
    record.functions[0].calls = small(3);
    finish(record);
  }
  void waker() {
    ls_waker record{};
    head(record, LS_KIND_WAKER);
    record.phase_start_ns = before();
    record.slice_start_ns = before();
    fill(record.wait);
    fill(record.stack);
    finish(record);
  }
  void facts() {
    ProcessFacts facts{.tgid = small(3), .is_python = true, .python = "3." + word()};
    facts.comm = word();
    facts.program = word();
    facts.unit = word();
    facts.pod = word();
    feed(encode(facts, time()));
  }
  void pools() {
    PoolState state{.time_ns = time(), .tgid = small(3)};
    for (uint32_t count = small(3); count > 0; count--) {
      SeenPool pool{.id = small(3), .name = word(), .threads = small(5), .busy = small(5)};
      pool.queued = bytes_.take<uint8_t>();
      pool.oldest_wait_ns = uint64_t{bytes_.take<uint16_t>()} * 100'000'000;
      if (small(8) == 7) pool.oldest_wait_ns = bytes_.take<uint64_t>();
      if (small(2) == 1) pool.frames.push_back({.function = word(), .file = word(), .line = 1});
      state.pools.push_back(std::move(pool));
    }
    feed(encode(state));
  }
  void source() {
    feed(encode(SourceSeen{.time_ns = time(),
                           .tgid = small(3) == 2 ? UINT32_MAX : small(3),
                           .file = word(),
                           .line = small(200),
                           .end_line = small(200),
                           .text = word()}));
  }

  fuzz::Bytes& bytes_;
  Pipeline& pipeline_;
  uint64_t now_ = 1'000'000'000'000;
  uint64_t last_start_ = 0;
  uint64_t last_end_ = 0;
};

// What must be true of any stall that is told.
struct Checked : Sink {
  Result<void> on_stall(const StallReport& report) override {
    const Stall& stall = report.stall;
    fuzz::require(stall.end_ns >= stall.start_ns, "a stall ends after it starts");
    uint64_t sum = 0;
    for (uint64_t ns : stall.causes) {
      fuzz::require(ns <= stall.duration_ns(), "no cause longer than its stall");
      sum += ns;
    }
    fuzz::require(sum == stall.duration_ns(), "causes add up");
    fuzz::require(report.contributors.size() <= 5, "few contributors");
    return {};
  }
  Result<void> on_summary(const Summary&) override { return {}; }
};

}  // namespace
}  // namespace loopsight

FUZZ_TARGET(timeline, input) {
  static File out(std::fopen("/dev/null", "we"));
  fuzz::Bytes bytes(input);
  auto choice = bytes.take<uint8_t>();
  uint64_t threshold_ns = choice & 0x80 ? bytes.take<uint64_t>() : 50'000'000;
  int64_t offset_ns = choice & 0x40 ? bytes.take<int64_t>() : 0;
  constexpr std::array kFormats = {Format::kText, Format::kJson, Format::kFolded,
                                   Format::kSpeedscope, Format::kPprof};
  auto sink = make_results_sink({.format = kFormats[choice % kFormats.size()], .to_file = true},
                                out.get(), WallClock::fixed(offset_ns), "host");
  Checked checked;
  Pipeline pipeline(threshold_ns, {sink.get(), &checked});
  Records records(bytes, pipeline);
  for (int i = 0; i < 300 && !bytes.is_empty(); i++) records.next();
  (void)pipeline.finish(1);
}
