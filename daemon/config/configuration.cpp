#include "daemon/config/configuration.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "daemon/base/fd.h"
#include "daemon/base/text.h"
#include "daemon/config/host_pattern.h"
#include "daemon/config/yaml_reader.h"

namespace loopsight {
namespace {

constexpr size_t kMaxRules = 200;
constexpr size_t kMaxHosts = 100;
constexpr size_t kMaxLoops = 100;
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxNameBytes = 100;  // of a workload

using Node = YamlNode;

class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file), yaml_(std::string(file)) {}

  Result<void> read(const Node& root, Configuration& config) {
    return yaml_.map(
        root, {{"threshold", [&](const Node& n) { return yaml_.duration(n, config.threshold_ns); }},
               {"workloads", [&](const Node& n) { return read_workloads(n, config.workloads); }},
               {"processes", [&](const Node& n) { return read_processes(n, config); }},
               {"probes", [&](const Node& n) { return read_probes(n, config.probes); }},
               {"labels", [&](const Node& n) { return read_labels(n, config.labels); }},
               {"tables", [&](const Node& n) { return read_tables(n, config.tables); }},
               {"stalls", [&](const Node& n) { return read_stalls(n, config); }},
               {"log", [&](const Node& n) { return read_log(n, config.log); }},
               {"web", [&](const Node& n) { return read_web(n, config); }},
               {"loops", [&](const Node& n) { return read_loops(n, config.loops); }},
               {"code", [&](const Node& n) { return read_code(n, config.code); }},
               {"exports", [&](const Node& n) { return read_exports(n, config.exports); }}});
  }

 private:
  Result<void> read_workloads(const Node& node, std::vector<WorkloadRule>& rules) {
    return yaml_.list(node, kMaxRules, [&](const Node& item) -> Result<void> {
      WorkloadRule rule;
      auto read = yaml_.map(
          item, {{"match", [&](const Node& n) { return yaml_.pattern(n, rule.match); }},
                 {"name", [&](const Node& n) { return read_name(n, rule.name); }},
                 {"exe", [&](const Node& n) { return yaml_.pattern(n, rule.exe); }},
                 {"cwd", [&](const Node& n) { return yaml_.pattern(n, rule.cwd); }},
                 {"cgroup", [&](const Node& n) { return yaml_.pattern(n, rule.cgroup); }},
                 {"user", [&](const Node& n) { return read_user(n, rule); }},
                 {"source",
                  [&](const Node& n) {
                    return yaml_.choice(n, {"argv", "unit", "container", "configuration"},
                                        rule.source);
                  }},
                 {"threshold",
                  [&](const Node& n) { return yaml_.duration(n, rule.threshold_ns.emplace()); }},
                 {"audit", [&](const Node& n) { return yaml_.flag(n, rule.audit.emplace()); }},
                 {"watch", [&](const Node& n) { return yaml_.flag(n, rule.watch); }},
                 {"code", [&](const Node& n) { return read_code(n, rule.code); }}});
      if (!read) return read;
      if (auto valid = check_keys(item, rule); !valid) return valid;
      rules.push_back(std::move(rule));
      return {};
    });
  }

  Result<void> check_keys(const Node& item, const WorkloadRule& rule) const {
    bool has_more = !rule.exe.text().empty() || !rule.cwd.text().empty() ||
                    !rule.cgroup.text().empty() || !rule.user.empty();
    if (rule.name.empty() && has_more)
      return yaml_.error(item,
                         "found exe, cwd, cgroup or user without the key 'name', expected one with "
                         "it: they say which processes the rule gives a name");
    if (!rule.name.empty() && !rule.source.empty())
      return yaml_.error(item, "found both name and source, expected one of them");
    if (rule.match.text().empty() && !has_more)
      return yaml_.error(item, "found a workload without the key 'match', expected one with it");
    return {};
  }

  Result<void> read_name(const Node& node, std::string& name) const {
    if (auto read = yaml_.text(node, name); !read) return read;
    if (name.empty() || name.size() > kMaxNameBytes || clean_text(name, kMaxNameBytes) != name)
      return yaml_.expected(node, fmt::format("a name of at most {} bytes", kMaxNameBytes));
    return {};
  }

  Result<void> read_user(const Node& node, WorkloadRule& rule) const {
    if (auto read = yaml_.text(node, rule.user); !read) return read;
    if (rule.user.empty()) return yaml_.expected(node, "the name or the number of a user");
    uid_t uid = 0;
    const char* end = rule.user.data() + rule.user.size();
    auto parsed = std::from_chars(rule.user.data(), end, uid);
    if (parsed.ec == std::errc() && parsed.ptr == end)
      rule.uid = uid;
    else if (const passwd* user = getpwnam(rule.user.c_str()))
      rule.uid = user->pw_uid;
    return {};
  }

