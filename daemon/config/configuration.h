// What /etc/loopsight/loopsight.yml says (see loopsight.yml(5)). Every key is optional; what is
// here without a file is the default.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/code_patterns.h"
#include "daemon/base/pattern.h"
#include "daemon/base/result.h"
#include "daemon/base/run_method_name.h"

namespace loopsight {

enum class LogFormat { kText, kJson };

// What a rule may tell a process by to give its workload a name.
struct NamedBy {
  std::string_view name;     // that it has without the rule
  std::string_view command;  // its arguments, with blanks between
  std::string_view exe;
  std::string_view cwd;
  std::string_view cgroup;  // the text of /proc/PID/cgroup
  uid_t uid = 0;
};

// For the workloads whose name the pattern is found in; of several rules the first one counts. With
// a name, it is for the processes of which all that it says is true, whose workload it names.
struct WorkloadRule {
  Pattern match;  // with a name: found in the name without the rule, or in the command line
  std::string name;
  Pattern exe;
  Pattern cwd;
  Pattern cgroup;
  std::string user;          // a name or a number
  std::optional<uid_t> uid;  // of that user; none where there is no such user
  std::string source;        // of the workload's name; "": any
  std::optional<uint64_t> threshold_ns;
  std::optional<bool> audit;
  bool watch = true;
  CodePatterns code;
};

struct ProbeOptions {
  bool gc = true;
  bool imports = true;
  bool busy = true;  // samples of loops that are busy most of the time
  bool audit = false;
  double cost_limit = 0.01;  // share of one core that optional probes may take
};

struct LabelLimits {
  size_t workloads = 500;
  size_t culprits = 32;  // of one workload
};

// How much the kernel side has room for; 0: by the machine.
struct TableOptions {
  size_t loops = 0;
  size_t processes = 0;
  uint64_t buffer_bytes = 0;  // of records
  bool operator==(const TableOptions&) const = default;
};

struct LogOptions {
  std::string level = "info";  // trace, debug, info, warn, error
  LogFormat format = LogFormat::kText;
};

struct JsonLinesOptions {
  std::string path;
  uint64_t max_bytes = 100'000'000;
  size_t files = 5;  // kept, the newest included
  bool operator==(const JsonLinesOptions&) const = default;
};

struct ExportOptions {
  bool journal = false;
  std::optional<JsonLinesOptions> json_lines;
  bool operator==(const ExportOptions&) const = default;
};

// What the rules say of one workload.
struct WorkloadPolicy {
  bool watch = true;
  uint64_t threshold_ns = 0;
  bool audit = false;
  bool operator==(const WorkloadPolicy&) const = default;
};

struct Configuration {
  uint64_t threshold_ns = 50'000'000;
  std::vector<WorkloadRule> workloads;
  std::vector<Pattern> include;  // empty: all
  std::vector<Pattern> exclude;
  ProbeOptions probes;
  LabelLimits labels;
  TableOptions tables;
  size_t stalls_kept = 1000;
  LogOptions log;
  std::string listen_address = "127.0.0.1:9788";
  std::string web_config_file;  // "" for none; else absolute, or relative to the daemon's folder
  std::string socket_group;     // of a local socket; "": the daemon's own
  std::vector<std::string> allowed_hosts;  // names that HTTP answers to besides; see host_pattern.h
  bool open_health = false;                // /-/healthy and /-/ready ask for no password
  ExportOptions exports;
  std::vector<RunMethodName> loops;  // run methods of further event loops
  CodePatterns code;                 // whose code is whose, for all workloads

  // `source` is how the name is known: "argv", "unit", "container", "configuration".
  WorkloadPolicy policy(std::string_view workload, std::string_view source) const;
  // The name that the first rule gives that speaks of this process, "" without one.
  std::string name_of(const NamedBy& process) const;
  bool has_names() const;
};

// Where `loopsight run` looks when it is not told.
constexpr const char* kConfigurationPath = "/etc/loopsight/loopsight.yml";

// The error is one line: FILE:LINE:COLUMN, what was found and what was expected.
Result<Configuration> parse_configuration(std::string_view file, const std::string& text);
Result<Configuration> read_configuration(const std::string& path);

}  // namespace loopsight
