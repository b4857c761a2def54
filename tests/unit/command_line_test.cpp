#include "daemon/command/command_line.h"

#include <gtest/gtest.h>

namespace loopsight {
namespace {

template <typename Config>
Config parse(std::vector<std::string> arguments) {
  auto line = parse_command_line(std::move(arguments));
  EXPECT_TRUE(std::holds_alternative<Config>(line));
  if (!std::holds_alternative<Config>(line)) return {};
  return std::get<Config>(line);
}

std::string refusal(std::vector<std::string> arguments) {
  auto printed = parse<Printed>(std::move(arguments));
  EXPECT_TRUE(printed.is_error);
  EXPECT_EQ(std::count(printed.text.begin(), printed.text.end(), '\n'), 1) << printed.text;
  return printed.text;
}

TEST(CommandLine, TraceTakesACommandWithOptionsOfItsOwn) {
  auto config = parse<TraceConfig>({"trace", "--threshold", "20ms", "--format", "json", "--",
                                    "python3", "app.py", "--threshold", "x", "--", "-q"});
  EXPECT_EQ(config.selection.command,
            (std::vector<std::string>{"python3", "app.py", "--threshold", "x", "--", "-q"}));
  EXPECT_EQ(config.threshold_ns, 20'000'000U);
  EXPECT_EQ(config.format, Format::kJson);
  EXPECT_FALSE(config.duration_ns);
  EXPECT_FALSE(config.exact_delays);
}

TEST(CommandLine, ExactDelaysAreAskedFor) {
  EXPECT_TRUE(parse<TraceConfig>({"trace", "--exact-delays", "--all"}).exact_delays);
  EXPECT_TRUE(parse<RunConfig>({"run", "--exact-delays"}).exact_delays);
  EXPECT_FALSE(parse<RunConfig>({"run"}).exact_delays);
}

TEST(CommandLine, TraceTakesPidsInEveryForm) {
  auto config =
      parse<TraceConfig>({"trace", "--pid", "1", "2", "--pid", "3,4", "--duration", "2s"});
  EXPECT_EQ(config.selection.pids, (std::vector<uint32_t>{1, 2, 3, 4}));
  EXPECT_EQ(config.duration_ns, 2'000'000'000U);
}

TEST(CommandLine, TheOthersHaveTheContractsDefaults) {
  auto run = parse<RunConfig>({"run"});
  EXPECT_TRUE(run.listen_address.empty());  // as the configuration file says
  EXPECT_FALSE(run.threshold_ns);
  run = parse<RunConfig>({"run", "--config", "a.yml", "--config.check", "--threshold", "1s"});
  EXPECT_EQ(run.config_file, "a.yml");
  EXPECT_TRUE(run.check_config);
  EXPECT_EQ(run.threshold_ns, 1'000'000'000U);
  EXPECT_EQ(parse<CheckConfig>({"check"}).format, Format::kText);
  EXPECT_EQ(parse<ReplayConfig>({"replay", "a.lsrec"}).recording, "a.lsrec");
  auto record = parse<TraceConfig>({"record", "-o", "x", "--all"});
  EXPECT_EQ(record.recording, "x");
  EXPECT_TRUE(record.selection.all);
}

TEST(CommandLine, RunTakesExports) {
  EXPECT_FALSE(parse<RunConfig>({"run"}).export_journal);
  auto run =
      parse<RunConfig>({"run", "--export.journal", "--export.json-lines", "x",
                        "--export.json-lines.max-bytes", "2MiB", "--export.json-lines.files", "3"});
  EXPECT_TRUE(run.export_journal);
  EXPECT_EQ(run.json_lines.path, "x");
  EXPECT_EQ(run.json_lines.max_bytes, 2U << 20);
  EXPECT_EQ(run.json_lines.files, 3U);
  refusal({"run", "--export.json-lines.files", "3"});
  refusal({"run", "--export.json-lines", "x", "--export.json-lines.files", "0"});
  refusal({"run", "--export.json-lines", "x", "--export.json-lines.max-bytes", "lots"});
}

TEST(CommandLine, RunTakesWhatHttpAnswersTo) {
  auto run = parse<RunConfig>({"run", "--web.allowed-host", "a.example", "--web.allowed-host",
                               "*.b.example", "--web.open-health", "--web.listen-address",
                               "unix:/run/x", "--web.socket-group", "g"});
  EXPECT_EQ(run.allowed_hosts, (std::vector<std::string>{"a.example", "*.b.example"}));
  EXPECT_TRUE(run.open_health);
  EXPECT_EQ(run.listen_address, "unix:/run/x");
  EXPECT_EQ(run.socket_group, "g");
  EXPECT_FALSE(parse<RunConfig>({"run"}).open_health);
  for (const char* name : {"a:1", "http://a", "*", ""})
    refusal({"run", "--web.allowed-host", name});
}

TEST(CommandLine, TraceAndReplayWriteProfiles) {
  EXPECT_EQ(parse<TraceConfig>({"trace", "--all", "--format", "pprof"}).format, Format::kPprof);
  auto config = parse<ReplayConfig>({"replay", "a", "--format", "folded", "--output", "b"});
  EXPECT_EQ(config.format, Format::kFolded);
  EXPECT_EQ(config.output, "b");
  refusal({"check", "--format", "folded"});
}

TEST(CommandLine, ReportTakesOneFileOrTwoOrMergesThem) {
  auto config = parse<ReportConfig>({"report", "a", "b", "--format", "json", "--output", "c"});
  EXPECT_EQ(config.files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.format, Format::kJson);
  EXPECT_TRUE(parse<ReportConfig>({"report", "--merge", "a", "b", "c"}).merge);
  EXPECT_NE(refusal({"report", "a", "b", "c"}).find("--merge"), std::string::npos);
  refusal({"report"});
  refusal({"report", "a", "--format", "text"});
}

TEST(CommandLine, TopTakesADaemon) {
  EXPECT_FALSE(parse<TopConfig>({"top"}).url_given);
  auto config = parse<TopConfig>({"top", "--url", "https://h:1", "--ca-file", "ca.pem"});
  EXPECT_TRUE(config.url_given);
  EXPECT_EQ(config.url, "https://h:1");
  EXPECT_EQ(config.ca_file, "ca.pem");
  refusal({"top", "--threshold", "5"});
}

TEST(CommandLine, PrintsHelpAndVersion) {
  for (const char* command : {"trace", "run", "check", "record", "replay", "report", "top"}) {
    auto help = parse<Printed>({command, "--help"});
    EXPECT_FALSE(help.is_error);
    EXPECT_NE(help.text.find(std::string("loopsight ") + command), std::string::npos) << help.text;
  }
  EXPECT_NE(parse<Printed>({"--help"}).text.find("trace"), std::string::npos);
  EXPECT_EQ(parse<Printed>({"--version"}).text.substr(0, 10), "loopsight ");
}

TEST(CommandLine, RefusesWithOneLineThatSaysWhereToLook) {
  EXPECT_NE(refusal({}).find("--help"), std::string::npos);
  EXPECT_NE(refusal({"bogus"}).find("--help"), std::string::npos);
  EXPECT_NE(refusal({"trace"}).find("-- COMMAND"), std::string::npos);
  EXPECT_NE(refusal({"trace", "python3", "app.py"}).find("after --"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--"}).find("no command"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--all", "--", "x"}).find("exclude"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--pid", "abc"}).find("--pid"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--pid", "-1"}).find("--pid"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--pid", "0"}).find("pid 0"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--all", "--threshold", "5"}).find("no unit"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--all", "--format", "xml"}).find("xml"), std::string::npos);
  EXPECT_NE(refusal({"trace", "--all", "--unknown"}).find("trace --help"), std::string::npos);
  EXPECT_NE(refusal({"record", "--all"}).find("output"), std::string::npos);
  EXPECT_NE(refusal({"replay"}).find("FILE"), std::string::npos);
  EXPECT_NE(refusal({"run", "--", "x"}).find("only trace"), std::string::npos);
}

}  // namespace
}  // namespace loopsight
