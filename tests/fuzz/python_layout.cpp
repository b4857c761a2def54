// The debug offsets by which an interpreter tells where it keeps its threads and frames.
#include "daemon/python/python_layout.h"

#include "tests/fuzz/target.h"

FUZZ_TARGET(python_layout, input) {
  fuzz::Bytes bytes(input);
  int minor = bytes.take<uint8_t>() % 20;
  std::string asyncio(bytes.take_text(bytes.take<uint8_t>()));
  std::string offsets(bytes.rest());
  // The cookie and the version, now and then as they should be.
  if (minor % 2 == 1 && offsets.size() >= 24) {
    uint64_t version = uint64_t{3} << 24 | static_cast<uint64_t>(minor) << 16;
    offsets.replace(0, 8, "xdebugpy");
    std::memcpy(offsets.data() + 8, &version, sizeof(version));
  }
  auto layout = python_layout(minor, offsets);
  if (!layout) return;
  fuzz::require(layout->minor == static_cast<uint32_t>(minor), "the version asked for");
  for (uint16_t offset :
       {layout->frame_previous, layout->frame_code, layout->frame_instruction, layout->frame_owner})
    fuzz::require(offset == LS_NO_OFFSET || offset + 8 <= LS_HEAD_BYTES, "inside what is read");
  set_asyncio_offsets(*layout, asyncio);
}