  Result<void> read_loops(const Node& node, std::vector<RunMethodName>& loops) {
    return yaml_.list(node, kMaxLoops, [&](const Node& item) -> Result<void> {
      std::string run;
      auto read = yaml_.map(item, {{"run", [&](const Node& n) { return yaml_.text(n, run); }}});
      if (!read) return read;
      auto method = parse_run_method(run);
      if (!method)
        return yaml_.expected(item, "run: and the loop's run method, as module:qualified.name");
      loops.push_back(*std::move(method));
      return {};
    });
  }

  Result<void> read_patterns(const Node& node, std::vector<Pattern>& patterns) {
    return yaml_.list(node, kMaxRules, [&](const Node& item) -> Result<void> {
      Pattern pattern;
      if (auto read = yaml_.pattern(item, pattern); !read) return read;
      patterns.push_back(std::move(pattern));
      return {};
    });
  }

  Result<void> read_code(const Node& node, CodePatterns& code) {
    return yaml_.map(node,
                     {{"own", [&](const Node& n) { return read_patterns(n, code.own); }},
                      {"library", [&](const Node& n) { return read_patterns(n, code.library); }}});
  }

  Result<void> read_processes(const Node& node, Configuration& config) {
    return yaml_.map(
        node, {{"include", [&](const Node& n) { return read_patterns(n, config.include); }},
               {"exclude", [&](const Node& n) { return read_patterns(n, config.exclude); }}});
  }

  Result<void> read_probes(const Node& node, ProbeOptions& probes) {
    return yaml_.map(
        node, {{"gc", [&](const Node& n) { return yaml_.flag(n, probes.gc); }},
               {"imports", [&](const Node& n) { return yaml_.flag(n, probes.imports); }},
               {"busy", [&](const Node& n) { return yaml_.flag(n, probes.busy); }},
               {"audit", [&](const Node& n) { return yaml_.flag(n, probes.audit); }},
               {"cost_limit", [&](const Node& n) { return yaml_.percent(n, probes.cost_limit); }}});
  }

  Result<void> read_labels(const Node& node, LabelLimits& labels) {
    return yaml_.map(
        node,
        {{"workloads", [&](const Node& n) { return yaml_.count(n, 1, 10000, labels.workloads); }},
         {"culprits", [&](const Node& n) { return yaml_.count(n, 1, 1000, labels.culprits); }}});
  }

  Result<void> read_tables(const Node& node, TableOptions& tables) {
    return yaml_.map(
        node, {{"loops", [&](const Node& n) { return yaml_.count(n, 64, 65536, tables.loops); }},
               {"processes",
                [&](const Node& n) { return yaml_.count(n, 1024, 4194304, tables.processes); }},
               {"buffer", [&](const Node& n) { return yaml_.size(n, tables.buffer_bytes); }}});
  }

  Result<void> read_stalls(const Node& node, Configuration& config) {
    return yaml_.map(
        node,
        {{"keep", [&](const Node& n) { return yaml_.count(n, 1, 100000, config.stalls_kept); }}});
  }

  Result<void> read_log(const Node& node, LogOptions& log) {
    std::string format = log.format == LogFormat::kJson ? "json" : "text";
    auto read = yaml_.map(
        node,
        {{"level",
          [&](const Node& n) {
            return yaml_.choice(n, {"trace", "debug", "info", "warn", "error"}, log.level);
          }},
         {"format", [&](const Node& n) { return yaml_.choice(n, {"text", "json"}, format); }}});
    log.format = format == "json" ? LogFormat::kJson : LogFormat::kText;
    return read;
  }

  Result<void> read_web(const Node& node, Configuration& config) {
    auto read = yaml_.map(
        node,
        {{"listen_address", [&](const Node& n) { return yaml_.text(n, config.listen_address); }},
         {"config_file", [&](const Node& n) { return yaml_.text(n, config.web_config_file); }},
         {"socket_group", [&](const Node& n) { return yaml_.text(n, config.socket_group); }},
         {"open_health", [&](const Node& n) { return yaml_.flag(n, config.open_health); }},
         {"allowed_hosts", [&](const Node& n) { return read_hosts(n, config.allowed_hosts); }}});
    std::string& path = config.web_config_file;
    // Beside the file that names it, as Prometheus has it.
    if (auto slash = file_.rfind('/');
        !path.empty() && path[0] != '/' && slash != std::string_view::npos)
      path.insert(0, file_.substr(0, slash + 1));
    return read;
  }

