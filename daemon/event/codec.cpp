#include "daemon/event/codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "daemon/base/json_fields.h"
#include "daemon/event/pool_codec.h"

namespace loopsight {

namespace {

// Kinds that only user space makes; the kernel's are in bpf/wire.h.
enum OwnKind : uint32_t {
  kLoopState = 0x100,
  kProcessFacts = 0x101,
  kLoopVerdict = 0x102,
  kLost = 0x103,
  kSource = 0x104,
  kKernelFunction = 0x105,
  kPools = 0x110,
};

struct StateRecord {
  ls_header header;
  uint32_t row;
  uint32_t pad;
  ls_loop loop;
};

struct VerdictRecord {
  ls_header header;
  uint32_t row;
  uint32_t generation;
  uint32_t is_loop;
  uint32_t kind;
};

struct LostRecord {
  ls_header header;
  uint64_t records;
};

static_assert(sizeof(ls_header) == 24);
static_assert(sizeof(ls_wait) == 72 + LS_PATH_NAMES * LS_PATH_NAME_SIZE + 8);
static_assert(sizeof(ls_loop) % 8 == 0);
static_assert(offsetof(ls_stall, longest) == 24 + 40 + LS_PHASE_CAUSES * 8);

// Records grow at their end: an older one has this many bytes, and the rest of it is 0.
template <typename Record>
constexpr size_t first_size() {
  if constexpr (std::is_same_v<Record, ls_poller>) return LS_POLLER_FIRST_SIZE;
  if constexpr (std::is_same_v<Record, ls_stall>) return LS_STALL_FIRST_SIZE;
  if constexpr (std::is_same_v<Record, ls_waker>) return LS_WAKER_FIRST_SIZE;
  if constexpr (std::is_same_v<Record, StateRecord>)
    return offsetof(StateRecord, loop) + LS_LOOP_FIRST_SIZE;
  return sizeof(Record);
}

template <typename Record>
Result<Record> copy(std::span<const std::byte> bytes) {
  static_assert(std::is_trivially_copyable_v<Record>);
  if (bytes.size() != sizeof(Record) && bytes.size() != first_size<Record>())
    return failure(
        fmt::format("record has {} bytes where its kind has {}", bytes.size(), sizeof(Record)));
  Record record{};
  std::memcpy(&record, bytes.data(), bytes.size());
  return record;
}

constexpr size_t kMaxKernelName = 128;

// Eighteen years since the host was started. What is beyond is damaged, and sums of what is below
// do not wrap.
constexpr uint64_t kLatestNs = uint64_t{1} << 59;

bool valid_row(uint32_t row) { return row > 0 && row < LS_MAX_LOOPS; }
bool valid_times(std::initializer_list<uint64_t> times) {
  return std::all_of(times.begin(), times.end(), [](uint64_t ns) { return ns <= kLatestNs; });
}
bool valid_causes(const __u64 (&causes)[LS_PHASE_CAUSES]) {
  return std::all_of(std::begin(causes), std::end(causes),
                     [](uint64_t ns) { return ns <= kLatestNs; });
}
bool valid_wait(const ls_wait& wait) {
  return wait.cause < LS_PHASE_CAUSES && valid_times({wait.start_ns, wait.duration_ns});
}
bool valid_probed(const ls_probed& probed) {
  return valid_times({probed.gc_ns, probed.gc_longest_ns, probed.import_ns});
}

template <typename EventType, typename Record>
Result<Event> wrap(std::span<const std::byte> bytes) {
  auto record = copy<Record>(bytes);
  if (!record) return tl::make_unexpected(record.error());
  if constexpr (requires { record->row; }) {
    if (!valid_row(record->row)) return failure(fmt::format("row {} out of range", record->row));
  }
  if constexpr (std::is_same_v<Record, ls_stall>) {
    if (!valid_wait(record->longest) || !valid_probed(record->probed) ||
        !valid_causes(record->phase_ns) || !valid_times({record->end_ns, record->system_ns}))
      return failure("a stall's cause or time is out of range");
    if (record->end_ns < record->start_ns) return failure("stall ends before it starts");
  }
  if constexpr (std::is_same_v<Record, ls_waiters_record>) {
    const ls_waiters& waiters = record->waiters;
    if (waiters.end_ns < waiters.start_ns || waiters.seen > waiters.ready ||
        !valid_times({waiters.end_ns, waiters.timer_late_ns, waiters.wait_ns, waiters.longest_ns}))
      return failure("waiters that contradict themselves");
  }
  if constexpr (std::is_same_v<Record, ls_waker>) {
    if (!valid_wait(record->wait) || record->stack.count > LS_MAX_FRAMES ||
        !valid_times(
            {record->phase_start_ns, record->slice_start_ns, record->ran_ns, record->gil_ns}))
      return failure("a waker's wait or stack is out of range");
  }
  if constexpr (std::is_same_v<Record, ls_stack_record>) {
    if (record->stack.count > LS_MAX_FRAMES)
      return failure(fmt::format("stack of {} frames", record->stack.count));
    if (record->cause >= LS_CAUSES)
      return failure(fmt::format("cause {} out of range", record->cause));
    if (!valid_times({record->phase_start_ns, record->slice_start_ns, record->slice_ns}))
      return failure("a stack's time is out of range");
  }
  return Event(EventType{*record});
}

Result<Event> decode_state(std::span<const std::byte> bytes) {
  auto record = copy<StateRecord>(bytes);
  if (!record) return tl::make_unexpected(record.error());
  if (!valid_row(record->row)) return failure(fmt::format("row {} out of range", record->row));
  const ls_loop& loop = record->loop;
  if (!valid_wait(loop.wait) || !valid_wait(loop.longest) ||
      loop.running_cause >= LS_PHASE_CAUSES || !valid_causes(loop.phase_ns) ||
      !valid_probed(loop.probed) ||
      !valid_times({loop.phase_start_ns, loop.slice_start_ns, loop.slice_end_ns, loop.threshold_ns,
                    loop.gc_start_ns, loop.import_start_ns, loop.phase_system_ns,
                    loop.busy_system_ns}))
    return failure("a loop's cause or time is out of range");
  return Event(
      LoopState{.time_ns = record->header.time_ns, .row = record->row, .loop = record->loop});
}

Result<Event> decode_verdict(std::span<const std::byte> bytes) {
  auto record = copy<VerdictRecord>(bytes);
  if (!record) return tl::make_unexpected(record.error());
  if (!valid_row(record->row)) return failure(fmt::format("row {} out of range", record->row));
  if (record->kind >= kLoopKindNames.size())
    return failure(fmt::format("loop kind {} out of range", record->kind));
  return Event(LoopVerdict{.time_ns = record->header.time_ns,
                           .row = record->row,
                           .generation = record->generation,
                           .is_loop = record->is_loop != 0,
                           .kind = static_cast<LoopKind>(record->kind)});
}

Result<Event> decode_facts(const ls_header& header, std::span<const std::byte> payload) {
  auto json = parse_json<nlohmann::json>(payload);
  if (!json.is_object()) return failure("process facts are no JSON object");
  ProcessFacts facts;
  facts.tgid = header.tgid;
  auto text = [&](const char* key) {
    auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  auto ticks = json.find("start_ticks");
  if (ticks != json.end() && ticks->is_number_unsigned()) facts.start_ticks = *ticks;
  auto python = json.find("is_python");
  facts.is_python = python != json.end() && python->is_boolean() && python->get<bool>();
  facts.why_not = text("why_not");
  facts.python = text("python");
  facts.comm = text("comm");
  facts.program = text("program");
  facts.unit = text("unit");
  facts.container = text("container");
  facts.container_name = text("container_name");
  facts.pod = text("pod");
  facts.configured_name = text("configured_name");
  facts.application = text("application");
  return Event(std::move(facts));
}

Result<Event> decode_source(const ls_header& header, std::span<const std::byte> payload) {
  auto json = parse_json<nlohmann::json>(payload);
  if (!json.is_object()) return failure("source lines are no JSON object");
  SourceSeen source{.time_ns = header.time_ns, .tgid = header.tgid};
  auto read = [&](const char* key, auto& value) {
    using Value = std::decay_t<decltype(value)>;
    auto found = json.find(key);
    if (found == json.end()) return;
    if constexpr (std::is_same_v<Value, std::string>) {
      if (found->is_string()) value = found->template get<std::string>();
    } else if constexpr (std::is_same_v<Value, bool>) {
      if (found->is_boolean()) value = found->template get<bool>();
    } else {
      if (found->is_number_unsigned()) value = found->template get<Value>();
    }
  };
  read("file", source.file);
  read("line", source.line);
  read("end_line", source.end_line);
  read("text", source.text);
  read("public", source.is_public);
  return Event(std::move(source));
}

Result<Event> decode_kernel_function(const ls_header& header, std::span<const std::byte> payload) {
  KernelFunction function{.time_ns = header.time_ns, .number = header.tid};
  auto text = std::string_view(reinterpret_cast<const char*>(payload.data()), payload.size());
  bool is_name = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (text.empty() || text.size() > kMaxKernelName || !is_name)
    return failure("the name of a kernel's function is none");
  function.name = text;
  return Event(std::move(function));
}

ls_header own_header(uint32_t kind, size_t size, uint64_t time_ns, uint32_t tgid, uint32_t tid) {
  return {.kind = kind,
          .size = static_cast<uint32_t>(size),
          .time_ns = time_ns,
          .tgid = tgid,
          .tid = tid};
}

template <typename Record>
std::vector<std::byte> to_bytes(const Record& record) {
  std::vector<std::byte> bytes(sizeof(record));
  std::memcpy(bytes.data(), &record, sizeof(record));
  return bytes;
}

}  // namespace

Result<Event> decode(std::span<const std::byte> bytes) {
  ls_header header;
  if (bytes.size() < sizeof(header))
    return failure(fmt::format("record has {} bytes, less than a header", bytes.size()));
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.size != bytes.size())
    return failure(fmt::format("record says {} bytes and has {}", header.size, bytes.size()));
  if (!valid_times({header.time_ns})) return failure("a record's time is out of range");
  switch (header.kind) {
    case LS_KIND_POLLER: return wrap<PollerSeen, ls_poller>(bytes);
    case LS_KIND_STALL: return wrap<StallEnded, ls_stall>(bytes);
    case LS_KIND_WAKER: return wrap<WakerSeen, ls_waker>(bytes);
    case LS_KIND_WAITERS: return wrap<WaitersSeen, ls_waiters_record>(bytes);
    case LS_KIND_LOOP_END: return wrap<LoopEnded, ls_loop_end>(bytes);
    case LS_KIND_STACK: return wrap<StackSeen, ls_stack_record>(bytes);
    case LS_KIND_CODE: return wrap<CodeSeen, ls_code>(bytes);
    case LS_KIND_FUNCTIONS: return wrap<FunctionsSeen, ls_functions>(bytes);
    case LS_KIND_PROCESS_EXEC: return wrap<ProcessExec, ls_process>(bytes);
    case LS_KIND_PROCESS_FORK: return wrap<ProcessFork, ls_process>(bytes);
    case LS_KIND_PROCESS_EXIT: return wrap<ProcessExit, ls_process>(bytes);
    case kLoopState: return decode_state(bytes);
    case kLoopVerdict: return decode_verdict(bytes);
    case kProcessFacts: return decode_facts(header, bytes.subspan(sizeof(header)));
    case kSource: return decode_source(header, bytes.subspan(sizeof(header)));
    case kKernelFunction: return decode_kernel_function(header, bytes.subspan(sizeof(header)));
    case kPools:
      return decode_pools(header, bytes.subspan(sizeof(header))).map([](PoolState&& s) {
        return Event(std::move(s));
      });
    case kLost: {
      auto record = copy<LostRecord>(bytes);
      if (!record) return tl::make_unexpected(record.error());
      return Event(Lost{.time_ns = header.time_ns, .records = record->records});
    }
    default: return failure(fmt::format("unknown record kind {}", header.kind));
  }
}

std::vector<std::byte> encode(const LoopState& state) {
  StateRecord record{};
  record.header =
      own_header(kLoopState, sizeof(record), state.time_ns, state.loop.tgid, state.loop.tid);
  record.row = state.row;
  record.loop = state.loop;
  return to_bytes(record);
}

namespace {

// A header and a JSON object. Bytes that are no UTF-8 are replaced.
std::vector<std::byte> json_record(uint32_t kind, const nlohmann::json& json, uint64_t time_ns,
                                   uint32_t tgid) {
  std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  ls_header header = own_header(kind, sizeof(header) + text.size(), time_ns, tgid, 0);
  std::vector<std::byte> bytes(sizeof(header) + text.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), text.data(), text.size());
  return bytes;
}

}  // namespace

