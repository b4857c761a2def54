// Compression of answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace loopsight {

// Whether a client that sends this Accept-Encoding takes gzip.
bool accepts_gzip(std::string_view accept_encoding);

// Nothing where the library fails.
std::optional<std::string> gzip(const std::string& body);

}  // namespace loopsight
