// One record of the ring buffer or of a recording.
#include "daemon/event/codec.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(record, input) {
  auto decode_bytes = [](std::string_view bytes) {
    return decode(std::as_bytes(std::span(bytes.data(), bytes.size())));
  };
  (void)decode_bytes(input);
  // Its size is mostly wrong, and the rest is then not looked at.
  std::string sized(input);
  if (sized.size() < sizeof(ls_header)) return;
  auto size = static_cast<uint32_t>(sized.size());
  std::memcpy(sized.data() + offsetof(ls_header, size), &size, sizeof(size));
  auto event = decode_bytes(sized);
  if (!event) return;
  if (const auto* pools = std::get_if<PoolState>(&*event)) {
    auto again = decode(encode(*pools));
    fuzz::require(again && std::get<PoolState>(*again).pools.size() == pools->pools.size(),
                  "what is written can be read");
  }
  if (const auto* facts = std::get_if<ProcessFacts>(&*event))
    fuzz::require(decode(encode(*facts, 1)).has_value(), "facts can be read");
  if (const auto* source = std::get_if<SourceSeen>(&*event))
    fuzz::require(decode(encode(*source)).has_value(), "source lines can be read");
}
