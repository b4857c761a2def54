#include "daemon/command/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <vector>

namespace loopsight {

std::string configuration_path(const RunConfig& config) {
  if (!config.config_file.empty()) return config.config_file;
  return access(kConfigurationPath, F_OK) == 0 ? kConfigurationPath : "";
}

Result<Configuration> read_settings(const RunConfig& config) {
  std::string path = configuration_path(config);
  auto settings = path.empty() ? Configuration{} : read_configuration(path);
  if (!settings) return settings;
  if (config.threshold_ns) settings->threshold_ns = *config.threshold_ns;
  if (!config.listen_address.empty()) settings->listen_address = config.listen_address;
  if (!config.web_config_file.empty()) settings->web_config_file = config.web_config_file;
  if (!config.socket_group.empty()) settings->socket_group = config.socket_group;
  for (const std::string& host : config.allowed_hosts) settings->allowed_hosts.push_back(host);
  if (config.open_health) settings->open_health = true;
  if (config.export_journal) settings->exports.journal = true;
  if (!config.json_lines.path.empty()) settings->exports.json_lines = config.json_lines;
  if (config.audit) settings->probes.audit = true;
  return settings;
}

std::string needs_restart(const Configuration& before, const Configuration& after) {
  std::vector<std::string> keys;
  if (before.listen_address != after.listen_address) keys.emplace_back("web.listen_address");
  if (before.web_config_file != after.web_config_file) keys.emplace_back("web.config_file");
  if (before.socket_group != after.socket_group) keys.emplace_back("web.socket_group");
  if (before.allowed_hosts != after.allowed_hosts) keys.emplace_back("web.allowed_hosts");
  if (before.open_health != after.open_health) keys.emplace_back("web.open_health");
  if (before.tables != after.tables) keys.emplace_back("tables");
  if (before.exports != after.exports) keys.emplace_back("exports");
  return fmt::format("{}", fmt::join(keys, ", "));
}

}  // namespace loopsight