  Result<void> read_hosts(const Node& node, std::vector<std::string>& hosts) {
    return yaml_.list(node, kMaxHosts, [&](const Node& item) -> Result<void> {
      std::string host;
      if (auto read = yaml_.text(item, host); !read) return read;
      if (!is_host_pattern(host))
        return yaml_.expected(item, "a host's name, or *. and a name, without a port");
      hosts.push_back(std::move(host));
      return {};
    });
  }

  Result<void> read_exports(const Node& node, ExportOptions& exports) {
    return yaml_.map(node,
                     {{"journal", [&](const Node& n) { return yaml_.flag(n, exports.journal); }},
                      {"json_lines", [&](const Node& n) { return read_json_lines(n, exports); }}});
  }

  Result<void> read_json_lines(const Node& node, ExportOptions& exports) {
    JsonLinesOptions lines;
    auto read = yaml_.map(
        node, {{"path", [&](const Node& n) { return yaml_.text(n, lines.path); }},
               {"max_bytes", [&](const Node& n) { return yaml_.size(n, lines.max_bytes); }},
               {"files", [&](const Node& n) { return yaml_.count(n, 1, 100, lines.files); }}});
    if (!read) return read;
    if (node.kind == Node::Kind::kNull) return {};
    if (!lines.path.starts_with('/'))
      return yaml_.error(node, "found json_lines without an absolute 'path', expected one");
    exports.json_lines = std::move(lines);
    return {};
  }

  std::string_view file_;
  YamlReader yaml_;
};

bool any_found(const std::vector<Pattern>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const Pattern& pattern) { return pattern.found_in(name); });
}

}  // namespace

std::string Configuration::name_of(const NamedBy& process) const {
  auto holds = [](const Pattern& pattern, std::string_view text) {
    return pattern.text().empty() || pattern.found_in(text);
  };
  auto rule = std::find_if(workloads.begin(), workloads.end(), [&](const WorkloadRule& one) {
    return !one.name.empty() &&
           (holds(one.match, process.name) || holds(one.match, process.command)) &&
           holds(one.exe, process.exe) && holds(one.cwd, process.cwd) &&
           holds(one.cgroup, process.cgroup) && (one.user.empty() || one.uid == process.uid);
  });
  return rule == workloads.end() ? "" : rule->name;
}

bool Configuration::has_names() const {
  return std::any_of(workloads.begin(), workloads.end(),
                     [](const WorkloadRule& rule) { return !rule.name.empty(); });
}

WorkloadPolicy Configuration::policy(std::string_view workload, std::string_view source) const {
  WorkloadPolicy policy{.threshold_ns = threshold_ns, .audit = probes.audit};
  // What only looks like the name of a unit or a container was named by whoever wrote the command
  // line: rules for those are not for it.
  bool is_marked = source == "argv" && workload.ends_with(kArgvMark);
  if (!include.empty() && (is_marked || !any_found(include, workload))) policy.watch = false;
  if (!is_marked && any_found(exclude, workload)) policy.watch = false;
  auto rule = std::find_if(workloads.begin(), workloads.end(), [&](const WorkloadRule& one) {
    if (!one.name.empty())
      return source == "configuration" && workload == one.name &&
             (one.threshold_ns || one.audit || !one.watch);
    if (!one.source.empty() ? one.source != source : is_marked) return false;
    return one.match.found_in(workload);
  });
  if (rule == workloads.end()) return policy;
  if (!rule->watch) policy.watch = false;
  if (rule->threshold_ns) policy.threshold_ns = *rule->threshold_ns;
  if (rule->audit) policy.audit = *rule->audit;
  return policy;
}

Result<Configuration> parse_configuration(std::string_view file, const std::string& text) {
  auto root = parse_yaml(file, text);
  if (!root) return tl::make_unexpected(root.error());
  Configuration config;
  if (auto read = Reader(file).read(*root, config); !read) return tl::make_unexpected(read.error());
  return config;
}

Result<Configuration> read_configuration(const std::string& path) {
  auto failed = [&](const std::string& why) {
    return failure(
        fmt::format("cannot read the configuration {}: {}; give another file with "
                    "--config, or leave it out to run with the defaults",
                    clean_text(path, 300), why));
  };
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return failed(std::strerror(errno));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return failed("not a file");
  std::string text(kMaxFileBytes + 1, '\0');
  size_t length = 0;
  while (length < text.size()) {
    ssize_t got = read(fd.get(), text.data() + length, text.size() - length);
    if (got < 0) return failed(std::strerror(errno));
    if (got == 0) break;
    length += static_cast<size_t>(got);
  }
  text.resize(length);
  return parse_configuration(path, text);
}

}  // namespace loopsight
