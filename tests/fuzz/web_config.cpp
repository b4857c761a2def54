// The web configuration file. Its certificates are not read.
#include "daemon/config/web_config.h"

#include "tests/fuzz/target.h"

FUZZ_TARGET(web_config, input) {
  auto config = parse_web_config(std::string(input), "/etc/loopsight/web.yml");
  if (config) return;
  for (unsigned char c : config.error().message)
    fuzz::require(c >= 0x20 && c != 0x7F, "an error on one line");
}
