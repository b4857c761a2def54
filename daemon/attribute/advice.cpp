#include "daemon/attribute/advice.h"

#include <algorithm>
#include <optional>

#include "bpf/wire.h"
#include "daemon/attribute/cause_bits.h"
#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

constexpr uint32_t kLock = cause_bits(LS_CAUSE_LOCK);
constexpr uint32_t kSystem = cause_bits(LS_CAUSE_SYSTEM);
constexpr uint32_t kAny =
    cause_bits(LS_CAUSE_CPU, LS_CAUSE_LOCK, LS_CAUSE_SLEEP, LS_CAUSE_NETWORK, LS_CAUSE_DISK,
               LS_CAUSE_PIPE, LS_CAUSE_SUBPROCESS, LS_CAUSE_OTHER, LS_CAUSE_SYSTEM);

// What no call tells, but the shape of the stall.
constexpr AdviceRule kManyCallbacks = {
    "many_callbacks",
    kAny,
    "",
    "",
    "",
    "Many callbacks were ready at once and none of them is slow: the loop is saturated; spread "
    "the work over more processes, or limit how much is started at a time."};
constexpr AdviceRule kStoppedWorld = {
    "stopped_world",
    cause_bits(LS_CAUSE_OTHER),
    "",
    "",
    "",
    "Another thread stopped the whole free-threaded interpreter, as a garbage collection does: "
    "call gc.freeze() after start-up and raise gc.set_threshold."};
constexpr AdviceRule kConvoy = {
    "lock_convoy",
    cause_bits(LS_CAUSE_GIL),
    "",
    "",
    "",
    "The loop gave the interpreter lock up in each system call and waited the switch interval to "
    "get it back from a thread that computes: move that work to a process, or lower "
    "sys.setswitchinterval."};
constexpr AdviceRule kTimedOut = {
    "timed_out",
    cause_bits(LS_CAUSE_SLEEP),
    "",
    "",
    "",
    "A wait with a time-out took all of its time and nobody ended it: await it instead "
    "(asyncio.wait_for with asyncio.Event or asyncio.Queue), or do it in asyncio.to_thread."};
constexpr AdviceRule kMemoryMap = {
    "memory_map",
    kLock,
    "",
    "",
    "",
    "The loop needed the process's memory map while another thread changed it (mmap, munmap, "
    "mprotect or a fork of much memory): have that done in another process, or in small parts."};
constexpr AdviceRule kMemoryLimit = {
    "memory_limit",
    cause_bits(LS_CAUSE_OTHER),
    "",
    "",
    "",
    "The service is at the memory limit of its cgroup, and the kernel freed memory first: raise "
    "the limit (memory.max, memory.high) or use less memory."};
// By what the kernel did.
constexpr AdviceRule kForked = {
    "fork",
    kSystem,
    "",
    "",
    "",
    "The kernel copied the page tables of the whole process to fork it: start children early and "
    "from a small process (multiprocessing's forkserver), or by subprocess, which need not copy "
    "(posix_spawn or vfork: no preexec_fn)."};
constexpr AdviceRule kMinorFaults = {
    "minor_faults",
    kSystem,
    "",
    "",
    "",
    "The kernel gave the process memory page by page as it was first touched: use buffers again, "
    "allocate less at a time, or do it in asyncio.to_thread."};
constexpr AdviceRule kUnmapped = {
    "unmap",
    kSystem,
    "",
    "",
    "",
    "The kernel took back or changed much memory of the process: free large objects in "
    "asyncio.to_thread, keep them for the next use, or hold less at a time."};
constexpr AdviceRule kRandom = {
    "random",
    kSystem,
    "",
    "",
    "",
    "The kernel made many random bytes: ask for less, or use os.urandom in asyncio.to_thread."};
// By whether the interpreter lock was held.
constexpr AdviceRule kUnlocked = {
    "lock_released",
    cause_bits(LS_CAUSE_CPU),
    "",
    "",
    "",
    "Native code computed with the interpreter lock given up: asyncio.to_thread is enough to keep "
    "the loop free."};
