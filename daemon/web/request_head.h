// What a request says before its body, as it came, and what must hold for it to mean one thing to
// everybody who reads it: a proxy that lets requests through by their path or length must not see
// another path or another end than we do. The library is lenient, so we look again.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace loopsight {

struct RequestHead {
  std::string target;  // not decoded
  bool cut = false;    // a zero byte ended the target, or a header's value, too early
  std::vector<std::pair<std::string, std::string>> headers = {};

  // The first value, "" where there is none; names in any case.
  std::string_view header(std::string_view name) const;
  size_t count(std::string_view name) const;

  // What makes it unfit to be answered, "" for nothing.
  std::string fault() const;
  // "HOST:PORT" of a target that is a whole URL; nothing where it is a path.
  std::optional<std::string_view> authority() const;
  // The hosts that it is meant for: its header's, one each, and the target's. None where it has no
  // header.
  std::vector<std::string_view> hosts() const;
  // Whether a page of another site made a browser send it. A link that was followed to us is no
  // such request.
  bool is_of_another_site() const;
};

}  // namespace loopsight
