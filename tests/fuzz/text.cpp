// Text of traced processes: what leaves clean_text is fit for a terminal, a label and a page.
#include "daemon/base/text.h"

#include "daemon/host/source_file.h"
#include "daemon/python/code_objects.h"
#include "tests/fuzz/target.h"

FUZZ_TARGET(text, input) {
  fuzz::Bytes bytes(input);
  size_t most = bytes.take<uint16_t>() % 600;
  auto state = bytes.take<uint32_t>();
  auto length = bytes.take<uint32_t>();
  auto column = bytes.take<uint16_t>();
  auto end_column = bytes.take<uint16_t>();
  std::string_view rest = bytes.rest();

  std::string clean = clean_text(rest, most);
  fuzz::require(clean.size() <= most, "no longer than asked for");
  fuzz::require(clean_text(clean, most) == clean, "clean is clean");
  for (unsigned char c : clean) fuzz::require(c >= 0x20 && c != 0x7F, "no control characters");
  fuzz::require(clean.find("\xE2\x80\xAE") == std::string::npos, "nothing turned around");
  fuzz::require(clean.find("\xE2\x81\xA6") == std::string::npos, "nothing isolated");

  (void)decode_text(state, length,
                    {reinterpret_cast<const unsigned char*>(rest.data()), rest.size()});
  fuzz::require(cut_expression(std::string(rest), column, end_column).size() <= 160,
                "a short expression");
  if (auto duration = parse_duration_ns(rest))
    fuzz::require(*duration > 0 && *duration <= 86'400'000'000'000, "a duration of a day at most");
  (void)format_duration(bytes.take<uint64_t>());
  (void)format_utc(bytes.take<uint64_t>());
}
