// What the daemon and the reader of source files say to each other: one datagram a request, one an
// answer. The reader distrusts the daemon, whose paths come from strangers; the daemon distrusts
// the reader, which has parsed a stranger's file. So both check every length and number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace loopsight {

constexpr size_t kMaxSourceLinesBytes = 8192;
constexpr size_t kMaxSourcePath = 4095;
constexpr size_t kMaxReaderGroups = 1024;
constexpr size_t kMaxSourceMessage = 16384;

// As whom a file is read.
struct FileUser {
  uint32_t user = UINT32_MAX;
  uint32_t group = UINT32_MAX;
  std::vector<uint32_t> groups;  // supplementary
  bool reads_all = false;        // with CAP_DAC_READ_SEARCH; only of user 0
  bool operator==(const FileUser&) const = default;
};

// Two descriptors come with it: the directory that the path starts at, and the host's root.
struct SourceRequest {
  uint64_t number = 0;  // repeated by the answer
  FileUser as;
  uint32_t first = 0;  // lines from 1
  uint32_t last = 0;
  int64_t started_ns = 0;  // of the program, CLOCK_REALTIME: a file that changed later is refused
  std::string path;
  std::string host_path;  // where others of the host would find it, "" where not known
};

enum class SourceOutcome : uint32_t {
  kRead,
  kStarted,      // no answer: a reader begins its work
  kBadRequest,   // no such lines or user
  kNotThere,     // no file, or the user may not read it
  kNotRegular,   // a folder, device, FIFO, or an empty file
  kTooLarge,     // the file, or the lines
  kFileSystem,   // one that holds no source files
  kOutside,      // leads out of its directory, or has too many parts
  kOthersPath,   // leads through what another user controls to what that one may not read
  kChanged,      // after the program started
  kNoRights,     // the reader cannot become the user
  kHung,         // the file system does not answer
  kDied,         // the process that read it
  kTooManyHang,  // of this user's reads, or in all
  kNoSuchLines,
};
constexpr uint32_t kSourceOutcomes = 15;
const char* name_of(SourceOutcome outcome);

struct SourceAnswer {
  uint64_t number = 0;
  SourceOutcome outcome = SourceOutcome::kNotThere;
  bool is_public = false;  // every user of the host may read the file
  std::string text;        // joined by line feeds; "" unless kRead
};

std::vector<std::byte> encode(const SourceRequest& request);
std::vector<std::byte> encode(const SourceAnswer& answer);
// Nothing where it is no request.
std::optional<SourceRequest> decode_source_request(std::span<const std::byte> bytes);
// Nothing where it is no answer, or one that has more lines than `request` asked for.
std::optional<SourceAnswer> decode_source_answer(std::span<const std::byte> bytes);
bool answers(const SourceAnswer& answer, const SourceRequest& request);

}  // namespace loopsight
