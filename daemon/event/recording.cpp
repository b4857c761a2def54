#include "daemon/event/recording.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "bpf/wire.h"
#include "daemon/base/fd.h"
#include "daemon/base/output_file.h"
#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr std::array<char, 8> kMagic = {'L', 'O', 'O', 'P', 'S', 'I', 'G', 'H'};
constexpr uint32_t kMaxRecordBytes = 65536;

struct FileHeader {
  std::array<char, 8> magic;
  uint32_t wire_version;
  uint32_t header_bytes;
  int64_t wall_offset_ns;
  uint64_t threshold_ns;
  std::array<char, 16> machine;
  std::array<char, 64> host;
};

constexpr const char* kMachine = "x86_64";

}  // namespace

Result<RecordingWriter> RecordingWriter::create(const std::string& path,
                                                const RecordingHeader& header) {
  auto fd = open_output_file(path, {});
  if (!fd) return failure(fd.error().message + "; give another path to -o");
  std::FILE* file = fdopen(fd->get(), "wb");
  if (!file)
    return failure(fmt::format("cannot write {}: {}; give another path to -o",
                               clean_text(path, 200), std::strerror(errno)));
  fd->release();
  RecordingWriter writer(path, file);
  FileHeader raw{};
  raw.magic = kMagic;
  raw.wire_version = LS_WIRE_VERSION;
  raw.header_bytes = sizeof(raw);
  raw.wall_offset_ns = header.wall_offset_ns;
  raw.threshold_ns = header.threshold_ns;
  std::strncpy(raw.machine.data(), kMachine, raw.machine.size() - 1);
  std::strncpy(raw.host.data(), header.host.c_str(), raw.host.size() - 1);
  auto written = writer.write(std::as_bytes(std::span(&raw, 1)));
  if (!written) return tl::make_unexpected(written.error());
  return writer;
}

Result<void> RecordingWriter::write(std::span<const std::byte> record) {
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) != record.size())
    return failure(fmt::format("cannot write {}: {}; what is there so far can be replayed",
                               clean_text(path_, 200), std::strerror(errno)));
  return {};
}

Result<void> RecordingWriter::close() {
  std::FILE* file = file_.release();
  if (file && std::fclose(file) != 0)
    return failure(fmt::format("cannot finish {}: {}; its end is missing", clean_text(path_, 200),
                               std::strerror(errno)));
  return {};
}

bool is_recording(const std::string& path) {
  struct stat status{};
  // Not to take bytes from a pipe that its reader will miss.
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, kMagic.size()> magic{};
  return fd && read(fd.get(), magic.data(), magic.size()) == static_cast<ssize_t>(magic.size()) &&
         magic == kMagic;
}

Result<RecordingReader> RecordingReader::open(const std::string& path) {
  auto invalid = [&](const std::string& why) {
    return failure(fmt::format("cannot replay {}: {}", clean_text(path, 200), why));
  };
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd)
    return invalid(fmt::format("{}; give a file made by 'loopsight record'", std::strerror(errno)));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return invalid("not a regular file; give a file made by 'loopsight record'");
  RecordingReader reader(path, fdopen(dup(fd.get()), "rb"));
  FileHeader raw{};
  if (!reader.file_ || std::fread(&raw, sizeof(raw), 1, reader.file_.get()) != 1 ||
      raw.magic != kMagic)
    return invalid("not a recording; give a file made by 'loopsight record'");
  if (raw.wire_version != LS_WIRE_VERSION || raw.header_bytes != sizeof(raw))
    return invalid(
        fmt::format("made by another version (format {}, this one reads {}); replay it "
                    "with the loopsight that made it",
                    raw.wire_version, LS_WIRE_VERSION));
  if (fixed_string(raw.machine.data(), raw.machine.size()) != kMachine)
    return invalid("made on another kind of processor");
  reader.header_ = {.wall_offset_ns = raw.wall_offset_ns,
                    .threshold_ns = raw.threshold_ns,
                    .host = clean_text(fixed_string(raw.host.data(), raw.host.size()), 64)};
  return reader;
}

Result<ReplayResult> RecordingReader::read(
    const std::function<void(std::span<const std::byte>)>& on_record) {
  ReplayResult result;
  std::vector<std::byte> record;
  for (;;) {
    ls_header header;
    size_t got = std::fread(&header, 1, sizeof(header), file_.get());
    if (got < sizeof(header)) {
      result.cut_off = got > 0;
      return result;
    }
    if (header.size < sizeof(header) || header.size > kMaxRecordBytes)
      return failure(fmt::format("cannot replay {}: record {} says it has {} bytes: damaged file",
                                 clean_text(path_, 200), result.records + 1, header.size));
    record.resize(header.size);
    std::memcpy(record.data(), &header, sizeof(header));
    size_t rest = header.size - sizeof(header);
    if (std::fread(record.data() + sizeof(header), 1, rest, file_.get()) != rest) {
      result.cut_off = true;
      return result;
    }
    result.records++;
    on_record(record);
  }
}

}  // namespace loopsight
