#include "daemon/top/top_view.h"

#include <algorithm>
#include <tuple>

namespace loopsight {
namespace {

constexpr size_t kMaxFilter = 60;
constexpr size_t kMaxScroll = 200;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool contains(const std::string& text, const std::string& part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(),
                     [](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

bool matches(const TopRow& row, const std::string& filter) {
  if (filter.empty() || contains(row.loop.workload, filter)) return true;
  return !row.recent.empty() && contains(row.recent.front().culprit, filter);
}

}  // namespace

const char* sort_name(TopSort sort) {
  switch (sort) {
    case TopSort::kBlocked: return "blocked";
    case TopSort::kBusy: return "busy";
    case TopSort::kStalls: return "stalls";
    case TopSort::kName: return "name";
  }
  return "";
}

void TopView::move(long rows) {
  auto last = static_cast<long>(shown_.size()) - 1;
  if (last < 0) return;
  chosen_ = static_cast<size_t>(std::clamp(static_cast<long>(chosen_) + rows, 0L, last));
  const TopRow& row = *shown_[chosen_];
  chosen_loop_ = {row.loop.workload, row.loop.tid};
}

void TopView::on_filter_key(TopKey key, char character) {
  if (key == TopKey::kEnter) {
    mode_ = TopMode::kList;
  } else if (key == TopKey::kEscape) {
    filter_ = old_filter_;
    mode_ = TopMode::kList;
  } else if (key == TopKey::kBackspace) {
    if (!filter_.empty()) filter_.pop_back();
  } else if (key == TopKey::kText && filter_.size() < kMaxFilter) {
    filter_ += character;
  }
}

bool TopView::on_list_key(TopKey key, char character, size_t page) {
  auto rows = static_cast<long>(std::max<size_t>(page, 1));
  switch (key) {
    case TopKey::kUp: move(-1); return true;
    case TopKey::kDown: move(1); return true;
    case TopKey::kPageUp: move(-rows); return true;
    case TopKey::kPageDown: move(rows); return true;
    case TopKey::kHome: move(-static_cast<long>(shown_.size())); return true;
    case TopKey::kEnd: move(static_cast<long>(shown_.size())); return true;
    case TopKey::kEnter:
      if (!shown_.empty()) mode_ = TopMode::kDetails;
      move(0);
      scroll_ = 0;
      return true;
    case TopKey::kEscape: filter_.clear(); return true;
    case TopKey::kBackspace: return true;
    case TopKey::kText: break;
  }
  switch (character) {
    case 'k': move(-1); break;
    case 'j': move(1); break;
    case 'g': move(-static_cast<long>(shown_.size())); break;
    case 'G': move(static_cast<long>(shown_.size())); break;
    case 's':
      sort_ = sort_ == TopSort::kName ? TopSort::kBlocked
                                      : static_cast<TopSort>(static_cast<int>(sort_) + 1);
      break;
    case '/':
      old_filter_ = filter_;
      mode_ = TopMode::kFilter;
      break;
    default: break;
  }
  return true;
}

bool TopView::on_key(TopKey key, char character, size_t page) {
  if (mode_ == TopMode::kFilter) {
    on_filter_key(key, character);
    return true;
  }
  if (key == TopKey::kText) {
    if (character == 'q') return false;
    if (character == 'p' || character == ' ') {
      paused_ = !paused_;
      return true;
    }
  }
  if (mode_ == TopMode::kHelp) {
    mode_ = before_help_;  // any key
    return true;
  }
  if (key == TopKey::kText && (character == '?' || character == 'h')) {
    before_help_ = mode_;
    mode_ = TopMode::kHelp;
    return true;
  }
  if (mode_ == TopMode::kList) return on_list_key(key, character, page);
  if (key == TopKey::kEscape || key == TopKey::kEnter || key == TopKey::kBackspace)
    mode_ = TopMode::kList;
  if (key == TopKey::kDown || character == 'j') scroll_ = std::min(scroll_ + 1, kMaxScroll);
  if (key == TopKey::kUp || character == 'k') scroll_ -= scroll_ > 0 ? 1 : 0;
  return true;
}

void TopView::arrange(const std::vector<TopRow>& rows) {
  shown_.clear();
  for (const TopRow& row : rows)
    if (matches(row, filter_)) shown_.push_back(&row);
  auto name = [](const TopRow& row) {
    return std::tie(row.loop.workload, row.loop.worker, row.loop.tid);
  };
  auto rank = [this](const TopRow& row) {
    switch (sort_) {
      case TopSort::kBlocked: return std::make_tuple(row.blocked_share, row.busy_share);
      case TopSort::kBusy: return std::make_tuple(row.busy_share, row.blocked_share);
      case TopSort::kStalls:
        return std::make_tuple(static_cast<double>(row.stalls), row.blocked_share);
      case TopSort::kName: break;
    }
    return std::make_tuple(0.0, 0.0);
  };
  std::sort(shown_.begin(), shown_.end(), [&](const TopRow* a, const TopRow* b) {
    if (rank(*a) != rank(*b)) return rank(*a) > rank(*b);
    return name(*a) < name(*b);
  });
  for (size_t i = 0; i < shown_.size(); i++)
    if (shown_[i]->loop.workload == chosen_loop_.first &&
        shown_[i]->loop.tid == chosen_loop_.second) {
      chosen_ = i;
      return;
    }
  // Until a row is chosen it is the first; where the chosen one has gone, its place.
  if (!shown_.empty()) chosen_ = std::min(chosen_, shown_.size() - 1);
  if (shown_.empty()) {
    chosen_ = 0;
    if (mode_ == TopMode::kDetails) mode_ = TopMode::kList;
  }
}

}  // namespace loopsight
