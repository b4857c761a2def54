// What a TLS handshake is made with: certificate, key, client certificates, versions.
#pragma once

#include <gnutls/gnutls.h>

#include <memory>

#include "daemon/base/result.h"
#include "daemon/config/web_config.h"

namespace loopsight {

class TlsCredentials {
 public:
  // Errors: a file that cannot be read or is no PEM, a key that is not the certificate's.
  static Result<std::shared_ptr<const TlsCredentials>> load(const TlsConfig& config);
  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

  // Before the handshake begins. This object must outlive the session.
  void apply(gnutls_session_t session) const;

 private:
  TlsCredentials() = default;
  Result<void> load_certificate(const TlsConfig& config);
  Result<void> load_client_ca(const TlsConfig& config);

  gnutls_certificate_credentials_t credentials_ = nullptr;
  gnutls_priority_t priorities_ = nullptr;
  ClientAuth client_auth_ = ClientAuth::kNone;
};

}  // namespace loopsight
