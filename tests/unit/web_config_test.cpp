#include "daemon/config/web_config.h"

#include <gtest/gtest.h>

#include <fstream>

namespace loopsight {
namespace {

constexpr const char* kHash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

WebConfig parsed(const std::string& text) {
  auto config = parse_web_config(text, "conf/web.yml");
  EXPECT_TRUE(config) << config.error().message;
  return config ? *config : WebConfig{};
}

std::string refused(const std::string& text) {
  auto config = parse_web_config(text, "conf/web.yml");
  EXPECT_FALSE(config) << text;
  return config ? "" : config.error().message;
}

TEST(WebConfigTest, ReadsWhatExportersShare) {
  WebConfig config =
      parsed(std::string("tls_server_config:\n"
                         "  cert_file: server.crt\n"
                         "  key_file: /etc/keys/server.key\n"
                         "  client_ca_file: ca.crt\n"
                         "  client_auth_type: RequireAndVerifyClientCert\n"
                         "  min_version: TLS13\n"
                         "  curve_preferences: [X25519, CurveP256]\n"
                         "http_server_config:\n"
                         "  headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: ''}\n"
                         "basic_auth_users:\n"
                         "  alice: ") +
             kHash + "\n");
  ASSERT_TRUE(config.tls);
  EXPECT_EQ(config.tls->certificate.file, "conf/server.crt");  // relative to the file's folder
  EXPECT_EQ(config.tls->key.file, "/etc/keys/server.key");
  EXPECT_EQ(config.tls->client_auth, ClientAuth::kRequireAndVerify);
  EXPECT_EQ(config.tls->min_version, 13);
  EXPECT_EQ(config.tls->max_version, 13);
  EXPECT_EQ(config.tls->curves.size(), 2U);
  ASSERT_EQ(config.headers.size(), 1U);
  EXPECT_EQ(config.headers[0].second, "sameorigin");
  EXPECT_EQ(config.users.at("alice"), kHash);
  EXPECT_TRUE(config.warnings.empty());
}

TEST(WebConfigTest, AnEmptyFileAsksForNothing) {
  for (const char* text :
       {"", "# nothing\n", "---\n", "tls_server_config: {}\n", "basic_auth_users:\n"}) {
    WebConfig config = parsed(text);
    EXPECT_FALSE(config.tls) << text;
    EXPECT_TRUE(config.users.empty()) << text;
  }
}

TEST(WebConfigTest, SaysWhereAnErrorIs) {
  EXPECT_EQ(refused("tls_server_config:\n  certfile: x\n").substr(0, 17), "conf/web.yml:2:3:");
  EXPECT_NE(refused("tls_server_config:\n  certfile: x\n").find("cert_file"), std::string::npos);
  EXPECT_EQ(refused("# top\nusers: {}\n").substr(0, 17), "conf/web.yml:2:1:");
  EXPECT_EQ(refused("basic_auth_users:\n  bob: secret\n").substr(0, 17), "conf/web.yml:2:8:");
  EXPECT_EQ(refused("a: [1\nb: 2\n").substr(0, 13), "conf/web.yml:");
}

TEST(WebConfigTest, RefusesWrongTypesAndValues) {
  const std::string tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
  for (const std::string& text : {
           std::string("[]\n"),
           std::string("text\n"),
           std::string("basic_auth_users: [a]\n"),
           std::string("basic_auth_users:\n  'a:b': ") + kHash + "\n",
           std::string("basic_auth_users:\n  a: ") + kHash + "\n  a: " + kHash + "\n",
           std::string("basic_auth_users:\n  a:\n"),
           std::string("http_server_config: {http2: maybe}\n"),
           std::string("http_server_config: {headers: {Server: x}}\n"),
           std::string("http_server_config: {headers: {X-Frame-Options: never}}\n"),
           std::string("http_server_config: {headers: {Content-Security-Policy: \"a\\nb\"}}\n"),
           std::string("tls_server_config: {cert_file: a}\n"),
           std::string("tls_server_config: {key_file: a}\n"),
           tls + "  cert_file: again\n",
           tls + "  cert: inline\n",
           tls + "  min_version: SSL3\n",
           tls + "  min_version: TLS13\n  max_version: TLS12\n",
           tls + "  client_auth_type: Always\n",
           tls + "  client_auth_type: RequireAndVerifyClientCert\n",
           tls + "  client_ca_file: ca\n",
           tls + "  curve_preferences: [CurveP12]\n",
           tls + "  cert_file: {a: b}\n",
           std::string("{}\n---\n{}\n"),
           std::string(2000, '['),
           std::string("a: &a [*a]\n"),
       })
    EXPECT_EQ(refused(text).substr(0, 12), "conf/web.yml") << text;
}

TEST(WebConfigTest, NamesWhatItCannotHonour) {
  const std::string tls = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
  EXPECT_NE(
      refused(tls + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n").find(":4:3: cipher_suites"),
      std::string::npos);
  EXPECT_NE(refused(tls + "  client_allowed_sans: [a]\n").find("client_ca_file"),
            std::string::npos);
  WebConfig config = parsed("http_server_config: {http2: true}\nrate_limit: {burst: 3}\n");
  ASSERT_EQ(config.warnings.size(), 2U);
  EXPECT_EQ(config.warnings[1].substr(0, 17), "conf/web.yml:2:1:");
}

TEST(WebConfigTest, ReadsOnlySmallRegularFiles) {
  EXPECT_FALSE(read_web_config("/no/such/file"));
  EXPECT_FALSE(read_web_config("/dev/zero"));
  EXPECT_FALSE(read_web_config("/"));
  std::string path = testing::TempDir() + "large.yml";
  std::ofstream(path) << std::string((1 << 20) + 1, '#');
  EXPECT_NE(read_web_config(path).error().message.find("1 MiB"), std::string::npos);
}

// yaml-cpp's LoadAll never came back from some of these, and ate memory meanwhile.
TEST(WebConfigTest, ComesBackFromWhatIsNoYaml) {
  for (const std::string& text :
       {std::string(","), std::string(", a: b\n"), std::string("]"), std::string("}\n{}\n"),
        std::string("{}\n,\n"), std::string("%YAML 9.9\n"), std::string("a: b\0c", 6),
        std::string("a: \xff\xfe\x1b[2J\n"), std::string(1 << 19, '['), std::string(1 << 19, '{'),
        std::string(1 << 19, '-')}) {
    std::string message = refused(text);
    EXPECT_EQ(message.substr(0, 12), "conf/web.yml");
    for (unsigned char c : message) EXPECT_GE(c, 0x20) << message;
  }
}

}  // namespace
}  // namespace loopsight
