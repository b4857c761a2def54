#include "daemon/attribute/sources.h"

#include "daemon/attribute/source_file.h"

namespace loopsight {
namespace {

constexpr size_t kMaxSources = 8192;  // then those of the smallest pid go

}  // namespace

void Sources::on_source(const SourceSeen& source) {
  if (lines_.size() >= kMaxSources) on_exit(std::get<0>(lines_.begin()->first));
  lines_[{source.tgid, source.file, source.line, source.end_line}] = source.text;
}

void Sources::on_exit(uint32_t tgid) {
  lines_.erase(lines_.lower_bound({tgid, "", 0, 0}), lines_.lower_bound({tgid + 1, "", 0, 0}));
}

std::string Sources::expression(uint32_t tgid, const Frame& frame) const {
  auto found = lines_.find({tgid, frame.file, frame.line, frame.end_line});
  if (found == lines_.end()) return "";
  return cut_expression(found->second, frame.column, frame.end_column);
}

}  // namespace loopsight
