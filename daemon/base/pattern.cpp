#include "daemon/base/pattern.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "daemon/base/text.h"

namespace loopsight {

Result<Pattern> Pattern::compile(const std::string& text) {
  if (text.size() > kMaxBytes) return failure(fmt::format("longer than {} bytes", kMaxBytes));
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  Pattern pattern;
  pattern.text_ = text;
  pattern.compiled_ = std::make_shared<const re2::RE2>(text, options);
  if (!pattern.compiled_->ok()) return failure(clean_text(pattern.compiled_->error(), 120));
  return pattern;
}

bool Pattern::found_in(std::string_view name) const {
  return compiled_ && re2::RE2::PartialMatch({name.data(), name.size()}, *compiled_);
}

}  // namespace loopsight
