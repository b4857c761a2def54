#include "daemon/sink/json_lines_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "daemon/base/output_file.h"
#include "daemon/base/text.h"
#include "daemon/sink/json_sink.h"

namespace loopsight {
namespace {

constexpr size_t kBlockBytes = 4096;

tl::unexpected<Error> failed(const char* what, const std::string& path, int error) {
  return failure(
      fmt::format("cannot {} {}: {}", what, clean_text(path, 200), std::strerror(error)));
}

std::string rotated(const std::string& path, size_t number) {
  return fmt::format("{}.{}", path, number);
}

}  // namespace

Result<JsonLinesFile> JsonLinesFile::open(JsonLinesOptions options, WallClock clock,
                                          std::string host) {
  JsonLinesFile file(std::move(options), clock, std::move(host));
  if (auto opened = file.open_file(); !opened)
    return failure(opened.error().message + "; give another path to --export.json-lines");
  return file;
}

Result<void> JsonLinesFile::open_file() {
  fd_.reset();
  // The group that an operator gives the folder may read it, as logs are.
  auto fd = open_output_file(options_.path, {.mode = 0640, .append = true, .only_file = true});
  if (!fd) return tl::make_unexpected(fd.error());
  struct stat status{};
  if (fstat(fd->get(), &status) != 0) return failed("write", options_.path, errno);
  fd_ = *std::move(fd);
  size_ = static_cast<uint64_t>(status.st_size);
  torn_ = ends_in_a_part();
  return {};
}

// A writer that was killed while it wrote leaves a part of a line.
bool JsonLinesFile::ends_in_a_part() const {
  char last = '\n';
  Fd fd(::open(options_.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd || size_ == 0) return false;
  return pread(fd.get(), &last, 1, static_cast<off_t>(size_ - 1)) == 1 && last != '\n';
}

bool JsonLinesFile::was_moved() const {
  struct stat ours{};
  struct stat there{};
  if (fstat(fd_.get(), &ours) != 0 || lstat(options_.path.c_str(), &there) != 0) return true;
  return ours.st_dev != there.st_dev || ours.st_ino != there.st_ino;
}

Result<void> JsonLinesFile::rotate() {
  for (size_t number = options_.files - 1; number > 0; number--) {
    std::string from = number == 1 ? options_.path : rotated(options_.path, number - 1);
    std::string to = rotated(options_.path, number);
    if (std::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT)
      return failed("rotate", from, errno);
  }
  if (options_.files <= 1 && ftruncate(fd_.get(), 0) != 0)
    return failed("empty", options_.path, errno);
  return open_file();
}

Result<void> JsonLinesFile::append(const std::string& line) {
  std::string bytes = torn_ ? "\n" + line : line;
  ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
  if (written == static_cast<ssize_t>(bytes.size())) {
    size_ += bytes.size();
    torn_ = false;
    return {};
  }
  int error = written < 0 ? errno : ENOSPC;
  // Half a line would spoil the next one; it is only ours to cut if nobody else wrote meanwhile.
  if (written > 0) {
    struct stat status{};
    bool ours = fstat(fd_.get(), &status) == 0 &&
                static_cast<uint64_t>(status.st_size) == size_ + static_cast<uint64_t>(written);
    if (!ours || ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) {
      torn_ = true;
      size_ += static_cast<uint64_t>(written);
    }
  }
  return failed("write", options_.path, error);
}

void JsonLinesFile::write(const nlohmann::ordered_json& json) {
  std::string line = to_line(json) + "\n";
  Result<void> result;
  if (!fd_ || was_moved()) result = open_file();
  if (result && size_ > 0 && size_ + line.size() > options_.max_bytes) {
    // The line is worth more than the bound: where the file cannot be rotated it grows.
    if (auto done = rotate(); !done) {
      if (!failing_) spdlog::warn("{}", done.error().message);
      failing_ = true;
      if (!fd_) result = open_file();
    }
  }
  if (result) result = append(line);
  if (!result) {
    failures_++;
    if (!failing_) spdlog::warn("{}; stalls are lost there until it works", result.error().message);
    failing_ = true;
    written_since_ = 0;
  } else if (failing_ && size_ <= options_.max_bytes) {
    // On a full disk a short line may still fit into the file's last block.
    written_since_ += line.size();
    if (written_since_ <= kBlockBytes) return;
    failing_ = false;
    spdlog::info("{} is written again; {} stalls are not in it", clean_text(options_.path, 200),
                 failures_);
  }
}

Result<void> JsonLinesFile::on_stall(const StallReport& report) {
  write(stall_json(report, clock_, host_));
  return {};
}

Result<void> JsonLinesFile::on_congestion(const CongestionReport& report) {
  write(congestion_json(report, clock_, host_));
  return {};
}

Result<void> JsonLinesFile::on_executor(const ExecutorReport& report) {
  write(executor_json(report, clock_, host_));
  return {};
}

Result<void> JsonLinesFile::on_summary(const Summary& /*summary*/) { return {}; }

void JsonLinesFile::reopen() { fd_.reset(); }

}  // namespace loopsight