constexpr AdviceRule kLocked = {
    "lock_held",
    cause_bits(LS_CAUSE_CPU),
    "",
    "",
    "",
    "It computed with the interpreter lock held, so that in a thread it would hold the loop up all "
    "the same: move it to a process pool, or do less of it at a time."};
constexpr uint32_t kWaits = cause_bits(LS_CAUSE_NETWORK, LS_CAUSE_LOCK, LS_CAUSE_SLEEP,
                                       LS_CAUSE_SUBPROCESS, LS_CAUSE_PIPE, LS_CAUSE_DISK);
constexpr AdviceRule kOwnFault = {
    "asynchronous_library",
    kWaits,
    "",
    "",
    "",
    "A library that is asynchronous itself made a blocking call: update it, or report it to those "
    "who make it; until then call what leads there in asyncio.to_thread."};
constexpr AdviceRule kUnpatched = {
    "not_patched",
    kWaits,
    "",
    "",
    "",
    "The hub's thread waited in a call that is not cooperative: patch the standard library before "
    "anything else is imported (gevent.monkey.patch_all), or do it in asyncio.to_thread."};
constexpr AdviceRule kShapes[] = {
    kManyCallbacks, kStoppedWorld, kConvoy, kTimedOut, kMemoryMap, kMemoryLimit, kForked,
    kMinorFaults,   kUnmapped,     kRandom, kUnlocked, kLocked,    kOwnFault,    kUnpatched};

// Libraries in native code that wait for a thread of their own, by the names that they give those;
// of their frames there may be none.
struct ThreadOfLibrary {
  std::string_view prefix;
  std::string_view rule;
};
constexpr ThreadOfLibrary kThreads[] = {
    {"ZMQbg/", "zeromq"}, {"rdk:", "kafka"}, {"grpc_", "grpc"}, {"event_engine", "grpc"}};

const AdviceRule* find_rule(std::string_view name) {
  for (const AdviceRule& rule : advice_rules())
    if (rule.name == name) return &rule;
  return nullptr;
}

const AdviceRule* find_rule_of_thread(std::string_view comm, uint32_t cause) {
  for (const ThreadOfLibrary& one : kThreads)
    if (const AdviceRule* rule = comm.starts_with(one.prefix) ? find_rule(one.rule) : nullptr)
      if (rule->causes >> cause & 1) return rule;
  return nullptr;
}

// What computes without the interpreter lock needs no process of its own, what has it needs one.
const AdviceRule* by_lock(const AdviceRule* rule, uint32_t cause, std::optional<bool> held) {
  if (cause != LS_CAUSE_CPU || !held) return rule;
  bool to_process = rule->text.find("process pool") != std::string_view::npos;
  bool to_thread = rule->text.find("asyncio.to_thread") != std::string_view::npos;
  if (!*held && to_process) return &kUnlocked;
  if (*held && to_thread && !to_process) return &kLocked;
  return rule;
}

