// A recording, byte by byte as a file, through all that `loopsight replay` can make of it.
#include <spdlog/spdlog.h>

#include "daemon/command/commands.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(recording, input) {
  spdlog::set_level(spdlog::level::off);
  fuzz::MemoryFile file(input);
  for (Format format : {Format::kText, Format::kJson, Format::kPprof})
    (void)replay({.recording = file.path(), .output = "/dev/null", .format = format});
}
