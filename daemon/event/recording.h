// Recordings: the records of a run in a file, to go through the same pipeline later.
//
// Layout: a header of kRecordingHeaderBytes (magic, wire version, the processor's name, the
// nanoseconds between the monotonic and the wall clock, the threshold, the host's name), then the
// records one after another, each beginning with its own length as every ls_header does. A file
// that was cut off in the middle of a record is read up to there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "daemon/base/result.h"

namespace loopsight {

struct RecordingHeader {
  int64_t wall_offset_ns = 0;  // CLOCK_REALTIME - CLOCK_MONOTONIC
  uint64_t threshold_ns = 0;
  std::string host;  // at most 63 bytes are kept
};

class RecordingWriter {
 public:
  // Creates `path` with mode 0600. Errors: it cannot be created or written.
  static Result<RecordingWriter> create(const std::string& path, const RecordingHeader& header);

  Result<void> write(std::span<const std::byte> record);
  Result<void> close();  // flushes; an error here means that the end is missing

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  RecordingWriter(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
};

// Whether a regular file begins as a recording does; false too where it cannot be read.
bool is_recording(const std::string& path);

struct ReplayResult {
  uint64_t records = 0;
  bool cut_off = false;  // the last record is incomplete
};

class RecordingReader {
 public:
  // Errors: no such file, no recording, made by another version or on another processor.
  static Result<RecordingReader> open(const std::string& path);

  const RecordingHeader& header() const { return header_; }
  // Calls `on_record` for each record in order. Errors: a length that cannot be.
  Result<ReplayResult> read(const std::function<void(std::span<const std::byte>)>& on_record);

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  RecordingReader(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  RecordingHeader header_;
};

}  // namespace loopsight
