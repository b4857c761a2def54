#include "daemon/command/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "daemon/base/run_method_name.h"
#include "daemon/base/text.h"
#include "daemon/config/host_pattern.h"
#include "daemon/version.h"

namespace loopsight {
namespace {

constexpr const char* kFramesHelp = "text: the whole stack of each stall";

struct Raw {
  std::string threshold = "50ms";
  std::string duration;
  std::string format = "text";
  std::string replay_threshold;
  std::string run_threshold;
};

void add_duration(CLI::App* command, const char* name, std::string& value, const char* help) {
  command->add_option(name, value, help)
      ->check(CLI::Validator(
          [](const std::string& text) {
            auto parsed = parse_duration_ns(text);
            return parsed ? std::string() : parsed.error().message;
          },
          "DURATION"));
}

void add_format(CLI::App* command, Raw& raw) {
  command->add_option("--format", raw.format, "how to print: text or json (one object a line)")
      ->check(CLI::IsMember({"text", "json"}));
}

void add_results_format(CLI::App* command, Raw& raw) {
  command
      ->add_option("--format", raw.format,
                   "how to print: text, json (one object a line), or stalled time by stack as a "
                   "profile: folded, speedscope or pprof")
      ->check(CLI::IsMember({"text", "json", "folded", "speedscope", "pprof"}));
}

void add_loops(CLI::App* command, std::vector<std::string>& loops) {
  command
      ->add_option("--loop", loops,
                   "a function by which a further kind of event loop runs: module:qualified.name")
      ->type_name("RUN")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return parse_run_method(text)
                       ? std::string()
                       : "expected module:qualified.name, found " + clean_text(text, 80);
          },
          ""));
}

void add_pids(CLI::App* command, std::vector<uint32_t>& pids, const char* help) {
  command->add_option("--pid", pids, help)->delimiter(',')->type_name("PID");
}

void add_selection(CLI::App* command, TraceConfig& config, Raw& raw) {
  add_pids(command, config.selection.pids, "watch these processes and their children");
  command->add_flag("--all", config.selection.all, "watch every CPython process of the host");
  command->add_flag("--as-root", config.as_root,
                    "run -- COMMAND as root; by sudo it is run as the user who called sudo");
  add_duration(command, "--threshold", raw.threshold,
               "a busy phase longer than this is a stall (50ms)");
  add_duration(command, "--duration", raw.duration,
               "end after this time; a command that was started gets SIGTERM, after 5 s SIGINT, "
               "after 10 s SIGKILL");
  add_loops(command, config.loops);
  command->add_flag("--audit", config.probes.audit,
                    "name blocking calls as Python's audit events do, where its build has probes");
  command->add_flag("--functions", config.count_functions,
                    "count function calls in stalls (3.8 to 3.10 and 3.15): slows every call down");
}

Format format_of(const Raw& raw) {
  if (raw.format == "json") return Format::kJson;
  if (raw.format == "folded") return Format::kFolded;
  if (raw.format == "speedscope") return Format::kSpeedscope;
  if (raw.format == "pprof") return Format::kPprof;
  return Format::kText;
}

Printed wrong_usage(const std::string& command, const std::string& what) {
  std::string help =
      command.empty() ? "loopsight --help" : fmt::format("loopsight {} --help", command);
  return {.text = fmt::format("loopsight: {}; see '{}'\n", what, help), .is_error = true};
}

void add_exact_delays(CLI::App* command, bool& exact_delays) {
  command->add_flag(
      "--exact-delays", exact_delays,
      "see each descriptor become ready: exact waits, at a cost to every event of the "
      "host");
}

void add_web_options(CLI::App* run, RunConfig& config) {
  run->add_option("--web.socket-group", config.socket_group,
                  "with unix:PATH: the group that may connect (the daemon's own)")
      ->type_name("GROUP");
  run->add_option(
         "--web.allowed-host", config.allowed_hosts,
         "a name to answer to, besides localhost and the host's own; *.NAME is all below it")
      ->check(CLI::Validator(
          [](const std::string& text) {
            return is_host_pattern(text) ? std::string() : "no name of a host (without a port)";
          },
          "NAME"))
      ->allow_extra_args(false)
      ->type_name("NAME");
  run->add_flag("--web.open-health", config.open_health,
                "/-/healthy and /-/ready ask for no password");
}

