#include "daemon/host/source_protocol.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "daemon/host/source_file.h"

namespace loopsight {
namespace {

constexpr uint64_t kRequestMark = 0x316572616c6e6f74;  // tells a request from an answer
constexpr uint64_t kAnswerMark = 0x3261737765727321;

struct RequestHead {
  uint64_t mark;
  uint64_t number;
  int64_t started_ns;
  uint32_t user;
  uint32_t group;
  uint32_t first;
  uint32_t last;
  uint32_t groups;
  uint32_t path_bytes;
  uint32_t host_path_bytes;
  uint32_t reads_all;
};

struct AnswerHead {
  uint64_t mark;
  uint64_t number;
  uint32_t outcome;
  uint32_t is_public;
};

template <typename Head>
std::optional<Head> take_head(std::span<const std::byte>& bytes, uint64_t mark) {
  Head head;
  if (bytes.size() < sizeof(head) || bytes.size() > kMaxSourceMessage) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof(head));
  bytes = bytes.subspan(sizeof(head));
  return head.mark == mark ? std::optional(head) : std::nullopt;
}

void append(std::vector<std::byte>& bytes, const void* data, size_t size) {
  const auto* first = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), first, first + size);
}

std::string take_text(std::span<const std::byte>& bytes, size_t size) {
  std::string text(size, '\0');
  if (size > 0) std::memcpy(text.data(), bytes.data(), size);
  bytes = bytes.subspan(size);
  return text;
}

bool is_path(const std::string& path) {
  return path.size() <= kMaxSourcePath && path.find('\0') == std::string::npos;
}

}  // namespace

const char* name_of(SourceOutcome outcome) {
  constexpr std::array<const char*, kSourceOutcomes> kNames = {
      "read",      "started",     "bad request", "not there",           "no regular file",
      "too large", "file system", "outside",     "another user's path", "changed",
      "no rights", "hung",        "died",        "too many hang",       "no such lines"};
  return kNames[static_cast<size_t>(outcome)];
}

std::vector<std::byte> encode(const SourceRequest& request) {
  RequestHead head{.mark = kRequestMark,
                   .number = request.number,
                   .started_ns = request.started_ns,
                   .user = request.as.user,
                   .group = request.as.group,
                   .first = request.first,
                   .last = request.last,
                   .groups = static_cast<uint32_t>(request.as.groups.size()),
                   .path_bytes = static_cast<uint32_t>(request.path.size()),
                   .host_path_bytes = static_cast<uint32_t>(request.host_path.size()),
                   .reads_all = request.as.reads_all ? 1U : 0U};
  std::vector<std::byte> bytes;
  append(bytes, &head, sizeof(head));
  append(bytes, request.as.groups.data(), request.as.groups.size() * sizeof(uint32_t));
  append(bytes, request.path.data(), request.path.size());
  append(bytes, request.host_path.data(), request.host_path.size());
  return bytes;
}

std::vector<std::byte> encode(const SourceAnswer& answer) {
  AnswerHead head{.mark = kAnswerMark,
                  .number = answer.number,
                  .outcome = static_cast<uint32_t>(answer.outcome),
                  .is_public = answer.is_public ? 1U : 0U};
  std::vector<std::byte> bytes;
  append(bytes, &head, sizeof(head));
  append(bytes, answer.text.data(), answer.text.size());
  return bytes;
}

std::optional<SourceRequest> decode_source_request(std::span<const std::byte> bytes) {
  auto head = take_head<RequestHead>(bytes, kRequestMark);
  constexpr uint32_t kNobody = UINT32_MAX;  // what (uid_t)-1 means everywhere: leave it as it is
  if (!head || head->user == kNobody || head->group == kNobody || head->reads_all > 1 ||
      (head->reads_all == 1 && head->user != 0) || head->groups > kMaxReaderGroups ||
      head->path_bytes == 0 || head->path_bytes > kMaxSourcePath ||
      head->host_path_bytes > kMaxSourcePath || head->first == 0 || head->last < head->first ||
      head->last - head->first >= kMaxSourceLines)
    return std::nullopt;
  size_t groups_bytes = head->groups * sizeof(uint32_t);
  if (bytes.size() != groups_bytes + head->path_bytes + head->host_path_bytes) return std::nullopt;
  SourceRequest request{.number = head->number,
                        .as = {.user = head->user,
                               .group = head->group,
                               .groups = std::vector<uint32_t>(head->groups),
                               .reads_all = head->reads_all == 1},
                        .first = head->first,
                        .last = head->last,
                        .started_ns = head->started_ns};
  if (groups_bytes > 0) std::memcpy(request.as.groups.data(), bytes.data(), groups_bytes);
  bytes = bytes.subspan(groups_bytes);
  request.path = take_text(bytes, head->path_bytes);
  request.host_path = take_text(bytes, head->host_path_bytes);
  const auto& groups = request.as.groups;
  if (!is_path(request.path) || !is_path(request.host_path) ||
      std::find(groups.begin(), groups.end(), kNobody) != groups.end())
    return std::nullopt;
  return request;
}

std::optional<SourceAnswer> decode_source_answer(std::span<const std::byte> bytes) {
  auto head = take_head<AnswerHead>(bytes, kAnswerMark);
  if (!head || head->outcome >= kSourceOutcomes || head->is_public > 1 ||
      bytes.size() > kMaxSourceLinesBytes)
    return std::nullopt;
  SourceAnswer answer{.number = head->number,
                      .outcome = static_cast<SourceOutcome>(head->outcome),
                      .is_public = head->is_public == 1};
  if (answer.outcome != SourceOutcome::kRead && (!bytes.empty() || answer.is_public))
    return std::nullopt;
  answer.text = take_text(bytes, bytes.size());
  return answer;
}

bool answers(const SourceAnswer& answer, const SourceRequest& request) {
  if (answer.number != request.number || answer.outcome == SourceOutcome::kStarted) return false;
  auto feeds = std::count(answer.text.begin(), answer.text.end(), '\n');
  return answer.outcome != SourceOutcome::kRead || feeds == request.last - request.first;
}

}  // namespace loopsight