struct Word {
  LoopKind kind;
  std::string_view asyncio;
  std::string_view own;
};
// The longer ones first.
constexpr Word kWords[] = {
    {LoopKind::kTrio, "await asyncio.sleep", "await trio.sleep"},
    {LoopKind::kTrio, "asyncio.to_thread", "trio.to_thread.run_sync"},
    {LoopKind::kTrio, "asyncio.create_subprocess_exec", "trio.run_process"},
    {LoopKind::kTrio, "asyncio.create_subprocess_shell", "trio.run_process"},
    {LoopKind::kTrio, "asyncio.open_connection", "trio.open_tcp_stream"},
    {LoopKind::kTrio, "asyncio.Queue", "trio.open_memory_channel"},
    {LoopKind::kTrio, "asyncio.wait_for", "trio.move_on_after"},
    {LoopKind::kTrio, "asyncio.Event", "trio.Event"},
    {LoopKind::kTrio, "asyncio.Lock", "trio.Lock"},
    {LoopKind::kTrio, "loop.run_in_executor with a ProcessPoolExecutor",
     "trio.to_thread.run_sync over a ProcessPoolExecutor"},
    {LoopKind::kTwisted, "await asyncio.sleep", "task.deferLater"},
    {LoopKind::kTwisted, "asyncio.to_thread", "threads.deferToThread"},
    {LoopKind::kTwisted, "asyncio.create_subprocess_exec", "reactor.spawnProcess"},
    {LoopKind::kTwisted, "asyncio.create_subprocess_shell", "utils.getProcessOutput"},
    {LoopKind::kTwisted, "asyncio.open_connection", "Twisted's endpoints"},
    {LoopKind::kTwisted, "asyncio.Queue", "DeferredQueue"},
    {LoopKind::kTwisted, "asyncio.Lock", "DeferredLock"},
    {LoopKind::kTwisted, "loop.getaddrinfo", "reactor.resolve"},
    {LoopKind::kGevent, "await asyncio.sleep", "gevent.sleep"},
    {LoopKind::kGevent, "asyncio.to_thread", "gevent.get_hub().threadpool"},
    {LoopKind::kGevent, "loop.run_in_executor with a ProcessPoolExecutor",
     "the hub's threadpool over a ProcessPoolExecutor"},
    {LoopKind::kEventlet, "gevent.monkey.patch_all", "eventlet.monkey_patch"},
    {LoopKind::kEventlet, "await asyncio.sleep", "eventlet.sleep"},
    {LoopKind::kEventlet, "asyncio.to_thread", "eventlet.tpool.execute"},
    {LoopKind::kEventlet, "loop.run_in_executor with a ProcessPoolExecutor",
     "eventlet.tpool over a ProcessPoolExecutor"},
    {LoopKind::kCurio, "await asyncio.sleep", "await curio.sleep"},
    {LoopKind::kCurio, "asyncio.to_thread", "curio.run_in_thread"},
    {LoopKind::kCurio, "loop.run_in_executor with a ProcessPoolExecutor", "curio.run_in_process"},
};

const AdviceRule* find_kernel_rule(const SystemReport& system) {
  std::string_view call = system.call;
  if (system.is_fork()) return &kForked;
  if (call == SystemReport::kPageFault) return &kMinorFaults;
  if (call == "munmap" || call == "madvise" || call == "mremap" || call == "mprotect" ||
      call == "brk")
    return &kUnmapped;
  if (call == "getrandom") return &kRandom;
  return nullptr;
}

template <typename Test>
bool any_of_list(std::string_view list, Test test) {
  while (!list.empty()) {
    size_t bar = list.find('|');
    if (test(list.substr(0, bar))) return true;
    list.remove_prefix(bar == std::string_view::npos ? list.size() : bar + 1);
  }
  return false;
}

// "redis.asyncio.client", "grpc.aio", "pymongo.asynchronous.pool", "psycopg.connection_async".
bool is_asynchronous(std::string_view module) {
  size_t dot = module.find('.');
  if (dot == std::string_view::npos) return false;
  std::string_view rest = module.substr(dot);
  return rest.find("async") != std::string_view::npos || rest.starts_with(".aio") ||
         rest.find(".aio.") != std::string_view::npos;
}

// The library that the service called, or that runs by itself, is asynchronous, and what blocks is
// its own.
bool is_own_fault(const StallReport& report) {
  for (const Frame& frame : report.frames) {
    if (frame.whose == Whose::kOwn || frame.whose == Whose::kOutside) return false;
    if (frame.whose == Whose::kPackage && is_asynchronous(frame.module) &&
        frame.module.find("sqlalchemy") != 0)
      return true;
  }
  return false;
}

bool in_package(std::string_view module, std::string_view package) {
  return module == package || (module.starts_with(package) && module[package.size()] == '.');
}

// What the service's code called: the frames further in than the culprit. Where no code of the
// service is to blame, any below the loop.
bool fits_frames(const AdviceRule& rule, const StallReport& report) {
  for (const Frame& frame : report.frames) {
    if (frame.whose == Whose::kOwn || frame.whose == Whose::kOutside) return false;
    bool module = any_of_list(
        rule.modules, [&](std::string_view package) { return in_package(frame.module, package); });
    bool function =
        rule.functions.empty() || any_of_list(rule.functions, [&](std::string_view one) {
          return last_name(frame.function) == one;
        });
    if (module && function) return true;
  }
  return false;
}

