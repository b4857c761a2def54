// What a bcrypt hash looks like.
#pragma once

#include <cstddef>
#include <string_view>

namespace loopsight {

constexpr size_t kBcryptSize = 60;
constexpr int kMaxBcryptCost = 17;

// "$2b$10$…" (2a, 2b, 2y) of a cost from 4 to kMaxBcryptCost.
bool is_bcrypt(std::string_view hash);

// The cost that a bcrypt hash names.
int bcrypt_cost(std::string_view hash);

}  // namespace loopsight