// Exactly one way of saying what to watch.
std::string selection_error(const Selection& selection) {
  int ways = (selection.pids.empty() ? 0 : 1) + (selection.command.empty() ? 0 : 1) +
             (selection.all ? 1 : 0);
  if (ways == 0) return "say what to watch: --pid PID, --all, or -- COMMAND";
  if (ways > 1) return "--pid, --all and -- COMMAND exclude each other";
  if (std::find(selection.pids.begin(), selection.pids.end(), 0U) != selection.pids.end())
    return "pid 0 is no process";
  return "";
}

}  // namespace

CommandLine parse_command_line(std::vector<std::string> arguments) {
  std::vector<std::string> command;
  auto separator = std::find(arguments.begin(), arguments.end(), "--");
  bool separated = separator != arguments.end();
  if (separated) {
    command.assign(separator + 1, arguments.end());
    arguments.erase(separator, arguments.end());
  }

  Raw raw;
  TraceConfig trace_config;
  RunConfig run_config;
  ReplayConfig replay_config;
  ReportConfig report_config;
  TopConfig top_config;
  DumpConfig dump_config;
  std::vector<std::string> own;
  CLI::App app(
      "Watches CPython event loops from outside and says when one stalled, for how long "
      "and on what.",
      "loopsight");
  app.set_version_flag("--version", fmt::format("loopsight {}", kVersion));
  app.require_subcommand(1);

  CLI::App* trace = app.add_subcommand(
      "trace", "print stalls as they end: of -- COMMAND, of running processes, or of all");
  add_selection(trace, trace_config, raw);
  add_exact_delays(trace, trace_config.exact_delays);
  add_results_format(trace, raw);
  trace->add_option("--output", trace_config.output, "write the results to a file")
      ->type_name("FILE");
  trace->add_flag("-q,--quiet", trace_config.quiet, "text: one line a stall, no summary");
  trace->add_flag("--frames", trace_config.frames, kFramesHelp);
  trace
      ->add_option("--own", own,
                   "whose module's name or file's path this is found in is your own code (RE2)")
      ->check(CLI::Validator(
          [](const std::string& text) {
            auto pattern = Pattern::compile(text);
            return pattern ? std::string() : pattern.error().message;
          },
          ""))
      ->allow_extra_args(false)
      ->type_name("PATTERN");
  trace->footer(
      "Give exactly one of: loopsight trace [OPTIONS] --pid PID... | --all | -- COMMAND...");

  CLI::App* run = app.add_subcommand("run", "the daemon: watch every CPython process, serve HTTP");
  run->add_option("--config", run_config.config_file,
                  "the configuration (/etc/loopsight/loopsight.yml, where there is one)")
      ->type_name("FILE");
  run->add_flag("--config.check", run_config.check_config,
                "say whether the configuration is right, and end");
  add_duration(run, "--threshold", raw.run_threshold,
               "a busy phase longer than this is a stall (50ms)");
  run->add_option("--web.listen-address", run_config.listen_address,
                  "where to serve HTTP (127.0.0.1:9788)")
      ->type_name("HOST:PORT|unix:PATH");
  add_web_options(run, run_config);
  run->add_flag("--audit", run_config.audit,
                "name blocking calls as Python's audit events do, where its build has probes");
  run->add_option("--web.config.file", run_config.web_config_file,
                  "TLS and users, as the exporters of Prometheus have them")
      ->type_name("FILE");
  run->add_flag("!--no-bpf-stats", run_config.measure_cost,
                "do not turn the kernel's statistics of BPF programs on");

  run->add_flag("--export.journal", run_config.export_journal,
                "write each stall to the system's journal too");
  auto* lines = run->add_option("--export.json-lines", run_config.json_lines.path,
                                "write each stall as a line of JSON to a file too")
                    ->type_name("FILE");
  run->add_option("--export.json-lines.max-bytes", run_config.json_lines.max_bytes,
                  "rotate the file before it is larger (100 MB); takes KiB, MiB, GiB")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::PositiveNumber)
      ->needs(lines)
      ->type_name("SIZE");
  run->add_option("--export.json-lines.files", run_config.json_lines.files,
                  "how many files to keep, with the one that is written (5)")
      ->check(CLI::Range(1, 1000))
      ->needs(lines)
      ->type_name("N");
  add_exact_delays(run, run_config.exact_delays);

  CLI::App* check = app.add_subcommand("check", "what this host can do, feature by feature");
  add_format(check, raw);

  CLI::App* record = app.add_subcommand("record", "write the raw records to a file, for replay");
  add_selection(record, trace_config, raw);
  add_exact_delays(record, trace_config.exact_delays);
  record->add_option("-o,--output", trace_config.recording, "the recording")
      ->required()
      ->type_name("FILE");
  record->footer(
      "Give exactly one of: loopsight record -o FILE [OPTIONS] --pid PID... | --all | -- "
      "COMMAND...");

  CLI::App* replay = app.add_subcommand("replay", "put a recording through the same pipeline");
  replay->add_option("FILE", replay_config.recording, "made by 'loopsight record'")->required();
  add_results_format(replay, raw);
  replay->add_option("--output", replay_config.output, "write the results to a file")
      ->type_name("FILE");
  replay->add_flag("-q,--quiet", replay_config.quiet, "text: one line a stall, no summary");
  replay->add_flag("--frames", replay_config.frames, kFramesHelp);

  CLI::App* report = app.add_subcommand(
      "report", "what recordings or JSON lines amount to, or how two of them differ");
  report
      ->add_option("FILE", report_config.files,
                   "made by 'record', 'trace --format json' or "
                   "'--export.json-lines'; two are compared, as BEFORE and AFTER")
      ->required();
  report->add_flag("--merge", report_config.merge,
                   "take all files as parts of one, as a rotated file has them");
  report->add_option("--format", raw.format, "markdown or json")
      ->check(CLI::IsMember({"markdown", "json"}));
  report->add_option("--output", report_config.output, "write the report to a file")
      ->type_name("FILE");

  CLI::App* dump =
      app.add_subcommand("dump", "what every loop and every thread of a process does now, once");
  add_pids(dump, dump_config.pids, "look at these processes");
  add_loops(dump, dump_config.loops);
  add_format(dump, raw);
  dump->footer("Example: loopsight dump --pid 4242");

  CLI::App* top =
      app.add_subcommand("top", "the loops live in the terminal, the most blocked first");
  auto* url = top->add_option("--url", top_config.url,
                              "the daemon to ask (http://127.0.0.1:9788); where none is named and "
                              "none runs, top traces by itself")
                  ->type_name("URL");
  top->add_option("--ca-file", top_config.ca_file, "whose certificates to trust, for https")
      ->type_name("FILE");
  add_duration(top, "--threshold", raw.threshold,
               "without a daemon: a busy phase longer than this is a stall (50ms)");

  std::string name = arguments.empty() ? "" : arguments[0];
  auto commands = app.get_subcommands({});
  if (std::none_of(commands.begin(), commands.end(),
                   [&](const CLI::App* one) { return one->get_name() == name; }))
    name.clear();
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    auto chosen = app.get_subcommands();
    return Printed{.text = chosen.empty() ? app.help() : chosen[0]->help("loopsight")};
  } catch (const CLI::CallForVersion&) {
    return Printed{.text = fmt::format("loopsight {}\n", kVersion)};
  } catch (const CLI::ParseError& error) {
    std::string what = clean_text(error.what(), 300);
    if (!separated && (name == "trace" || name == "record") &&
        dynamic_cast<const CLI::ExtrasError*>(&error))
      what += "; a command to start comes after --";
    return wrong_usage(name, what);
  }

  if (separated && !trace->parsed() && !record->parsed())
    return wrong_usage(name, "only trace and record take a command after --");
  if (trace->parsed() || record->parsed()) {
    if (separated && command.empty()) return wrong_usage(name, "no command after --");
    trace_config.selection.command = std::move(command);
    if (auto error = selection_error(trace_config.selection); !error.empty())
      return wrong_usage(name, error);
    trace_config.threshold_ns = *parse_duration_ns(raw.threshold);
    if (!raw.duration.empty()) trace_config.duration_ns = *parse_duration_ns(raw.duration);
    trace_config.format = format_of(raw);
    if (record->parsed()) trace_config.quiet = false;
    for (const std::string& text : own)
      if (auto pattern = Pattern::compile(text))
        trace_config.code.own.push_back(*std::move(pattern));
    return trace_config;
  }
  if (run->parsed()) {
    if (!raw.run_threshold.empty()) run_config.threshold_ns = *parse_duration_ns(raw.run_threshold);
    return run_config;
  }
  if (check->parsed()) return CheckConfig{.format = format_of(raw)};
  if (report->parsed()) {
    if (report_config.files.size() > 2 && !report_config.merge)
      return wrong_usage(name, "one file is summed up and two are compared; --merge takes more");
    report_config.format = format_of(raw);
    return report_config;
  }
  if (dump->parsed()) {
    if (dump_config.pids.empty()) return wrong_usage(name, "say what to look at: --pid PID");
    dump_config.format = format_of(raw);
    return dump_config;
  }
  if (top->parsed()) {
    top_config.url_given = url->count() > 0;
    top_config.threshold_ns = *parse_duration_ns(raw.threshold);
    return top_config;
  }
  replay_config.format = format_of(raw);
  return replay_config;
}

}  // namespace loopsight
