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
#include "daemon/python/elf_file.h"
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

// Whether a library has a poll function of its own, which the program calls in place of the C
// library's (LD_PRELOAD): then its caller polls.
bool stands_in_for_poll(const std::string& proc_root, uint32_t pid, const Mapping& mapping) {
  Fd fd = open_mapping(proc_root, pid, mapping);
  if (!fd) return false;
  auto file = ElfFile::open(fd.get());
  return file && !file->find_symbols({"epoll_wait", "epoll_pwait", "poll", "select"}).empty();
}

// The mapped file whose code called the C library's poll function.
std::optional<Mapping> find_caller(const ls_poller& record, const std::string& proc_root,
                                   const std::vector<Mapping>& mappings) {
  std::set<std::string> passed;
  for (uint64_t word : record.stack) {
    auto mapping = std::upper_bound(
        mappings.begin(), mappings.end(), word,
        [](uint64_t address, const Mapping& entry) { return address < entry.end; });
    if (mapping == mappings.end() || word < mapping->start || !mapping->executable) continue;
    if (is_c_library(base_name(mapping->path)) || passed.contains(mapping->path)) continue;
    constexpr size_t kMostPassed = 2;
    if (passed.size() >= kMostPassed ||
        !stands_in_for_poll(proc_root, record.header.tgid, *mapping))
      return *mapping;
    passed.insert(mapping->path);
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

bool has_wakeup_channel(const ls_poller& record, const std::string& proc_root) {
  uint32_t pid = record.header.tgid;
  std::optional<std::set<uint64_t>> pairs;
  for (int fd : watched_descriptors(record, proc_root)) {
    std::string target = read_descriptor(proc_root, pid, fd);
    if (auto socket = inode_of(target, "socket:[")) {
      if (!pairs) pairs = socket_pairs(pid, proc_root);
      if (pairs->contains(*socket)) return true;
    }
  }
  return false;
}

}  // namespace

std::optional<Judgement> judge_frames(const std::vector<Frame>& frames,
                                      std::span<const RunMethodName> configured) {
  auto running = find_running_loop(frames, configured);
  if (!running || !running->polls) return std::nullopt;
  bool is_native = running->kind == LoopKind::kGevent || running->kind == LoopKind::kRloop;
  return Judgement{.is_loop = true,
                   .is_native = is_native,
                   .kind = running->kind,
                   .reason = "by its frames",
                   .running = running};
}

Judgement judge_poller(const PollerSeen& poller, const std::string& proc_root,
                       const std::vector<Frame>& frames,
                       std::span<const RunMethodName> configured) {
  const ls_poller& record = poller.record;
  if (auto own = judge_frames(frames, configured)) return *own;
  auto running = find_running_loop(frames, configured);
  auto mappings = read_mappings(proc_root, record.header.tgid);
  auto caller = find_caller(record, proc_root, mappings);
  if (!caller)
    return {.is_loop = false, .by_object = true, .reason = "its calling code cannot be found"};
  std::string_view name = base_name(caller->path);
  if (caller->path.find("/uvloop/") != std::string::npos ||
      (name.starts_with("libuv.so") && maps_file(mappings, "/uvloop/")))
    return {.is_loop = true,
            .is_native = true,
            .kind = LoopKind::kUvloop,
            .reason = "polled by uvloop"};
  if (caller->path.find("/gevent/") != std::string::npos || name.starts_with("libev.so"))
    return {.is_loop = true,
            .is_native = true,
            .kind = LoopKind::kGevent,
            .reason = "polled by gevent"};

  bool python_polls = name.starts_with("python") || name.starts_with("libpython") ||
                      name.starts_with("select.") || name == "select.so" ||
                      name.starts_with("_socket.") || name.starts_with("_ssl.") ||
                      caller->path.find("/lib-dynload/") != std::string::npos;
  if (!python_polls) {
    // An interpreter under another name: the one file whose code is also the interpreter's.
    Fd fd = open_mapping(proc_root, record.header.tgid, *caller);
    python_polls = fd && read_python_file(fd.get()).has_value();
  }
  if (!python_polls)
    return {.is_loop = false,
            .by_object = true,
            .reason = fmt::format("native code in {} polls", clean_text(name, 64))};
  if (running) return {.is_loop = false, .reason = "a callback of an event loop polls"};
  if (!frames.empty())
    return {.is_loop = false, .reason = "no run method of an event loop is among its frames"};
  if (!has_wakeup_channel(record, proc_root))
    return {.is_loop = false,
            .by_object = true,
            .reason = "its frames cannot be read, and it watches no wake-up channel of its own"};
  bool asyncio = maps_file(mappings, "/_asyncio.");
  return {.is_loop = true,
          .kind = asyncio ? LoopKind::kAsyncio : LoopKind::kUnknown,
          .reason = "polled by Python code, with a wake-up channel"};
}

}  // namespace loopsight
