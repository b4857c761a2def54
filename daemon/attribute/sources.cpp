#include "daemon/attribute/sources.h"

#include "daemon/host/source_file.h"

namespace loopsight {
namespace {

constexpr size_t kMaxBytes = 16384;   // of one
constexpr size_t kMaxSources = 8192;  // then those of the smallest pid go

}  // namespace

void Sources::on_source(const SourceSeen& source) {
  if (source.text.size() > kMaxBytes) return;
  if (lines_.size() >= kMaxSources) on_exit(std::get<0>(lines_.begin()->first));
  lines_[{source.tgid, source.file, source.line, source.end_line}] = {
      .text = source.text, .is_public = source.is_public};
}

void Sources::on_exit(uint32_t tgid) {
  auto first = lines_.lower_bound({tgid, "", 0, 0});
  auto last = first;
  while (last != lines_.end() && std::get<0>(last->first) == tgid) ++last;
  lines_.erase(first, last);
}

void Sources::show_expression(uint32_t tgid, Frame& frame) const {
  auto found = lines_.find({tgid, frame.file, frame.line, frame.end_line});
  if (found == lines_.end()) return;
  frame.expression = cut_expression(found->second.text, frame.column, frame.end_column);
  frame.is_public = found->second.is_public;
}

}  // namespace loopsight
