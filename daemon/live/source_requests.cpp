#include "daemon/live/source_requests.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <climits>
#include <utility>

#include "daemon/base/clock.h"

namespace loopsight {
namespace {

constexpr size_t kMostPauses = 4096;
constexpr unsigned kMostDoublings = 6;
constexpr std::chrono::seconds kPause{10};

Fd open_process(const std::string& proc_root, uint32_t tgid) {
  return Fd(
      open(fmt::format("{}/{}", proc_root, tgid).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Fd open_directory(const Fd& process, const char* name) {
  return Fd(openat(process.get(), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

std::string host_path(const Fd& process, const std::string& file) {
  if (file.starts_with('/')) return file;
  std::array<char, PATH_MAX> target{};
  ssize_t length = readlinkat(process.get(), "cwd", target.data(), target.size());
  if (length <= 0 || length >= PATH_MAX) return "";
  std::string path(target.data(), static_cast<size_t>(length));
  path += '/' + file;
  return path.size() <= kMaxSourcePath ? path : "";
}

struct Read {
  SourceAnswer answer;
  std::optional<ProgramImage> now;  // what the process runs, where it is not what was asked for
};

// On a thread of its own: a stranger's directory may be on a mount whose server has gone.
Read read_with(SourceReader& reader, const std::string& proc_root, const SourcePlace& place,
               const ProgramImage& image) {
  Fd process = open_process(proc_root, place.tgid);
  if (!process) return {};
  auto before = read_image(process);
  if (before != image) return {.now = before};
  Fd base = open_directory(process, place.file.starts_with('/') ? "root" : "cwd");
  if (!base) return {};
  // What other users see: the root of the first process, or ours where that one's is not to be had.
  Fd host_root(open((proc_root + "/1/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!host_root) host_root = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  SourceAnswer answer = reader.ask({.number = 0,
                                    .as = image.user,
                                    .first = place.first,
                                    .last = place.last,
                                    .started_ns = place.started_ns,
                                    .path = place.file,
                                    .host_path = host_path(process, place.file)},
                                   base, host_root);
  auto after = read_image(process);
  if (after != image) return {.now = after};
  return {.answer = std::move(answer)};
}

// Whether another try may come out otherwise.
bool is_passing(SourceOutcome outcome) {
  return outcome == SourceOutcome::kHung || outcome == SourceOutcome::kDied ||
         outcome == SourceOutcome::kTooManyHang;
}

}  // namespace

void SourceRequests::on_process(uint32_t tgid) {
  if (!reader_) return;
  auto image = reads_->of(tgid, [root = proc_root_, tgid] {
    Fd process = open_process(root, tgid);
    return process ? read_image(process) : std::nullopt;
  });
  forget(tgid);
  if (!image || !*image) return;
  known_[tgid] = {.image = std::move(**image), .since_ns = monotonic_now_ns()};
  for (uint32_t gone : shares_.add(tgid, owner_of_(tgid))) known_.erase(gone);
}

bool SourceRequests::pauses(uint32_t user) const {
  auto found = pauses_.find(user);
  return found != pauses_.end() && std::chrono::steady_clock::now() < found->second.until;
}

void SourceRequests::note_hang(uint32_t user) {
  if (pauses_.size() >= kMostPauses)
    pauses_.erase(std::min_element(
        pauses_.begin(), pauses_.end(),
        [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
  Pause& pause = pauses_[user];
  pause.until =
      std::chrono::steady_clock::now() + kPause * (1U << std::min(pause.times++, kMostDoublings));
  spdlog::warn(
      "a source file of user {} cannot be read in time: for a while none of this user's is", user);
}

std::optional<std::optional<SourceLines>> SourceRequests::read(const SourcePlace& place) {
  using Lines = std::optional<SourceLines>;
  if (!reader_ || place.file.empty() || place.file.starts_with('<') ||
      place.file.size() > kMaxSourcePath || place.file.find('\0') != std::string::npos)
    return Lines();
  auto known = known_.find(place.tgid);
  if (known == known_.end()) {
    on_process(place.tgid);  // for what comes
    return std::nullopt;
  }
  const ProgramImage& image = known->second.image;
  if (place.seen_ns < known->second.since_ns || pauses(image.user.user)) return std::nullopt;
  auto read = reads_->of(place.tgid, [reader = reader_, root = proc_root_, place, image] {
    return read_with(*reader, root, place, image);
  });
  if (!read) return std::nullopt;
  if (read->now) {
    discarded_++;
    known->second = {.image = std::move(*read->now), .since_ns = monotonic_now_ns()};
    return std::nullopt;
  }
  SourceOutcome outcome = read->answer.outcome;
  if (outcome == SourceOutcome::kHung) note_hang(image.user.user);
  spdlog::debug("pid {}: a source file was asked for: {}", place.tgid, name_of(outcome));
  if (is_passing(outcome)) return std::nullopt;
  if (outcome != SourceOutcome::kRead) return Lines();
  return Lines({.text = std::move(read->answer.text), .is_public = read->answer.is_public});
}

}  // namespace loopsight
