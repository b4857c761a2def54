// What the person at the terminal has chosen, and what each key does.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "daemon/top/top_model.h"

namespace loopsight {

enum class TopKey {
  kText,  // a character
  kUp,
  kDown,
  kPageUp,
  kPageDown,
  kHome,
  kEnd,
  kEnter,
  kEscape,
  kBackspace,
};

enum class TopSort { kBlocked, kBusy, kStalls, kName };
enum class TopMode { kList, kDetails, kHelp, kFilter };

const char* sort_name(TopSort sort);

class TopView {
 public:
  // False: the view is to end. `page`: how many rows are on the screen.
  bool on_key(TopKey key, char character, size_t page);
  // The rows to show, filtered and sorted; keeps the chosen loop chosen while others move.
  void arrange(const std::vector<TopRow>& rows);

  const std::vector<const TopRow*>& shown() const { return shown_; }
  size_t chosen() const { return chosen_; }
  TopMode mode() const { return mode_; }
  TopSort sort() const { return sort_; }
  bool is_paused() const { return paused_; }
  const std::string& filter() const { return filter_; }
  size_t scroll() const { return scroll_; }  // of the details

 private:
  bool on_list_key(TopKey key, char character, size_t page);
  void on_filter_key(TopKey key, char character);
  void move(long rows);

  std::vector<const TopRow*> shown_;
  size_t chosen_ = 0;
  std::pair<std::string, uint64_t> chosen_loop_;  // workload, tid
  TopMode mode_ = TopMode::kList;
  TopMode before_help_ = TopMode::kList;
  TopSort sort_ = TopSort::kBlocked;
  bool paused_ = false;
  std::string filter_;
  std::string old_filter_;
  size_t scroll_ = 0;
};

}  // namespace loopsight
