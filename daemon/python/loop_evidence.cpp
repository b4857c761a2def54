#include "daemon/python/loop_evidence.h"

#include <asm/unistd_64.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "daemon/base/text.h"
#include "daemon/host/proc.h"
#include "daemon/python/plumbing.h"
#include "daemon/python/python_file.h"

namespace loopsight {
namespace {

constexpr size_t kMaxUnixTable = 32 << 20;

std::string_view base_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

bool is_c_library(std::string_view name) {
  return name.starts_with("libc.so") || name.starts_with("libc-2") || name.starts_with("ld-") ||
         name.starts_with("libpthread") || name.starts_with("ld-musl") ||
         name.starts_with("libc.musl");
}

// The path of the mapped file whose code called the C library's poll function.
std::optional<std::string> find_caller(const ls_poller& record,
                                       const std::vector<Mapping>& mappings) {
  for (uint64_t word : record.stack) {
    auto mapping = std::upper_bound(
        mappings.begin(), mappings.end(), word,
        [](uint64_t address, const Mapping& entry) { return address < entry.end; });
    if (mapping == mappings.end() || word < mapping->start || !mapping->executable) continue;
    if (is_c_library(base_name(mapping->path))) continue;
    return mapping->path;
  }
  return std::nullopt;
}

bool maps_file(const std::vector<Mapping>& mappings, std::string_view part) {
  return std::any_of(mappings.begin(), mappings.end(), [&](const Mapping& mapping) {
    return mapping.path.find(part) != std::string::npos;
  });
}

std::vector<int> watched_descriptors(const ls_poller& record, const std::string& proc_root) {
  if (record.epoll_fd >= 0)
    return read_epoll_targets(proc_root, record.header.tgid, record.epoll_fd);
  std::vector<int> fds;
  if (record.poll_syscall == __NR_poll || record.poll_syscall == __NR_ppoll) {
    for (uint32_t i = 0; i < std::min<uint32_t>(record.polled_count, LS_POLLED_WORDS); i++) {
      pollfd entry;
      std::memcpy(&entry, &record.polled[i], sizeof(entry));
      if (entry.fd >= 0) fds.push_back(entry.fd);
    }
    return fds;
  }
  for (int fd = 0; fd < static_cast<int>(std::min<uint32_t>(record.polled_count, 1024)); fd++)
    if (record.polled[fd / 64] >> (fd % 64) & 1) fds.push_back(fd);
  return fds;
}

// The inode in "socket:[123]" or "pipe:[123]".
std::optional<uint64_t> inode_of(std::string_view target, std::string_view kind) {
  if (!target.starts_with(kind) || !target.ends_with("]")) return std::nullopt;
  target.remove_prefix(kind.size());
  target.remove_suffix(1);
  uint64_t inode = 0;
  auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), inode);
  if (error != std::errc() || end != target.data() + target.size()) return std::nullopt;
  return inode;
}

// The inodes of unnamed, connected Unix stream sockets in the process's network namespace.
std::set<uint64_t> socket_pairs(uint32_t pid, const std::string& proc_root) {
  std::set<uint64_t> inodes;
  auto text = read_proc_file(fmt::format("{}/{}/net/unix", proc_root, pid), kMaxUnixTable);
  if (!text) return inodes;
  std::string_view rest = *text;
  while (!rest.empty()) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    // Num RefCount Protocol Flags Type St Inode [Path]: type 0001 is a stream, state 03 connected.
    std::vector<std::string_view> fields;
    while (!line.empty() && fields.size() < 8) {
      size_t start = line.find_first_not_of(' ');
      if (start == std::string_view::npos) break;
      line.remove_prefix(start);
      size_t stop = line.find(' ');
      fields.push_back(line.substr(0, stop));
      line.remove_prefix(stop == std::string_view::npos ? line.size() : stop);
    }
    uint64_t inode = 0;
    if (fields.size() == 7 && fields[4] == "0001" && fields[5] == "03" &&
        std::from_chars(fields[6].data(), fields[6].data() + fields[6].size(), inode).ec ==
            std::errc())
      inodes.insert(inode);
  }
  return inodes;
}

bool holds_pipe_twice(uint32_t pid, uint64_t inode, const std::string& proc_root) {
  int ends = 0;
  for (int fd = 0; fd < 1024 && ends < 2; fd++)
    if (inode_of(read_descriptor(proc_root, pid, fd), "pipe:[") == inode) ends++;
  return ends >= 2;
}

