// A file that says to be an interpreter.
#include "daemon/python/elf_file.h"
#include "daemon/python/python_file.h"
#include "daemon/python/python_layout.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(elf, input) {
  fuzz::MemoryFile file(input);
  auto python = read_python_file(file.fd());
  if (python) {
    fuzz::require(python->version.size() < 32, "a version");
    auto layout = python_layout(python->minor, python->debug_offsets);
    if (layout) set_asyncio_offsets(*layout, python->asyncio_debug);
  }
  auto elf = ElfFile::open(file.fd());
  if (!elf) return;
  for (const ElfSegment& segment : elf->segments())
    if (auto bytes = elf->read_at(segment.address, 16))
      fuzz::require(bytes->size() == 16, "as many bytes as asked for");
  fuzz::require(elf->read_section(".rodata", 4096).size() <= 4096, "no more than asked for");
}
