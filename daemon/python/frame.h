// A Python frame with its names. All strings are clean (see clean_text).
#pragma once

#include <cstdint>
#include <string>

namespace loopsight {

// Whose code a frame runs; told by judge_code (own_code.h).
enum class Whose : uint8_t {
  kUnknown,
  kOwn,
  kPackage,   // an installed package
  kPlumbing,  // what calls the service's code: servers, frameworks, loops
  kLibrary,   // the standard library
  kOutside,   // the loop's run method and what called it
};

struct Frame {
  std::string function;
  std::string module;
  std::string file;
  uint32_t line = 0;
  // Of the expression that runs (3.11 and newer): its last line and its columns, in bytes of UTF-8
  // from 0; end_column 0: not known.
  uint32_t end_line = 0;
  uint32_t column = 0;
  uint32_t end_column = 0;
  std::string expression;  // its text; "" where it is not known
  bool is_public = false;  // every user of the host may read it in the file
  Whose whose = Whose::kUnknown;
};

}  // namespace loopsight
