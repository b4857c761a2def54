// The result type of everything that can fail. An error is one line for a person: what failed, on
// which object, why, and what to do about it.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace loopsight {

struct Error {
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> failure(std::string message) {
  return tl::make_unexpected(Error{std::move(message)});
}

}  // namespace loopsight
