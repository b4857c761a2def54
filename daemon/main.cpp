#include <fmt/format.h>
#include <malloc.h>

#include <cstdio>
#include <exception>
#include <string>
#include <variant>
#include <vector>

#include "daemon/command/command_line.h"
#include "daemon/command/commands.h"
#include "daemon/command/log.h"

namespace {

using namespace loopsight;

int finish(const Result<int>& result) {
  if (result) return *result;
  fmt::print(stderr, "loopsight: {}\n", result.error().message);
  return 1;
}

int execute(int count, char** values) {
  std::vector<std::string> arguments(values + (count > 0 ? 1 : 0), values + count);
  CommandLine line = parse_command_line(std::move(arguments));
  if (const auto* printed = std::get_if<Printed>(&line)) {
    fmt::print(printed->is_error ? stderr : stdout, "{}", printed->text);
    return printed->is_error ? 2 : 0;
  }
  set_up_log();
  if (const auto* config = std::get_if<TraceConfig>(&line)) return finish(trace(*config));
  if (const auto* config = std::get_if<RunConfig>(&line)) return finish(run(*config));
  if (const auto* config = std::get_if<CheckConfig>(&line)) return finish(check(*config));
  if (const auto* config = std::get_if<ReportConfig>(&line)) return finish(report(*config));
  if (const auto* config = std::get_if<TopConfig>(&line)) return finish(top(*config));
  if (const auto* config = std::get_if<DumpConfig>(&line)) return finish(dump(*config));
  return finish(replay(std::get<ReplayConfig>(line)));
}

}  // namespace

int main(int count, char** values) {
  // Each thread that ever was, and was left to a read that hangs, would keep an arena of its own.
  mallopt(M_ARENA_MAX, 2);
  try {
    return execute(count, values);
  } catch (const std::exception& error) {  // out of memory, or a library's
    std::fprintf(stderr, "loopsight: internal error: %s\n", error.what());
    return 1;
  }
}
