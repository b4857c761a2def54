// What the user asked for, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loopsight {

enum class Format { kText, kJson };

// Which processes a trace watches: exactly one of the three is given.
struct Selection {
  std::vector<uint32_t> pids;
  std::vector<std::string> command;
  bool all = false;
};

// CPython's own probes, where the interpreter has them.
struct ProbesConfig {
  bool gc = true;
  bool imports = true;
  bool audit = false;
  bool functions = false;    // only a trace counts calls
  double cost_limit = 0.01;  // of one core, for all of them together
};

struct TraceConfig {
  Selection selection;
  ProbesConfig probes;
  uint64_t threshold_ns = 50'000'000;
  Format format = Format::kText;
  bool quiet = false;
  std::string output;     // a file for the results, "" for standard output
  std::string recording;  // a file for the raw records, "" for none
  std::optional<uint64_t> duration_ns;
};

struct RunConfig {
  ProbesConfig probes;
  uint64_t threshold_ns = 50'000'000;
  std::string listen_address = "127.0.0.1:9788";
  std::string web_config_file;  // "" for none
  bool measure_cost = true;
};

struct CheckConfig {
  Format format = Format::kText;
};

struct ReplayConfig {
  std::string recording;
  std::optional<uint64_t> threshold_ns;
  Format format = Format::kText;
  bool quiet = false;
};

}  // namespace loopsight
