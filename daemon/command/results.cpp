#include "daemon/command/results.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "daemon/base/output_file.h"
#include "daemon/base/text.h"
#include "daemon/profile/profile_sink.h"
#include "daemon/sink/json_sink.h"
#include "daemon/sink/text_sink.h"

namespace loopsight {

Result<File> open_output(const std::string& path, Format format) {
  if (path.empty()) {
    if (format == Format::kPprof && isatty(STDOUT_FILENO) == 1)
      return failure("a pprof profile is binary: name a file with --output, or redirect");
    return File(stdout);
  }
  auto fd = open_output_file(path, {});
  if (!fd) return failure(fd.error().message + "; give another path to --output");
  File file(fdopen(fd->get(), "w"));
  if (!file)
    return failure(fmt::format("cannot write {}: {}; give another path to --output",
                               clean_text(path, 200), std::strerror(errno)));
  fd->release();
  return file;
}

std::unique_ptr<Sink> make_results_sink(const ResultsOptions& options, std::FILE* out,
                                        WallClock clock, const std::string& host) {
  switch (options.format) {
    case Format::kText: break;
    case Format::kJson: return std::make_unique<JsonSink>(out, clock, host);
    case Format::kFolded: return std::make_unique<ProfileSink>(out, clock, ProfileFormat::kFolded);
    case Format::kSpeedscope:
      return std::make_unique<ProfileSink>(out, clock, ProfileFormat::kSpeedscope);
    case Format::kPprof: return std::make_unique<ProfileSink>(out, clock, ProfileFormat::kPprof);
  }
  bool color = !options.to_file && isatty(STDOUT_FILENO) == 1 && !std::getenv("NO_COLOR");
  return std::make_unique<TextSink>(
      out, clock, TextOptions{.color = color, .quiet = options.quiet, .frames = options.frames});
}

}  // namespace loopsight
