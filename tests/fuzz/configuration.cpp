// loopsight.yml.
#include "daemon/config/configuration.h"

#include "tests/fuzz/target.h"

FUZZ_TARGET(configuration, input) {
  auto config = parse_configuration("/etc/loopsight/loopsight.yml", std::string(input));
  if (!config) {
    const std::string& message = config.error().message;
    for (unsigned char c : message) fuzz::require(c >= 0x20 && c != 0x7F, "an error on one line");
    return;
  }
  fuzz::require(config->threshold_ns > 0, "a threshold");
  (void)config->policy("shop/web", "");
  (void)config->policy(std::string(300, 'a'), "cgroup");
}
