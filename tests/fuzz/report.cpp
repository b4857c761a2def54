// Files given to `loopsight report`: JSON lines, or a recording. Two where a zero byte parts them.
#include "daemon/command/commands.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(report, input) {
  fuzz::Bytes bytes(input);
  bool two = input.find('\0') != std::string_view::npos && !input.starts_with("LOOPSIGH");
  fuzz::MemoryFile first(two ? bytes.take_field('\0') : input);
  fuzz::MemoryFile second(two ? bytes.rest() : "");
  for (Format format : {Format::kText, Format::kJson}) {
    ReportConfig config{.files = {first.path()}, .format = format, .output = "/dev/null"};
    if (two) config.files.push_back(second.path());
    (void)report(config);
    config.merge = true;
    if (two) (void)report(config);
  }
}
