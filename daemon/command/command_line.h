// The command line: what CONTRACT.md lists, and clear refusals of everything else.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "daemon/command/options.h"

namespace loopsight {

struct Printed {  // --help or --version was asked for, or the usage is wrong
  std::string text;
  bool is_error = false;
};

using CommandLine = std::variant<TraceConfig, RunConfig, CheckConfig, ReplayConfig, ReportConfig,
                                 TopConfig, DumpConfig, Printed>;

// `arguments` without the program's name.
CommandLine parse_command_line(std::vector<std::string> arguments);

}  // namespace loopsight
