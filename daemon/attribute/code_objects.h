// Frames -> names. Keeps what the kernel sent of each code object, by process and address; a code
// object that took another's place is sent again and replaces it here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bpf/wire.h"
#include "daemon/attribute/report.h"
#include "daemon/event/event.h"

namespace loopsight {

class CodeObjects {
 public:
  void on_code(const ls_code& record);
  void on_exit(uint32_t tgid);

  // The frames of a stack, the innermost first. `minor` is the interpreter's. A frame whose code
  // object was never sent is left out, and what is below a damaged frame too.
  std::vector<Frame> resolve(uint32_t tgid, int minor, const ls_stack& stack) const;

  size_t size() const { return codes_.size(); }

 private:
  struct Code {
    std::string function;
    std::string filename;
    uint64_t adaptive = 0;
    uint32_t first_line = 0;
    std::string lines;
  };
  std::map<std::pair<uint32_t, uint64_t>, Code> codes_;
};

// Text of a CPython string object as sent: UTF-8, cleaned. Public for tests.
std::string decode_text(const ls_text& text);

// "asyncio.base_events" of "/usr/lib/python3.11/asyncio/base_events.py", "app" of "/srv/app.py".
std::string module_name(const std::string& filename);

// True for files of the standard library and of installed packages, and for frozen modules: code
// that a culprit is not looked for in.
bool is_library_file(const std::string& filename);

}  // namespace loopsight
