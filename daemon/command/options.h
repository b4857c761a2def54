// What the user asked for, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/config/configuration.h"

namespace loopsight {

enum class Format { kText, kJson, kFolded, kSpeedscope, kPprof };

// Which processes a trace watches: exactly one of the three is given.
struct Selection {
  std::vector<uint32_t> pids;
  std::vector<std::string> command;
  bool all = false;
};

struct TraceConfig {
  Selection selection;
  ProbeOptions probes;
  bool count_functions = false;
  std::vector<std::string> loops;  // run methods of further loops, "module:qualified.name"
  CodePatterns code;               // whose code is whose
  bool as_root = false;            // also a command that sudo's caller gave
  uint64_t threshold_ns = 50'000'000;
  Format format = Format::kText;
  bool exact_delays = false;
  bool quiet = false;
  bool frames = false;    // text: the whole stack of each stall
  std::string output;     // a file for the results, "" for standard output
  std::string recording;  // a file for the raw records, "" for none
  std::optional<uint64_t> duration_ns;
};

struct RunConfig {
  // What is not given here is as the configuration file says.
  std::optional<uint64_t> threshold_ns;
  std::string listen_address;
  std::string config_file;  // "" for the usual one, where there is one
  bool check_config = false;
  std::string web_config_file;             // "" for what the configuration says
  std::string socket_group;                // the same
  std::vector<std::string> allowed_hosts;  // besides those of the configuration
  bool open_health = false;
  bool audit = false;
  bool measure_cost = true;
  bool export_journal = false;
  JsonLinesOptions json_lines;  // path "": what the configuration says
  bool exact_delays = false;
};

struct CheckConfig {
  Format format = Format::kText;
};

struct DumpConfig {
  std::vector<uint32_t> pids;
  std::vector<std::string> loops;  // as for a trace
  Format format = Format::kText;
};

struct ReportConfig {
  std::vector<std::string> files;
  bool merge = false;             // all files are parts of one
  Format format = Format::kText;  // Markdown
  std::string output;             // a file for the report, "" for standard output
};

struct TopConfig {
  std::string url = "http://127.0.0.1:9788";
  bool url_given = false;
  std::string ca_file;                 // "" for the system's
  uint64_t threshold_ns = 50'000'000;  // of a trace of its own
};

struct ReplayConfig {
  std::string recording;
  std::string output;  // a file for the results, "" for standard output
  std::optional<uint64_t> threshold_ns;
  Format format = Format::kText;
  bool quiet = false;
  bool frames = false;
};

}  // namespace loopsight
