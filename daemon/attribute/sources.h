// The source lines that were read of the programs that stalled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "daemon/event/event.h"
#include "daemon/python/frame.h"

namespace loopsight {

class Sources {
 public:
  void on_source(const SourceSeen& source);
  void on_exit(uint32_t tgid);

  // The text of the expression that a frame was in, cleaned; "" where it is not known.
  std::string expression(uint32_t tgid, const Frame& frame) const;
  size_t size() const { return lines_.size(); }

 private:
  using Key = std::tuple<uint32_t, std::string, uint32_t, uint32_t>;  // tgid, file, lines
  std::map<Key, std::string> lines_;
};

}  // namespace loopsight
