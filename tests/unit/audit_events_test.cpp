#include "daemon/attribute/audit_events.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace loopsight {
namespace {

constexpr uint32_t kAscii = 1 << 2 | 1 << 6;  // state word: one byte a character, ASCII

ls_call call_of(const char* event, const std::string& text, uint32_t kind = LS_ARGUMENT_TEXT) {
  ls_call call{.time_ns = 1, .kind = kind, .state = kAscii};
  call.length = static_cast<uint32_t>(text.size());
  std::strncpy(call.event, event, sizeof(call.event) - 1);
  std::memcpy(call.text, text.data(), std::min(text.size(), sizeof(call.text)));
  return call;
}

TEST(AuditEvents, FitTheKernelsKeysAndAreUnique) {
  std::set<std::string_view> names;
  for (const AuditEvent& event : audit_events()) {
    EXPECT_LT(event.name.size(), size_t{LS_EVENT_NAME_SIZE}) << event.name;
    EXPECT_TRUE(names.insert(event.name).second) << event.name;
    EXPECT_NE(event.causes, 0U) << event.name;
  }
  EXPECT_LE(names.size(), 256U);  // entries of the kernel's map
}

TEST(DescribeCall, NamesTheCallAndItsArgument) {
  auto call = describe_call(call_of("socket.getaddrinfo", "db.internal"), LS_CAUSE_NETWORK);
  ASSERT_TRUE(call);
  EXPECT_EQ(call->event, "socket.getaddrinfo");
  EXPECT_EQ(call->argument, "db.internal");
}

TEST(DescribeCall, SaysNothingWhereTheCallCannotHaveThatCause) {
  EXPECT_FALSE(describe_call(call_of("open", "/etc/x"), LS_CAUSE_SLEEP));
  EXPECT_FALSE(describe_call(call_of("sys._getframe", ""), LS_CAUSE_CPU));
  EXPECT_FALSE(describe_call(ls_call{}, LS_CAUSE_CPU));
}

TEST(DescribeCall, ShowsAddressesWithTheirPort) {
  ls_call call = call_of("socket.connect", "10.0.0.5");
  call.number = 5432;
  EXPECT_EQ(describe_call(call, LS_CAUSE_NETWORK)->argument, "10.0.0.5:5432");
  call = call_of("socket.connect", "fe80::1");
  call.number = 80;
  EXPECT_EQ(describe_call(call, LS_CAUSE_NETWORK)->argument, "[fe80::1]:80");
}

TEST(DescribeCall, LeavesSecretsOut) {
  auto command =
      describe_call(call_of("os.system", "/usr/bin/mysql --password=hunter2", LS_ARGUMENT_BYTES),
                    LS_CAUSE_SUBPROCESS);
  EXPECT_EQ(command->argument, "mysql");
  auto shown = [](const char* text) {
    return describe_call(call_of("os.system", text, LS_ARGUMENT_BYTES), LS_CAUSE_SUBPROCESS)
        ->argument;
  };
  EXPECT_EQ(shown("PGPASSWORD=hunter2 /usr/bin/psql -h db"), "psql");
  EXPECT_EQ(shown(" A=hunter2  B=hunter2 psql"), "psql");
  EXPECT_EQ(shown("./a=b --password=hunter2"), "a=b");
  for (const char* unclear : {"A='hunter2 hunter2' psql", "A=$(cat hunter2) psql", "A=hunter2",
                              "A=x\\ hunter2 psql", "'hunter2' x", "A=1;B=hunter2 psql", ""})
    EXPECT_EQ(shown(unclear), std::nullopt) << unclear;
  auto url = describe_call(call_of("urllib.Request", "https://u:p@api.example/x?token=abc#f"),
                           LS_CAUSE_NETWORK);
  EXPECT_EQ(url->argument, "https://api.example/x");
  auto cut = describe_call(call_of("urllib.Request", "https://u:" + std::string(100, 'p') + "@x/"),
                           LS_CAUSE_NETWORK);
  EXPECT_EQ(cut->argument, std::nullopt);
}

TEST(DescribeCall, ShowsHostsWithoutTheirUser) {
  auto shown = [](const char* event, const char* text) {
    return describe_call(call_of(event, text), LS_CAUSE_NETWORK)->argument;
  };
  EXPECT_EQ(shown("socket.getaddrinfo", "u:hunter2@api.example"), "api.example");
  EXPECT_EQ(shown("http.client.connect", "u:hunter2@api.example"), "api.example");
  EXPECT_EQ(shown("socket.getaddrinfo", "api.example"), "api.example");
  EXPECT_EQ(shown("socket.connect", "/run/user@1/bus"), "/run/user@1/bus");
}

TEST(HideSecrets, LeavesInTheRecordOnlyWhatIsShown) {
  ls_probed probed{};
  probed.call =
      call_of("os.system", "PGPASSWORD=hunter2 psql --password=hunter2", LS_ARGUMENT_BYTES);
  probed.longest_call = call_of("urllib.Request", "https://u:hunter2@api.example/x?t=hunter2");
  auto command = describe_call(probed.call, LS_CAUSE_SUBPROCESS);
  auto url = describe_call(probed.longest_call, LS_CAUSE_NETWORK);
  hide_secrets(probed);
  std::string_view bytes(reinterpret_cast<const char*>(&probed), sizeof(probed));  // NOLINT
  EXPECT_EQ(bytes.find("hunter2"), std::string_view::npos);
  EXPECT_EQ(describe_call(probed.call, LS_CAUSE_SUBPROCESS)->argument, command->argument);
  EXPECT_EQ(describe_call(probed.longest_call, LS_CAUSE_NETWORK)->argument, url->argument);
  EXPECT_EQ(url->argument, "https://api.example/x");
  probed.call = call_of("os.system", "A='hunter2' psql", LS_ARGUMENT_BYTES);
  probed.longest_call = call_of("not.known", "hunter2");
  hide_secrets(probed);
  EXPECT_EQ(bytes.find("hunter2"), std::string_view::npos);
  EXPECT_EQ(describe_call(probed.call, LS_CAUSE_SUBPROCESS)->argument, std::nullopt);
  // What an earlier call left behind a shorter text, or where there is none.
  std::string old(LS_CALL_TEXT_SIZE, 'x');
  old.replace(40, 7, "hunter2");
  probed.call = call_of("open", old);
  probed.call.length = 5;
  probed.longest_call = call_of("http.client.send", old, LS_ARGUMENT_NONE);
  hide_secrets(probed);
  EXPECT_EQ(bytes.find("hunter2"), std::string_view::npos);
  EXPECT_EQ(describe_call(probed.call, LS_CAUSE_DISK)->argument, "xxxxx");
  probed.call = call_of("open", "/srv/app.db");
  hide_secrets(probed);
  EXPECT_EQ(describe_call(probed.call, LS_CAUSE_DISK)->argument, "/srv/app.db");
}

TEST(DescribeCall, CleansAndBoundsWhatTheProgramHolds) {
  auto call = describe_call(call_of("open", "/tmp/a\nb\x1b[31m", LS_ARGUMENT_BYTES), LS_CAUSE_DISK);
  ASSERT_TRUE(call && call->argument);
  EXPECT_EQ(call->argument->find('\n'), std::string::npos);
  EXPECT_EQ(call->argument->find('\x1b'), std::string::npos);
  ls_call odd = call_of("open", "/x");
  odd.kind = 77;
  EXPECT_FALSE(describe_call(odd, LS_CAUSE_DISK)->argument);
  odd.kind = LS_ARGUMENT_TEXT;
  odd.length = 0xFFFFFFFF;
  odd.state = 4 << 2;
  EXPECT_LE(describe_call(odd, LS_CAUSE_DISK)->argument.value_or("").size(), 1000U);
}

}  // namespace
}  // namespace loopsight
