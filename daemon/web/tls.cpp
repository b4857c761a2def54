#include "daemon/web/tls.h"

#include <fmt/format.h>
#include <gnutls/x509.h>

#include <array>
#include <string>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr std::array kVersions = {std::pair{10, "VERS-TLS1.0"}, std::pair{11, "VERS-TLS1.1"},
                                  std::pair{12, "VERS-TLS1.2"}, std::pair{13, "VERS-TLS1.3"}};
constexpr std::array kGroups = {
    std::pair{"X25519", "GROUP-X25519"}, std::pair{"CurveP256", "GROUP-SECP256R1"},
    std::pair{"CurveP384", "GROUP-SECP384R1"}, std::pair{"CurveP521", "GROUP-SECP521R1"}};

std::string priorities_of(const TlsConfig& config) {
  std::string text = "NORMAL:-VERS-ALL";
  for (const auto& [version, name] : kVersions)
    if (version >= config.min_version && version <= config.max_version)
      text += fmt::format(":+{}", name);
  if (!config.curves.empty()) text += ":-GROUP-ALL";
  for (const std::string& curve : config.curves)
    for (const auto& [name, group] : kGroups)
      if (curve == name) text += fmt::format(":+{}", group);
  if (config.prefer_server_suites) text += ":%SERVER_PRECEDENCE";
  return text;
}

Result<std::string> pem_of(const PemSource& source) {
  if (source.file.empty()) return source.text;
  return read_small_file(source.file);
}

std::string name_of(const PemSource& source, const char* key) {
  return source.file.empty() ? std::string(key) : clean_text(source.file, 300);
}

gnutls_datum_t datum(std::string& text) {
  return {reinterpret_cast<unsigned char*>(text.data()), static_cast<unsigned>(text.size())};
}

// Called in the handshake, once the client's certificate is there or known not to come.
int verify_client(gnutls_session_t session) {
  unsigned count = 0;
  gnutls_certificate_get_peers(session, &count);
  if (count == 0) return 0;  // the request already said whether one is needed
  gnutls_typed_vdata_st purpose{};
  purpose.type = GNUTLS_DT_KEY_PURPOSE_OID;
  purpose.data = reinterpret_cast<unsigned char*>(const_cast<char*>(GNUTLS_KP_TLS_WWW_CLIENT));
  unsigned status = 0;
  if (gnutls_certificate_verify_peers(session, &purpose, 1, &status) < 0 || status != 0)
    return GNUTLS_E_CERTIFICATE_ERROR;
  return 0;
}

}  // namespace

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::load(const TlsConfig& config) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials);
  made->client_auth_ = config.client_auth;
  if (int error = gnutls_certificate_allocate_credentials(&made->credentials_); error < 0)
    return failure(fmt::format("cannot set TLS up: {}", gnutls_strerror(error)));
  std::string priorities = priorities_of(config);
  if (int error = gnutls_priority_init(&made->priorities_, priorities.c_str(), nullptr); error < 0)
    return failure(fmt::format("cannot set TLS up: {}: {}", priorities, gnutls_strerror(error)));
  if (auto loaded = made->load_certificate(config); !loaded)
    return tl::make_unexpected(loaded.error());
  if (auto loaded = made->load_client_ca(config); !loaded)
    return tl::make_unexpected(loaded.error());
  return made;
}

Result<void> TlsCredentials::load_certificate(const TlsConfig& config) {
  auto certificate = pem_of(config.certificate);
  if (!certificate) return tl::make_unexpected(certificate.error());
  auto key = pem_of(config.key);
  if (!key) return tl::make_unexpected(key.error());
  gnutls_datum_t certificate_pem = datum(*certificate);
  gnutls_datum_t key_pem = datum(*key);
  int error = gnutls_certificate_set_x509_key_mem2(credentials_, &certificate_pem, &key_pem,
                                                   GNUTLS_X509_FMT_PEM, nullptr, 0);
  gnutls_memset(key->data(), 0, key->size());
  if (error < 0)
    return failure(fmt::format("cannot use the certificate {} with the key {}: {}",
                               name_of(config.certificate, "cert"), name_of(config.key, "key"),
                               gnutls_strerror(error)));
  return {};
}

Result<void> TlsCredentials::load_client_ca(const TlsConfig& config) {
  if (!config.client_ca.is_set()) return {};
  auto authority = pem_of(config.client_ca);
  if (!authority) return tl::make_unexpected(authority.error());
  gnutls_datum_t pem = datum(*authority);
  int count = gnutls_certificate_set_x509_trust_mem(credentials_, &pem, GNUTLS_X509_FMT_PEM);
  if (count <= 0)
    return failure(fmt::format("no certificate in {}: {}", name_of(config.client_ca, "client_ca"),
                               count < 0 ? gnutls_strerror(count) : "it is empty"));
  if (config.client_auth == ClientAuth::kVerifyIfGiven ||
      config.client_auth == ClientAuth::kRequireAndVerify)
    gnutls_certificate_set_verify_function(credentials_, verify_client);
  return {};
}

void TlsCredentials::apply(gnutls_session_t session) const {
  gnutls_priority_set(session, priorities_);
  gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials_);
  auto request =
      client_auth_ == ClientAuth::kNone ? GNUTLS_CERT_IGNORE
      : client_auth_ == ClientAuth::kRequest || client_auth_ == ClientAuth::kVerifyIfGiven
          ? GNUTLS_CERT_REQUEST
          : GNUTLS_CERT_REQUIRE;
  gnutls_certificate_server_set_request(session, request);
}

TlsCredentials::~TlsCredentials() {
  if (credentials_) gnutls_certificate_free_credentials(credentials_);
  if (priorities_) gnutls_priority_deinit(priorities_);
}

}  // namespace loopsight
