#include "daemon/web/passwords.h"

#include <crypt.h>
#include <fmt/format.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "daemon/config/bcrypt.h"

namespace loopsight {
namespace {

constexpr size_t kMaxRemembered = 100;

// Whether `hash` is of `password`; takes the same time either way.
bool matches(const std::string& password, const std::string& hash) {
  auto data = std::make_unique<crypt_data>();  // 32 KiB
  const char* made = crypt_r(password.c_str(), hash.c_str(), data.get());
  // A failure gives a text that begins with '*' and is shorter.
  if (!made || std::string_view(made).size() != hash.size()) return false;
  bool same = gnutls_memcmp(made, hash.data(), hash.size()) == 0;
  gnutls_memset(data.get(), 0, sizeof(*data));
  // bcrypt's input ends at a zero byte: nobody may add to a password behind one.
  return same && password.find('\0') == std::string::npos;
}

}  // namespace

Passwords::Passwords(std::map<std::string, std::string> users) : users_(std::move(users)) {
  gnutls_rnd(GNUTLS_RND_KEY, secret_.data(), secret_.size());
  int cost = 4;
  for (const auto& [user, hash] : users_) cost = std::max(cost, bcrypt_cost(hash));
  // The hash of no password that anybody knows.
  stand_in_ = fmt::format("$2b${:02d}${}", cost, std::string(kBcryptSize - 7, '.'));
}

Passwords::Digest Passwords::digest(const std::string& user, const std::string& password) const {
  auto found = users_.find(user);
  std::string text = fmt::format("{}:{}{}", user, found == users_.end() ? "" : found->second,
                                 password);  // a name holds no colon, a hash has one length
  Digest digest{};
  gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret_.data(), secret_.size(), text.data(), text.size(),
                   digest.data());
  return digest;
}

bool Passwords::remembers(const std::string& user, const std::string& password) const {
  Digest wanted = digest(user, password);
  std::lock_guard lock(mutex_);
  bool found = false;
  for (const Digest& one : remembered_)
    if (gnutls_memcmp(one.data(), wanted.data(), wanted.size()) == 0) found = true;
  return found && users_.contains(user);
}

bool Passwords::verify(const std::string& user, const std::string& password) {
  auto found = users_.find(user);
  bool known = found != users_.end();
  bool right = matches(password, known ? found->second : stand_in_) && known;
  if (!right) return false;
  Digest digest = this->digest(user, password);
  std::lock_guard lock(mutex_);
  remembered_.push_back(digest);
  if (remembered_.size() > kMaxRemembered) remembered_.pop_front();
  return true;
}

}  // namespace loopsight
