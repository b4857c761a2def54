#include "daemon/attribute/sources.h"

#include "daemon/host/source_file.h"

namespace loopsight {
namespace {

constexpr size_t kMaxBytes = 16384;  // of one
constexpr size_t kOverhead = 300;

}  // namespace

void Sources::on_source(const SourceSeen& source, const Owner& owner) {
  if (source.text.size() > kMaxBytes) return;
  Key key{source.tgid, source.file, source.line, source.end_line};
  lines_[key] = {.text = source.text, .is_public = source.is_public};
  size_t bytes = source.text.size() + 2 * source.file.size() + kOverhead;
  for (const Key& gone : shares_.add(key, owner, bytes, source.tgid)) lines_.erase(gone);
}

void Sources::on_exit(uint32_t tgid) {
  auto first = lines_.lower_bound({tgid, "", 0, 0});
  auto last = first;
  for (; last != lines_.end() && std::get<0>(last->first) == tgid; ++last)
    shares_.remove(last->first);
  lines_.erase(first, last);
}

void Sources::show_expression(uint32_t tgid, Frame& frame) const {
  auto found = lines_.find({tgid, frame.file, frame.line, frame.end_line});
  if (found == lines_.end()) return;
  frame.expression = cut_expression(found->second.text, frame.column, frame.end_column);
  frame.is_public = found->second.is_public;
}

}  // namespace loopsight
