#include "daemon/profile/folded.h"

#include <fmt/format.h>

#include <map>
#include <string_view>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxLabel = 400;

// ';' parts frames in this format, so that one in a name is written by its code.
std::string escaped(const std::string& label) {
  std::string text;
  for (char c : clean_text(label, kMaxLabel)) {
    if (c == ';')
      text += "\\x3b";
    else
      text += c;
  }
  return text;
}

}  // namespace

std::string folded(const StallProfile& profile) {
  std::map<std::string, uint64_t> sums;
  for (const StallProfile::Sample& sample : profile.samples()) {
    std::string line = escaped(profile.loops()[sample.loop].workload);
    const auto& stack = profile.stacks()[sample.stack];
    for (uint32_t frame : stack) line += ";" + escaped(frame_label(profile.frames()[frame]));
    if (stack.empty()) line += ";[not seen]";
    line += fmt::format(";[{}]", kCauseNames[sample.cause]);
    sums[line] += sample.ns;
  }
  std::string text;
  for (const auto& [line, ns] : sums)
    if (ns >= 1000) text += fmt::format("{} {}\n", line, ns / 1000);
  return text;
}

}  // namespace loopsight
