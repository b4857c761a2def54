#include "daemon/config/configuration.h"

#include <gtest/gtest.h>

#include <string>

#include "daemon/config/yaml_tree.h"

namespace loopsight {
namespace {

Configuration good(const std::string& text) {
  auto config = parse_configuration("loopsight.yml", text);
  EXPECT_TRUE(config) << config.error().message;
  return config.value_or(Configuration{});
}

std::string complaint(const std::string& text) {
  auto config = parse_configuration("loopsight.yml", text);
  return config ? "none" : config.error().message;
}

TEST(Configuration, NothingInTheFileMeansTheDefaults) {
  for (const char* text : {"", "# only a remark\n", "---\n", "workloads:\nprobes:\n"}) {
    Configuration config = good(text);
    EXPECT_EQ(config.threshold_ns, 50'000'000U) << text;
    EXPECT_TRUE(config.probes.gc);
    EXPECT_FALSE(config.probes.audit);
    EXPECT_EQ(config.stalls_kept, 1000U);
    EXPECT_EQ(config.listen_address, "127.0.0.1:9788");
    EXPECT_FALSE(config.exports.json_lines);
  }
}

TEST(Configuration, ReadsEveryKey) {
  auto config = parse_configuration("/etc/loopsight/loopsight.yml", R"(
threshold: 75ms
workloads:
  - match: '^shop'
    threshold: 0.2s
    audit: true
  - {match: batch, watch: false}
processes:
  include: ['.']
  exclude: ['^cron\.']
probes: {gc: false, imports: false, audit: true, cost_limit: 2.5%}
labels: {workloads: 10, culprits: 4}
stalls: {keep: 77}
log: {level: debug, format: json}
web: {listen_address: '[::1]:80', config_file: web.yml}
exports:
  journal: true
  json_lines: {path: /var/log/stalls.jsonl, max_bytes: 1MiB, files: 2}
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->threshold_ns, 75'000'000U);
  ASSERT_EQ(config->workloads.size(), 2U);
  EXPECT_EQ(config->workloads[0].threshold_ns, 200'000'000U);
  EXPECT_FALSE(config->workloads[1].watch);
  EXPECT_FALSE(config->probes.gc || config->probes.imports);
  EXPECT_DOUBLE_EQ(config->probes.cost_limit, 0.025);
  EXPECT_EQ(config->labels.workloads, 10U);
  EXPECT_EQ(config->labels.culprits, 4U);
  EXPECT_EQ(config->stalls_kept, 77U);
  EXPECT_EQ(config->log.level, "debug");
  EXPECT_EQ(config->log.format, LogFormat::kJson);
  EXPECT_EQ(config->listen_address, "[::1]:80");
  EXPECT_EQ(config->web_config_file, "/etc/loopsight/web.yml");
  EXPECT_TRUE(config->exports.journal);
  ASSERT_TRUE(config->exports.json_lines);
  EXPECT_EQ(config->exports.json_lines->path, "/var/log/stalls.jsonl");
  EXPECT_EQ(config->exports.json_lines->max_bytes, 1U << 20);
  EXPECT_EQ(config->exports.json_lines->files, 2U);
}

TEST(Configuration, TheFirstRuleThatMatchesCounts) {
  Configuration config = good(R"(
threshold: 60ms
workloads:
  - {match: '^shop\.py$', threshold: 1s}
  - {match: shop, threshold: 2s, audit: true}
  - {match: batch, watch: false}
processes: {exclude: [secret]}
)");
  EXPECT_EQ(config.policy("shop.py", "argv").threshold_ns, 1'000'000'000U);
  EXPECT_FALSE(config.policy("shop.py", "argv").audit);
  EXPECT_EQ(config.policy("my-shop.service", "argv").threshold_ns, 2'000'000'000U);
  EXPECT_TRUE(config.policy("my-shop.service", "argv").audit);
  EXPECT_EQ(config.policy("other", "argv").threshold_ns, 60'000'000U);
  EXPECT_TRUE(config.policy("other", "argv").watch);
  EXPECT_FALSE(config.policy("batch.py", "argv").watch);
  EXPECT_FALSE(config.policy("shop-secret", "argv").watch);
}

TEST(Configuration, RulesNameWorkloads) {
  Configuration config = good(R"(
workloads:
  - {match: '--port 8001\b', name: front, threshold: 1s}
  - {match: '^uvicorn shop', cwd: '^/srv/old', name: old}
  - {exe: '/opt/.*/python', user: 1000, cgroup: 'batch[.]slice', name: batch}
  - {user: no-such-user-of-this-host, name: never}
  - {match: '^(old|front)$', threshold: 2s}
)");
  NamedBy process{.name = "uvicorn shop:app",
                  .command = "python uvicorn shop:app --port 8001",
                  .exe = "/usr/bin/python3",
                  .cwd = "/srv/old/shop",
                  .cgroup = "0::/batch.slice/x",
                  .uid = 1000};
  EXPECT_EQ(config.name_of(process), "front");
  process.command = "python uvicorn shop:app --port 80010";
  EXPECT_EQ(config.name_of(process), "old");
  process.cwd = "/srv/shop";
  EXPECT_EQ(config.name_of(process), "");
  process.exe = "/opt/shop/bin/python";
  EXPECT_EQ(config.name_of(process), "batch");
  process.uid = 1001;
  EXPECT_EQ(config.name_of(process), "");
  EXPECT_TRUE(config.has_names());
  EXPECT_EQ(config.policy("front", "configuration").threshold_ns, 1'000'000'000U);
  EXPECT_EQ(config.policy("old", "configuration").threshold_ns, 2'000'000'000U);
  EXPECT_EQ(config.policy("front", "argv").threshold_ns, 2'000'000'000U);
}

TEST(Configuration, RulesForUnitsAreNotForProgramsThatAreCalledSo) {
  Configuration config = good(R"(
workloads:
  - {match: 'argv', source: argv, threshold: 3s}
  - {match: nginx, audit: true, threshold: 1s}
  - {match: shop, source: unit, threshold: 2s}
processes: {include: [nginx, shop, argv]}
)");
  EXPECT_TRUE(config.policy("nginx.service", "unit").audit);
  EXPECT_EQ(config.policy("nginx.service (argv)", "argv").threshold_ns, 3'000'000'000U);
  EXPECT_FALSE(config.policy("nginx.service (argv)", "argv").audit);
  EXPECT_FALSE(config.policy("nginx.service (argv)", "argv").watch);
  EXPECT_EQ(config.policy("shop", "unit").threshold_ns, 2'000'000'000U);
  EXPECT_EQ(config.policy("shop", "argv").threshold_ns, 50'000'000U);
}

TEST(Configuration, WhereSomethingIsIncludedTheRestIsNot) {
  Configuration config = good("processes: {include: ['^a', b$], exclude: [ab]}");
  EXPECT_TRUE(config.policy("a1", "argv").watch);
  EXPECT_TRUE(config.policy("xb", "argv").watch);
  EXPECT_FALSE(config.policy("ab", "argv").watch);
  EXPECT_FALSE(config.policy("c", "argv").watch);
}

TEST(Configuration, SaysWhatHttpAnswersToAndWho) {
  Configuration config = good(
      "web: {listen_address: 'unix:/run/x', socket_group: g, open_health: true, allowed_hosts: "
      "[a.example, '*.b.example']}");
  EXPECT_EQ(config.listen_address, "unix:/run/x");
  EXPECT_EQ(config.socket_group, "g");
  EXPECT_TRUE(config.open_health);
  EXPECT_EQ(config.allowed_hosts, (std::vector<std::string>{"a.example", "*.b.example"}));
  EXPECT_FALSE(Configuration().open_health);
  EXPECT_EQ(complaint("web: {allowed_hosts: ['a:80']}"),
            "loopsight.yml:1:23: found the text 'a:80', expected a host's name, or *. and a name, "
            "without a port");
}

TEST(Configuration, NamesRunMethodsOfFurtherLoops) {
  auto config =
      parse_configuration("loopsight.yml", "loops:\n- run: mylib.engine:Engine.turn\n- run: a:b\n");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->loops.size(), 2U);
  EXPECT_EQ(config->loops[0].module, "mylib.engine");
  EXPECT_EQ(config->loops[0].function, "Engine.turn");
  EXPECT_NE(complaint("loops: [{run: nothing}]").find("module:qualified.name"), std::string::npos);
  EXPECT_NE(complaint("loops: [{}]").find("module:qualified.name"), std::string::npos);
}

TEST(Configuration, SaysWhoseCodeIsWhose) {
  auto config = parse_configuration("loopsight.yml",
                                    "code: {own: [^shop], library: [/srv/shared/]}\n"
                                    "workloads:\n- match: billing\n  code: {own: [^ledger]}\n");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->code.own.size(), 1U);
  EXPECT_TRUE(config->code.own[0].found_in("shop.db"));
  ASSERT_EQ(config->code.library.size(), 1U);
  ASSERT_EQ(config->workloads.at(0).code.own.size(), 1U);
  EXPECT_NE(complaint("code: {own: ['(']}").find("a regular expression"), std::string::npos);
}

TEST(Configuration, AnUnknownKeyIsNamedWithTheNearestOne) {
  EXPECT_EQ(
      complaint("stalls: {keep: 5}\ntreshold: 50ms\n"),
      "loopsight.yml:2:1: unknown key 'treshold', expected one of threshold, workloads, "
      "processes, probes, labels, tables, stalls, log, web, loops, code, exports; did you mean "
      "'threshold'?");
  EXPECT_EQ(complaint("stalls: {keeps: 5}"),
            "loopsight.yml:1:10: unknown key 'keeps', expected keep; did you mean 'keep'?");
  EXPECT_EQ(complaint("log:\n  colour: red\n"),
            "loopsight.yml:2:3: unknown key 'colour', expected one of level, format");
}

TEST(Configuration, WrongValuesAreShownWithWhatWasExpected) {
  EXPECT_EQ(complaint("threshold: 50\n"),
            "loopsight.yml:1:12: found '50', expected a duration of at most 24 hours in ms, s or "
            "m, like 50ms");
  EXPECT_EQ(complaint("threshold: [50ms]\n"),
            "loopsight.yml:1:12: found a list, expected a duration of at most 24 hours in ms, s or "
            "m, like 50ms");
  EXPECT_EQ(complaint("probes:\n  gc: yes\n"),
            "loopsight.yml:2:7: found 'yes', expected true or false");
  EXPECT_EQ(complaint("probes:\n  gc: \"true\"\n"),
            "loopsight.yml:2:7: found the text 'true', expected true or false");
  EXPECT_EQ(complaint("probes: {cost_limit: 0.01}"),
            "loopsight.yml:1:22: found '0.01', expected a percentage of more than 0% and at most "
            "100%, like 1%");
  EXPECT_EQ(complaint("labels: {culprits: 0}"),
            "loopsight.yml:1:20: found '0', expected a whole number from 1 to 1000");
  EXPECT_EQ(complaint("labels: {culprits: 7x}"),
            "loopsight.yml:1:20: found '7x', expected a whole number from 1 to 1000");
  EXPECT_EQ(complaint("log: {level: loud}"),
            "loopsight.yml:1:14: found 'loud', expected one of trace, debug, info, warn, error");
  EXPECT_EQ(complaint("exports: {json_lines: {path: /x, max_bytes: 100}}"),
            "loopsight.yml:1:45: found '100', expected a size from 64KiB to 1000GB in kB, MB, GB, "
            "KiB, MiB or GiB, like 100MB");
  EXPECT_EQ(complaint("exports: {json_lines: {path: x}}"),
            "loopsight.yml:1:23: found json_lines without an absolute 'path', expected one");
  EXPECT_EQ(complaint("workloads: {match: x}"),
            "loopsight.yml:1:12: found a mapping, expected a list");
  EXPECT_EQ(complaint("workloads:\n- threshold: 1s\n"),
            "loopsight.yml:2:3: found a workload without the key 'match', expected one with it");
  EXPECT_EQ(
      complaint("workloads:\n- {match: x, cwd: y}\n"),
      "loopsight.yml:2:3: found exe, cwd, cgroup or user without the key 'name', expected one "
      "with it: they say which processes the rule gives a name");
  EXPECT_EQ(complaint("workloads:\n- {match: x, name: y, source: argv}\n"),
            "loopsight.yml:2:3: found both name and source, expected one of them");
  EXPECT_EQ(complaint("workloads:\n- {match: x, name: '" + std::string(101, 'a') + "'}\n"),
            "loopsight.yml:2:20: found the text '" + std::string(57, 'a') +
                "\xE2\x80\xA6', expected a name of at most 100 bytes");
  EXPECT_EQ(complaint("workloads:\n- {match: x, source: root}\n"),
            "loopsight.yml:2:22: found 'root', expected one of argv, unit, container, "
            "configuration");
  EXPECT_EQ(complaint("just a text"), "loopsight.yml:1:1: found 'just a text', expected a mapping");
}

TEST(Configuration, ABadPatternIsShownWithItsFault) {
  EXPECT_EQ(complaint("workloads:\n  - match: '(shop'\n"),
            "loopsight.yml:2:12: found the text '(shop', expected a regular expression (missing ): "
            "(shop)");
  EXPECT_EQ(complaint("processes: {include: ['" + std::string(600, 'a') + "']}"),
            "loopsight.yml:1:23: found the text '" + std::string(57, 'a') +
                "\xE2\x80\xA6', expected a regular expression (longer than 512 bytes)");
}

TEST(Configuration, WhatTheFileHoldsCannotReachTheTerminal) {
  EXPECT_EQ(complaint("\"bad\\e[31m\\xff key\": 1"),
            "loopsight.yml:1:1: unknown key 'bad?[31m\xC3\xBF key', expected one of threshold, "
            "workloads, processes, probes, labels, tables, stalls, log, web, loops, code, exports");
  EXPECT_EQ(complaint("threshold: \xC3(\x01\n").find('\x01'), std::string::npos);
}

TEST(Yaml, WhatIsNoSingleDocumentIsRefused) {
  EXPECT_EQ(complaint("a: 1\na: 2\n"),
            "loopsight.yml:2:1: found the key 'a' again, expected it once (it is in line 1)");
  EXPECT_EQ(complaint("threshold: 1s\n---\nthreshold: 2s\n"),
            "loopsight.yml:1:1: found something after the end of the document, expected one "
            "mapping");
  EXPECT_EQ(complaint("{threshold: 1s}\nstalls: {keep: 1}\n"),
            "loopsight.yml:1:1: found something after the end of the document, expected one "
            "mapping");
  EXPECT_EQ(complaint(", threshold: 1s"),  // yaml-cpp's LoadAll never comes back from this
            "loopsight.yml:1:1: found something after the end of the document, expected one "
            "mapping");
  EXPECT_EQ(complaint("threshold: [1s\n"),
            "loopsight.yml:2:1: not YAML: end of sequence flow not found");
  EXPECT_EQ(complaint("log: &x {level: info}\nweb: *x\n"),
            "loopsight.yml:2:6: found an alias, expected the value itself");
  EXPECT_EQ(complaint("threshold: !!int 5\n"),
            "loopsight.yml:1:12: found the tag 'tag:yaml.org,2002:int', expected a value without "
            "one");
  EXPECT_EQ(complaint("? [a]\n: b\n"), "loopsight.yml:1:3: expected a key that is a word");
  EXPECT_EQ(complaint(std::string("a: \0b", 5)),
            "loopsight.yml: found a zero byte at offset 3, expected text");
}

TEST(Yaml, SizeDepthAndNumberAreBounded) {
  EXPECT_EQ(complaint(std::string((1 << 20) + 1, ' ')), "loopsight.yml: larger than 1048576 bytes");
  EXPECT_EQ(complaint(std::string(20, '[') + std::string(20, ']')),
            "loopsight.yml:1:17: nested deeper than 16 levels");
  EXPECT_NE(complaint(std::string(100000, '[')), "none");
  std::string many;
  for (int i = 0; i < 30000; i++) many += "- a\n";
  EXPECT_EQ(complaint(many), "loopsight.yml:20001:3: more than 20000 values");
  std::string rules = "workloads:\n";
  for (int i = 0; i < 201; i++) rules += "- match: a\n";
  EXPECT_EQ(complaint(rules), "loopsight.yml:202:3: found 201 entries, expected at most 200");
}

TEST(Configuration, AFileThatCannotBeReadSaysWhatToDo) {
  auto config = read_configuration("/nonexistent/loopsight.yml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message,
            "cannot read the configuration /nonexistent/loopsight.yml: No such file or directory; "
            "give another file with --config, or leave it out to run with the defaults");
  EXPECT_FALSE(read_configuration("/dev/zero"));
}

}  // namespace
}  // namespace loopsight
