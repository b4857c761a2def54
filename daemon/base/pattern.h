// A regular expression of the user, in the syntax that Prometheus uses too (RE2). Matching takes
// time linear in the text, whatever the pattern.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "daemon/base/result.h"

namespace re2 {
class RE2;
}

namespace loopsight {

class Pattern {
 public:
  static constexpr size_t kMaxBytes = 512;

  // The error says what is wrong with the pattern.
  static Result<Pattern> compile(const std::string& text);

  // True where it matches anywhere in `name`; ^ and $ tie it to the ends.
  bool found_in(std::string_view name) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::shared_ptr<const re2::RE2> compiled_;
};

}  // namespace loopsight
