// `loopsight dump`: what every loop and every thread of some processes does now, once.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "daemon/base/text.h"
#include "daemon/command/commands.h"
#include "daemon/host/source_reader.h"
#include "daemon/live/process_survey.h"
#include "daemon/probe/privileges.h"
#include "daemon/sink/json_sink.h"
#include "daemon/sink/process_dump.h"

namespace loopsight {

Result<int> dump(const DumpConfig& config) {
  auto sources = SourceReader::start();
  if (!sources) return tl::make_unexpected(sources.error());
  auto threads = ThreadSurvey::open();
  if (!threads) return tl::make_unexpected(threads.error());
  if (auto dropped = drop_privileges(); !dropped) return tl::make_unexpected(dropped.error());
  ProcessSurvey survey(*threads, *sources, parse_run_methods(config.loops));
  bool color = isatty(STDOUT_FILENO) != 0;
  std::string failed;
  for (uint32_t pid : config.pids) {
    auto report = survey.look(pid);
    if (!report) {
      // The others are shown all the same.
      failed += (failed.empty() ? "" : "; ") + report.error().message;
      continue;
    }
    std::string text = config.format == Format::kJson
                           ? to_line(dump_json(*report, WallClock::live(), host_name())) + '\n'
                           : dump_text(*report, WallClock::live(), color);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
      return failure(fmt::format("cannot write the results: {}", std::strerror(errno)));
  }
  if (!failed.empty()) return failure(failed);
  return 0;
}

}  // namespace loopsight