bool has_wakeup_channel(const ls_poller& record, const std::string& proc_root) {
  uint32_t pid = record.header.tgid;
  std::optional<std::set<uint64_t>> pairs;
  for (int fd : watched_descriptors(record, proc_root)) {
    std::string target = read_descriptor(proc_root, pid, fd);
    if (auto socket = inode_of(target, "socket:[")) {
      if (!pairs) pairs = socket_pairs(pid, proc_root);
      if (pairs->contains(*socket)) return true;
    }
    // A client that waits for a pipe inside a callback, or subprocess.communicate, is no loop.
    if (auto pipe = inode_of(target, "pipe:["); pipe && record.epoll_fd >= 0 && !record.nested)
      if (holds_pipe_twice(pid, *pipe, proc_root)) return true;
  }
  return false;
}

}  // namespace

std::optional<LoopKind> find_loop_kind(const std::vector<Frame>& frames) {
  // The run methods, by the end of their file's path and their function; the outermost match wins,
  // since Tornado's loop runs on asyncio's.
  struct RunMethod {
    std::string_view file;
    std::string_view function;
    LoopKind kind;
  };
  static constexpr RunMethod kRunMethods[] = {
      {"/asyncio/base_events.py", "_run_once", LoopKind::kAsyncio},
      {"/asyncio/base_events.py", "run_forever", LoopKind::kAsyncio},
      {"/tornado/platform/asyncio.py", "start", LoopKind::kTornado},
      {"/tornado/ioloop.py", "run_sync", LoopKind::kTornado},
      {"/trio/_core/_run.py", "run", LoopKind::kTrio},
      {"/trio/_core/_run.py", "unrolled_run", LoopKind::kTrio},
      {"/gevent/hub.py", "run", LoopKind::kGevent},
      {"/twisted/internet/base.py", "mainLoop", LoopKind::kTwisted},
      {"/twisted/internet/base.py", "run", LoopKind::kTwisted},
      {"/twisted/internet/base.py", "doIteration", LoopKind::kTwisted},
  };
  std::optional<LoopKind> found;
  for (const Frame& frame : frames) {
    std::string_view function = last_name(frame.function);
    for (const RunMethod& method : kRunMethods)
      if (function == method.function && frame.file.ends_with(method.file)) found = method.kind;
  }
  return found;
}

Judgement judge_poller(const PollerSeen& poller, const std::string& proc_root,
                       const std::vector<Frame>& frames) {
  const ls_poller& record = poller.record;
  auto mappings = read_mappings(proc_root, record.header.tgid);
  auto caller = find_caller(record, mappings);
  if (!caller) return {.is_loop = false, .reason = "its calling code cannot be found"};
  std::string_view name = base_name(*caller);
  if (caller->find("/uvloop/") != std::string::npos ||
      (name.starts_with("libuv.so") && maps_file(mappings, "/uvloop/")))
    return {.is_loop = true,
            .is_native = true,
            .kind = LoopKind::kUvloop,
            .reason = "polled by uvloop"};
  if (caller->find("/gevent/") != std::string::npos || name.starts_with("libev.so"))
    return {.is_loop = true,
            .is_native = true,
            .kind = LoopKind::kGevent,
            .reason = "polled by gevent"};

  bool python_polls = name.starts_with("python") || name.starts_with("libpython") ||
                      name.starts_with("select.") || name == "select.so" ||
                      caller->find("/lib-dynload/select") != std::string::npos;
  if (!python_polls) {
    // An interpreter under another name: the one file whose code is also the interpreter's.
    for (const Mapping& mapping : mappings) {
      if (mapping.path != *caller || !mapping.executable) continue;
      Fd fd = open_mapping(proc_root, record.header.tgid, mapping);
      python_polls = fd && read_python_file(fd.get()).has_value();
      break;
    }
  }
  if (!python_polls)
    return {.is_loop = false,
            .reason = fmt::format("polled by native code in {}", clean_text(name, 64))};
  if (!frames.empty()) {
    // A selector that a callback uses polls below the run method of the loop that called it.
    auto runs = std::count_if(frames.begin(), frames.end(), is_run_once);
    if (record.nested && runs == 1)
      return {.is_loop = false, .reason = "polled by a callback of another loop"};
    auto kind = find_loop_kind(frames);
    if (!kind) return {.is_loop = false, .reason = "no loop's run method among its frames"};
    return {.is_loop = true, .kind = *kind, .reason = "by its frames"};
  }
  if (!has_wakeup_channel(record, proc_root))
    return {.is_loop = false, .reason = "watches no wake-up channel of its own"};
  bool asyncio = maps_file(mappings, "/_asyncio.");
  return {.is_loop = true,
          .kind = asyncio ? LoopKind::kAsyncio : LoopKind::kUnknown,
          .reason = "polled by Python code, with a wake-up channel"};
}

}  // namespace loopsight
