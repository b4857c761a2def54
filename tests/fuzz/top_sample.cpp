// What a daemon, perhaps on another host, answers to `loopsight top`.
#include "daemon/top/top_sample.h"

#include "tests/fuzz/target.h"

FUZZ_TARGET(top_sample, input) {
  fuzz::Bytes bytes(input);
  std::string_view loops = bytes.take_field('\0');
  (void)parse_sample(loops, bytes.rest());
}
