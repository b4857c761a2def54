// Where the results of `trace` and `replay` go, and in which form.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "daemon/base/result.h"
#include "daemon/command/options.h"
#include "daemon/sink/sink.h"

namespace loopsight {

struct FileCloser {
  void operator()(std::FILE* file) const {
    if (file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

// Standard output for "". Errors: the file cannot be written; a binary form on a terminal.
Result<File> open_output(const std::string& path, Format format);

struct ResultsOptions {
  Format format = Format::kText;
  bool quiet = false;
  bool frames = false;
  bool to_file = false;
};

// `out` must outlive the sink.
std::unique_ptr<Sink> make_results_sink(const ResultsOptions& options, std::FILE* out,
                                        WallClock clock, const std::string& host);

}  // namespace loopsight
