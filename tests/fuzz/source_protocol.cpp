// What the daemon and the reader of source files say to each other, both directions, and the files
// of /proc by which a program's rights are told.
#include "daemon/host/source_protocol.h"

#include <algorithm>
#include <span>

#include "daemon/host/program_image.h"
#include "daemon/host/source_file.h"
#include "tests/fuzz/target.h"

namespace loopsight {
namespace {

void check_request(std::span<const std::byte> bytes) {
  auto request = decode_source_request(bytes);
  if (!request) return;
  const FileUser& as = request->as;
  fuzz::require(as.user != UINT32_MAX && as.group != UINT32_MAX, "a user and a group");
  fuzz::require(!as.reads_all || as.user == 0, "only root reads all");
  fuzz::require(as.groups.size() <= kMaxReaderGroups, "few groups");
  fuzz::require(request->first > 0 && request->last >= request->first &&
                    request->last - request->first < kMaxSourceLines,
                "lines in order");
  fuzz::require(!request->path.empty() && request->path.find('\0') == std::string::npos, "a path");
  auto again = encode(*request);
  fuzz::require(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()), "the same");
}

void check_answer(std::span<const std::byte> bytes) {
  auto answer = decode_source_answer(bytes);
  if (!answer) return;
  fuzz::require(answer->text.size() <= kMaxSourceLinesBytes, "few bytes");
  fuzz::require(answer->outcome == SourceOutcome::kRead || answer->text.empty(), "nothing unread");
  fuzz::require(*name_of(answer->outcome) != '\0', "a name");
  SourceRequest request{.number = answer->number, .first = 1, .last = 3};
  auto feeds = std::count(answer->text.begin(), answer->text.end(), '\n');
  if (answers(*answer, request))
    fuzz::require(answer->outcome != SourceOutcome::kRead || feeds == 2, "as many lines");
}

}  // namespace
}  // namespace loopsight

FUZZ_TARGET(source_protocol, input) {
  auto bytes = std::as_bytes(std::span(input.data(), input.size()));
  check_request(bytes);
  check_answer(bytes);
  ProgramImage image;
  if (parse_image_stat(input, image))
    fuzz::require(image.start_stack > 1 && image.start_code > 1, "it has memory");
  FileUser user;
  if (parse_image_status(input, true, user)) {
    fuzz::require(user.user != UINT32_MAX && user.group != UINT32_MAX, "a user and a group");
    fuzz::require(!user.reads_all || user.user == 0, "only root reads all");
    fuzz::require(user.groups.size() <= kMaxReaderGroups, "few groups");
  }
}