// "sleep(" stands in "time.sleep(5)" and "sleep(5)", not in "oversleep(5)".
bool stands_in(std::string_view call, std::string_view expression) {
  auto is_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  for (size_t at = expression.find(call); at != std::string_view::npos;
       at = expression.find(call, at + 1))
    if (at == 0 || !is_name(call.front()) || !is_name(expression[at - 1])) return true;
  return false;
}

bool fits_call(const AdviceRule& rule, const StallReport& report) {
  return any_of_list(rule.calls, [&](std::string_view call) {
    if (report.culprit && stands_in(call, report.culprit->expression)) return true;
    if (report.callee.empty() || !call.ends_with('(')) return false;
    std::string_view name = call.substr(0, call.size() - 1);
    return last_name(name) == report.callee && name.find('.') == std::string_view::npos;
  });
}

}  // namespace

std::span<const AdviceRule> advice_shapes() { return kShapes; }

std::string advice_text(const AdviceRule& rule, const StallReport& report) {
  std::string text(rule.text);
  for (const Word& word : kWords) {
    if (word.kind != report.stall.kind) continue;
    for (size_t at = 0; (at = text.find(word.asyncio, at)) != std::string::npos;
         at += word.own.size())
      text.replace(at, word.asyncio.size(), word.own);
  }
  return text;
}

const AdviceRule& find_advice(const StallReport& report) {
  uint32_t cause = report.cause < LS_CAUSES ? report.cause : uint32_t{LS_CAUSE_UNKNOWN};
  if (report.stall.wait && report.stall.wait->object == LS_OBJECT_STOPPED_WORLD &&
      kStoppedWorld.causes >> cause & 1)
    return kStoppedWorld;
  if (report.gil_waits && report.gil_waits->convoy && kConvoy.causes >> cause & 1) return kConvoy;
  constexpr uint32_t kMany = 20;
  if (report.callbacks && report.callbacks->count >= kMany && report.callbacks->all_small &&
      kManyCallbacks.causes >> cause & 1)
    return kManyCallbacks;
  bool is_memory = report.stall.wait && report.stall.wait->object == LS_OBJECT_MEMORY_MAP &&
                   report.stall.wait->cause == cause;
  if (is_memory && cause == LS_CAUSE_LOCK) return kMemoryMap;
  if (is_memory && cause == LS_CAUSE_OTHER && report.wait && report.wait->at_memory_limit)
    return kMemoryLimit;
  if (cause == LS_CAUSE_SYSTEM && report.system)
    if (const AdviceRule* rule = find_kernel_rule(*report.system)) return *rule;
  if (report.waited_for)
    if (const AdviceRule* rule = find_rule_of_thread(report.waited_for->comm, cause)) return *rule;
  if (kOwnFault.causes >> cause & 1 && is_own_fault(report)) return kOwnFault;
  bool is_hub = report.stall.kind == LoopKind::kGevent || report.stall.kind == LoopKind::kEventlet;
  if (is_hub && cause != LS_CAUSE_DISK && kUnpatched.causes >> cause & 1) return kUnpatched;
  if (cause == LS_CAUSE_NETWORK && report.wait && report.wait->target &&
      report.wait->target->ends_with(":53"))
    if (const AdviceRule* rule = find_rule("getaddrinfo")) return *rule;
  bool timed_out = report.wait && report.wait->timed_out && report.wait->cause == cause;
  for (const AdviceRule& rule : advice_rules()) {
    if (!(rule.causes >> cause & 1)) continue;
    bool by_cause = rule.modules.empty() && rule.calls.empty();
    if (by_cause && timed_out && kTimedOut.causes >> cause & 1) return kTimedOut;
    if (by_cause || fits_frames(rule, report) || fits_call(rule, report))
      return *by_lock(&rule, cause, report.lock_held);
  }
  return advice_rules().back();
}

}  // namespace loopsight