std::vector<std::byte> encode(const ProcessFacts& facts, uint64_t time_ns) {
  return json_record(kProcessFacts,
                     {
                         {"start_ticks", facts.start_ticks},
                         {"is_python", facts.is_python},
                         {"why_not", facts.why_not},
                         {"python", facts.python},
                         {"comm", facts.comm},
                         {"program", facts.program},
                         {"unit", facts.unit},
                         {"container", facts.container},
                         {"container_name", facts.container_name},
                         {"pod", facts.pod},
                         {"configured_name", facts.configured_name},
                         {"application", facts.application},
                     },
                     time_ns, facts.tgid);
}

std::vector<std::byte> encode(const SourceSeen& source) {
  return json_record(kSource,
                     {
                         {"file", source.file},
                         {"line", source.line},
                         {"end_line", source.end_line},
                         {"text", source.text},
                         {"public", source.is_public},
                     },
                     source.time_ns, source.tgid);
}

std::vector<std::byte> encode(const KernelFunction& function) {
  std::string_view name = std::string_view(function.name).substr(0, kMaxKernelName);
  ls_header header = own_header(kKernelFunction, sizeof(ls_header) + name.size(), function.time_ns,
                                0, function.number);
  std::vector<std::byte> bytes(sizeof(header) + name.size());
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), name.data(), name.size());
  return bytes;
}

std::vector<std::byte> encode(const PoolState& state) {
  return json_record(kPools, pools_json(state), state.time_ns, state.tgid);
}

std::vector<std::byte> encode(const LoopVerdict& verdict) {
  VerdictRecord record{};
  record.header = own_header(kLoopVerdict, sizeof(record), verdict.time_ns, 0, 0);
  record.row = verdict.row;
  record.generation = verdict.generation;
  record.is_loop = verdict.is_loop;
  record.kind = static_cast<uint32_t>(verdict.kind);
  return to_bytes(record);
}

std::vector<std::byte> encode(const Lost& lost) {
  LostRecord record{};
  record.header = own_header(kLost, sizeof(record), lost.time_ns, 0, 0);
  record.records = lost.records;
  return to_bytes(record);
}

}  // namespace loopsight
