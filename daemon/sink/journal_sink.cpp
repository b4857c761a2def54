#include "daemon/sink/journal_sink.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/un.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <cerrno>
#include <cstring>

#include "daemon/base/fd.h"
#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr const char* kSocket = "/run/systemd/journal/socket";
constexpr size_t kMaxValue = 2000;

// 0 or the errno. The library itself says nothing where there is no journal.
int knock() {
  Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, kSocket, sizeof(address.sun_path) - 1);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 ? 0 : errno;
}

std::string message(const StallReport& report) {
  const Stall& stall = report.stall;
  std::string text = fmt::format("{}[{}] {} {}: {}", report.process.workload, report.process.worker,
                                 stall.in_progress ? "is stalled for" : "stalled for",
                                 format_duration(stall.duration_ns()), kCauseNames[report.cause]);
  if (report.culprit)
    text += fmt::format(" in {} ({}:{})", report.culprit->function, report.culprit->file,
                        report.culprit->line);
  if (!report.advice.empty()) text += fmt::format(". {}", report.advice);
  return text;
}

}  // namespace

JournalFields journal_fields(const StallReport& report) {
  const Stall& stall = report.stall;
  JournalFields fields = {{"MESSAGE", message(report)},
                          {"MESSAGE_ID", kStallMessageId},
                          {"PRIORITY", "4"},
                          {"SYSLOG_IDENTIFIER", "loopsight"},
                          {"LOOPSIGHT_WORKLOAD", report.process.workload},
                          {"LOOPSIGHT_WORKER", std::to_string(report.process.worker)},
                          {"LOOPSIGHT_PID", std::to_string(stall.tgid)},
                          {"LOOPSIGHT_TID", std::to_string(stall.tid)},
                          {"LOOPSIGHT_LOOP", name_of(stall.kind)},
                          {"LOOPSIGHT_IN_PROGRESS", stall.in_progress ? "1" : "0"},
                          {"LOOPSIGHT_DURATION_USEC", std::to_string(stall.duration_ns() / 1000)},
                          {"LOOPSIGHT_START_MONOTONIC_USEC", std::to_string(stall.start_ns / 1000)},
                          {"LOOPSIGHT_CAUSE", kCauseNames[report.cause]},
                          {"LOOPSIGHT_BLAME", report.host_to_blame ? "host" : "code"}};
  auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) fields.emplace_back(key, value);
  };
  for (size_t cause = 0; cause < stall.causes.size(); cause++) {
    if (stall.causes[cause] == 0) continue;
    std::string key = fmt::format("LOOPSIGHT_CAUSE_{}_USEC", kCauseNames[cause]);
    for (char& c : key)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    fields.emplace_back(std::move(key), std::to_string(stall.causes[cause] / 1000));
  }
  if (report.culprit) {
    const Frame& culprit = *report.culprit;
    add("LOOPSIGHT_CULPRIT", culprit.module.empty()
                                 ? culprit.function
                                 : fmt::format("{}:{}", culprit.module, culprit.function));
    add("LOOPSIGHT_FILE", culprit.file);
    add("LOOPSIGHT_LINE", std::to_string(culprit.line));
  }
  if (report.wait) {
    add("LOOPSIGHT_WAIT_SYSCALL", report.wait->syscall);
    add("LOOPSIGHT_WAIT_TARGET", report.wait->target.value_or(""));
  }
  add("LOOPSIGHT_UNIT", report.process.unit);
  add("OBJECT_SYSTEMD_UNIT", report.process.unit);
  add("LOOPSIGHT_CONTAINER", report.process.container);
  add("LOOPSIGHT_TASK", report.task);
  add("LOOPSIGHT_ADVICE", report.advice);
  for (auto& [key, value] : fields) value = clean_text(value, kMaxValue);
  return fields;
}

Result<JournalSink> JournalSink::open() {
  if (int error = knock(); error != 0)
    return failure(
        fmt::format("cannot write to the journal at {}: {}; start systemd-journald or leave "
                    "--export.journal out",
                    kSocket, std::strerror(error)));
  return JournalSink();
}

Result<void> JournalSink::on_stall(const StallReport& report) {
  JournalFields fields = journal_fields(report);
  std::vector<std::string> lines;
  lines.reserve(fields.size());
  for (const auto& [key, value] : fields) lines.push_back(fmt::format("{}={}", key, value));
  std::vector<iovec> parts;
  parts.reserve(lines.size());
  for (std::string& line : lines)
    parts.push_back({.iov_base = line.data(), .iov_len = line.size()});
  int error = knock();
  if (error == 0) error = -sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
  if (error != 0) {
    failures_++;
    if (!failing_)
      spdlog::warn("cannot write to the journal: {}; stalls are lost there until it works",
                   std::strerror(error));
  } else if (failing_) {
    spdlog::info("the journal is written again; {} stalls are not in it", failures_);
  }
  failing_ = error != 0;
  return {};
}

}  // namespace loopsight
