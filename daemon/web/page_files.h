// The files of page/, compiled in by embed.cmake.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace loopsight {

struct PageFile {
  std::string_view name;
  const unsigned char* bytes;
  size_t size;
};

std::span<const PageFile> page_files();

}  // namespace loopsight
