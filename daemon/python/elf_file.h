// A bounded reader of the dynamic symbols of an ELF file that anybody may have written: by pread
// alone, so a file cut short under us is an error and not a signal; every offset, count and length
// is checked and capped. 64-bit little-endian files only.
#pragma once

#include <elf.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/result.h"

namespace loopsight {

struct ElfSymbol {
  uint64_t address = 0;
  uint64_t size = 0;
};

// A loadable segment: file bytes from `offset` on stand at `address`.
struct ElfSegment {
  uint64_t offset = 0;
  uint64_t address = 0;
  uint64_t size = 0;  // in the file
};

class ElfFile {
 public:
  // Reads the headers through `fd`, which must outlive the object. Errors: not ELF, another class
  // or byte order, tables out of bounds.
  static Result<ElfFile> open(int fd);

  // Those of `names` that the file itself defines in its dynamic symbol table.
  std::map<std::string, ElfSymbol> find_symbols(
      const std::set<std::string, std::less<>>& names) const;

  std::vector<ElfSegment> segments() const;

  bool has_section(std::string_view name) const;
  // Where a section is to be in memory; 0 without one.
  uint64_t section_address(std::string_view name) const;

  // `size` bytes that the file puts at a virtual address; nothing where it does not.
  std::optional<std::string> read_at(uint64_t address, size_t size) const;

  // The contents of a section, cut at `max_bytes`.
  std::string read_section(std::string_view name, size_t max_bytes) const;

 private:
  struct Section {
    std::string name;
    Elf64_Shdr header;
  };
  explicit ElfFile(int fd) : fd_(fd) {}
  bool read_exactly(uint64_t offset, void* buffer, size_t size) const;
  const Section* section(std::string_view name) const;
  // The dynamic symbols as (table offset, count, string table offset, string table size).
  struct SymbolTable {
    uint64_t offset = 0;
    uint64_t count = 0;
    uint64_t strings = 0;
    uint64_t strings_size = 0;
  };
  std::optional<SymbolTable> symbol_table() const;

  int fd_;
  std::vector<Section> sections_;
  std::vector<Elf64_Phdr> segments_;
};

}  // namespace loopsight
