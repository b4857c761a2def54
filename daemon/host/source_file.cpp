#include "daemon/host/source_file.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

#include "daemon/base/fd.h"
#include "daemon/base/text.h"
#include "daemon/host/proc.h"

namespace loopsight {
namespace {

constexpr int64_t kMaxFileBytes = 4 << 20;
constexpr size_t kMaxLinesBytes = 8192;
constexpr size_t kMaxExpression = 160;
constexpr int64_t kNsPerSecond = 1'000'000'000;

// The fourth number after a key of /proc/PID/status: the user or group for file access.
std::optional<uint32_t> file_access_id(std::string_view status, std::string_view key) {
  size_t at = status.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view line = status.substr(at + key.size());
  line = line.substr(0, line.find('\n'));
  line.remove_prefix(std::min(line.find_last_of("\t ") + 1, line.size()));
  uint32_t id = 0;
  auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), id);
  if (error != std::errc() || end != line.data() + line.size()) return std::nullopt;
  return id;
}

// Makes this thread access files as another user and group, without any privilege, until it ends.
// The kernel itself takes and gives back capabilities only where one of the two users is root.
class AccessAs {
 public:
  AccessAs(uint32_t user, uint32_t group) {
    capng_get_caps_process();
    capabilities_ = capng_save_state();
    old_group_ = setfsgid(group);
    old_user_ = setfsuid(user);
    constexpr auto kQuery = static_cast<uid_t>(-1);  // changes nothing, returns the present one
    ok_ = static_cast<uint32_t>(setfsuid(kQuery)) == user &&
          static_cast<uint32_t>(setfsgid(kQuery)) == group && capabilities_;
    if (user == 0) return;
    for (unsigned capability : {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH})
      capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, capability);
    ok_ = capng_apply(CAPNG_SELECT_CAPS) == 0 && ok_;
  }
  ~AccessAs() {
    setfsuid(static_cast<uid_t>(old_user_));
    setfsgid(static_cast<gid_t>(old_group_));
    capng_restore_state(&capabilities_);
    capng_apply(CAPNG_SELECT_CAPS);
  }
  AccessAs(const AccessAs&) = delete;
  AccessAs& operator=(const AccessAs&) = delete;
  bool ok() const { return ok_; }

 private:
  int old_user_ = 0;
  int old_group_ = 0;
  void* capabilities_ = nullptr;
  bool ok_ = false;
};

// Our own supplementary groups, which AccessAs leaves, must not be what lets a file be read.
bool may_read(const struct stat& status, uint32_t user, uint32_t group) {
  if (user == 0) return true;
  if (status.st_uid == user) return status.st_mode & S_IRUSR;
  if (status.st_gid == group) return status.st_mode & S_IRGRP;
  return status.st_mode & S_IROTH;
}

int64_t nanoseconds(const timespec& time) { return time.tv_sec * kNsPerSecond + time.tv_nsec; }

Fd open_source(const std::string& proc_root, uint32_t pid, const std::string& path,
               int64_t started_ns) {
  auto status = read_proc_file(fmt::format("{}/{}/status", proc_root, pid), 4096);
  constexpr uint32_t kNobody = UINT32_MAX;  // no id: what (uid_t)-1 means everywhere
  uint32_t user = status ? file_access_id(*status, "\nUid:").value_or(kNobody) : kNobody;
  uint32_t group = status ? file_access_id(*status, "\nGid:").value_or(kNobody) : kNobody;
  if (user == kNobody || group == kNobody) return Fd();
  bool absolute = path.starts_with('/');
  Fd base(open(fmt::format("{}/{}/{}", proc_root, pid, absolute ? "root" : "cwd").c_str(),
               O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!base) return Fd();
  open_how how{};
  how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how.resolve = (absolute ? RESOLVE_IN_ROOT : RESOLVE_BENEATH) | RESOLVE_NO_MAGICLINKS;
  AccessAs access(user, group);
  if (!access.ok()) return Fd();
  Fd file(static_cast<int>(syscall(SYS_openat2, base.get(), path.c_str(), &how, sizeof(how))));
  struct stat found{};
  if (!file || fstat(file.get(), &found) != 0 || !S_ISREG(found.st_mode) ||
      found.st_size > kMaxFileBytes || !may_read(found, user, group))
    return Fd();
  constexpr int64_t kSlackNs = kNsPerSecond / 2;  // ticks and file times are coarse
  int64_t changed = std::max(nanoseconds(found.st_mtim), nanoseconds(found.st_ctim));
  if (changed > started_ns + kSlackNs) return Fd();
  return file;
}

}  // namespace

std::optional<std::string> read_source_lines(const std::string& proc_root, uint32_t pid,
                                             const std::string& path, uint32_t first, uint32_t last,
                                             int64_t started_ns) {
  if (path.empty() || path.starts_with('<') || first == 0 || last < first ||
      last - first >= kMaxSourceLines)
    return std::nullopt;
  Fd file = open_source(proc_root, pid, path, started_ns);
  if (!file) return std::nullopt;
  std::string lines;
  std::string buffer(65536, '\0');
  uint32_t line = 1;
  for (int64_t total = 0; total <= kMaxFileBytes;) {
    ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return std::nullopt;
    if (got == 0) {
      bool there = line == last && !lines.empty() && lines.back() != '\n';
      return there ? std::optional(lines) : std::nullopt;
    }
    total += got;
    for (char c : std::string_view(buffer.data(), static_cast<size_t>(got))) {
      if (line >= first && (c != '\n' || line < last)) lines += c;
      if (lines.size() > kMaxLinesBytes) return std::nullopt;
      if (c == '\n' && ++line > last) return lines;
    }
  }
  return std::nullopt;
}

std::string cut_expression(const std::string& lines, uint32_t column, uint32_t end_column) {
  std::string_view text(lines);
  size_t last_start = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
  size_t end = last_start + end_column;
  size_t first_end = std::min(text.find('\n'), text.size());
  if (end_column == 0 || column >= first_end || end > text.size() || end <= column) return "";
  std::string_view part = text.substr(column, end - column);
  // Of a statement with a body only its head says what ran.
  if (part.starts_with("with ") || part.starts_with("async with "))
    part = part.substr(0, part.find('\n'));
  if (part.ends_with(':')) part.remove_suffix(1);
  std::string expression;
  bool blank = false;
  for (char c : part) {
    if (std::isspace(static_cast<unsigned char>(c))) {
      blank = true;
      continue;
    }
    // What was broken after a bracket is joined as it would be written on one line.
    if (blank && !expression.empty() && expression.back() != '(' && expression.back() != '[' &&
        c != ')' && c != ']')
      expression += ' ';
    blank = false;
    expression += c;
  }
  return clean_text(expression, kMaxExpression);
}

}  // namespace loopsight
