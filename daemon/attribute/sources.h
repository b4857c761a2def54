// The source lines that were read of the programs that stalled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "daemon/base/fair_shares.h"
#include "daemon/event/event.h"
#include "daemon/python/frame.h"

namespace loopsight {

class Sources {
 public:
  void on_source(const SourceSeen& source, const Owner& owner = {});
  void on_exit(uint32_t tgid);

  // Gives a frame the text of the expression that it was in, cleaned; "" where it is not known.
  void show_expression(uint32_t tgid, Frame& frame) const;
  size_t size() const { return lines_.size(); }

 private:
  using Key = std::tuple<uint32_t, std::string, uint32_t, uint32_t>;  // tgid, file, lines
  struct Lines {
    std::string text;
    bool is_public = false;
  };
  static constexpr size_t kMostBytes = 16 << 20;  // of all
  std::map<Key, Lines> lines_;
  FairShares<Key> shares_{kMostBytes};  // of bytes, lanes are processes
};

}  // namespace loopsight
