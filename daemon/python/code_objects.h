// Frames -> names. Keeps what the kernel sent of each code object, by process, address and
// identity: an address may be given to another code object, and a frame of the old one must not get
// its name. What they may weigh in all is bounded; when it is reached, who has most loses his
// oldest.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "bpf/wire.h"
#include "daemon/base/fair_shares.h"
#include "daemon/event/event.h"
#include "daemon/python/frame.h"

namespace loopsight {

class CodeObjects {
 public:
  static constexpr size_t kMostBytes = 96 << 20;  // of all; a large program has some 3 MB of them
  explicit CodeObjects(size_t most_bytes = kMostBytes) : shares_(most_bytes) {}

  void on_code(const ls_code& record, const Owner& owner = {});
  void on_exit(uint32_t tgid);

  // The frames of a stack, the innermost first. `minor` is the interpreter's. A frame whose code
  // object was not sent, and what is beyond a damaged frame, is one frame named kUnreadable.
  std::vector<Frame> resolve(uint32_t tgid, int minor, const ls_stack& stack) const;

  bool knows(uint32_t tgid, const ls_frame& frame) const {
    return codes_.contains({tgid, frame.code, frame.identity});
  }
  size_t size() const { return codes_.size(); }
  uint64_t dropped() const { return shares_.dropped(); }  // to make room
  std::vector<Owner> take_offenders() { return shares_.take_offenders(); }

 private:
  struct Code {
    std::string function;
    std::string filename;
    uint32_t adaptive = 0;
    uint32_t first_line = 0;
    std::string lines;
  };
  using Key = std::tuple<uint32_t, uint64_t, uint32_t>;  // tgid, address, identity
  std::map<Key, Code> codes_;
  FairShares<Key> shares_;  // of bytes, lanes are processes
};

// Text of a CPython string object as sent: UTF-8, cleaned. `state` is the object's state word,
// `length` its characters, of which `bytes` may hold fewer.
std::string decode_text(uint32_t state, uint32_t length, std::span<const unsigned char> bytes);

}  // namespace loopsight
