#include "daemon/config/bcrypt.h"

namespace loopsight {
namespace {

constexpr std::string_view kBcryptAlphabet =
    "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

}  // namespace

int bcrypt_cost(std::string_view hash) { return (hash[4] - '0') * 10 + (hash[5] - '0'); }

bool is_bcrypt(std::string_view hash) {
  if (hash.size() != kBcryptSize || !hash.starts_with("$2") || hash[3] != '$' || hash[6] != '$')
    return false;
  if (std::string_view("aby").find(hash[2]) == std::string_view::npos) return false;
  if (hash[4] < '0' || hash[4] > '9' || hash[5] < '0' || hash[5] > '9') return false;
  if (bcrypt_cost(hash) < 4 || bcrypt_cost(hash) > kMaxBcryptCost) return false;
  return hash.find_first_not_of(kBcryptAlphabet, 7) == std::string_view::npos;
}

}  // namespace loopsight
