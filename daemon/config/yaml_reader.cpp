#include "daemon/config/yaml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

std::string describe(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "nothing";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMap: return "a mapping";
    case YamlNode::Kind::kScalar: break;
  }
  return fmt::format("{}'{}'", node.quoted ? "the text " : "", clean_text(node.text, 60));
}

// How many letters have to be changed, added or taken away (Levenshtein).
size_t distance(std::string_view one, std::string_view other) {
  std::vector<size_t> row(other.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < one.size(); i++) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < other.size(); j++) {
      size_t changed = diagonal + (one[i] == other[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string unknown_key(std::string_view found, const std::vector<YamlReader::Key>& keys) {
  std::vector<std::string> names;
  names.reserve(keys.size());
  for (const auto& key : keys) names.emplace_back(key.name);
  std::string text = fmt::format("unknown key '{}', expected ", clean_text(found, 60));
  text += names.size() == 1 ? names[0] : fmt::format("one of {}", fmt::join(names, ", "));
  if (found.size() > 40) return text;
  auto nearest = std::min_element(names.begin(), names.end(), [&](const auto& a, const auto& b) {
    return distance(found, a) < distance(found, b);
  });
  if (distance(found, *nearest) <= std::max<size_t>(2, nearest->size() / 3))
    text += fmt::format("; did you mean '{}'?", *nearest);
  return text;
}

}  // namespace

tl::unexpected<Error> YamlReader::error(const YamlNode& node, std::string_view what) const {
  return tl::make_unexpected(yaml_error(file_, node.line, node.column, what));
}

tl::unexpected<Error> YamlReader::expected(const YamlNode& node, std::string_view what) const {
  return error(node, fmt::format("found {}, expected {}", describe(node), what));
}

bool YamlReader::plain(const YamlNode& node) const {
  return node.kind == YamlNode::Kind::kScalar && !node.quoted;
}

Result<void> YamlReader::map(const YamlNode& node, const std::vector<Key>& keys) const {
  if (node.kind == YamlNode::Kind::kNull) return {};
  if (node.kind != YamlNode::Kind::kMap) return expected(node, "a mapping");
  for (size_t i = 0; i < node.keys.size(); i++) {
    const YamlNode& found = node.keys[i];
    auto key = std::find_if(keys.begin(), keys.end(),
                            [&](const Key& one) { return found.text == one.name; });
    if (key == keys.end()) return error(found, unknown_key(found.text, keys));
    if (auto read = key->read(node.items[i]); !read) return read;
  }
  return {};
}

Result<void> YamlReader::list(const YamlNode& node, size_t most, const Read& read) const {
  if (node.kind == YamlNode::Kind::kNull) return {};
  if (node.kind != YamlNode::Kind::kList) return expected(node, "a list");
  if (node.items.size() > most)
    return error(node.items[most],
                 fmt::format("found {} entries, expected at most {}", node.items.size(), most));
  for (const YamlNode& item : node.items)
    if (auto done = read(item); !done) return done;
  return {};
}

Result<void> YamlReader::flag(const YamlNode& node, bool& value) const {
  if (!plain(node) || (node.text != "true" && node.text != "false"))
    return expected(node, "true or false");
  value = node.text == "true";
  return {};
}

Result<void> YamlReader::text(const YamlNode& node, std::string& value) const {
  if (node.kind != YamlNode::Kind::kScalar || node.text.empty()) return expected(node, "a text");
  if (node.text.size() > 4096) return error(node, "found a text of more than 4096 bytes");
  value = node.text;
  return {};
}

Result<void> YamlReader::choice(const YamlNode& node, const std::vector<std::string>& choices,
                                std::string& value) const {
  if (node.kind != YamlNode::Kind::kScalar ||
      std::find(choices.begin(), choices.end(), node.text) == choices.end())
    return expected(node, fmt::format("one of {}", fmt::join(choices, ", ")));
  value = node.text;
  return {};
}

Result<void> YamlReader::count(const YamlNode& node, size_t least, size_t most,
                               size_t& value) const {
  size_t number = 0;
  const char* end = node.text.data() + node.text.size();
  auto [stop, wrong] = std::from_chars(node.text.data(), end, number);
  if (!plain(node) || wrong != std::errc() || stop != end || number < least || number > most)
    return expected(node, fmt::format("a whole number from {} to {}", least, most));
  value = number;
  return {};
}

Result<void> YamlReader::duration(const YamlNode& node, uint64_t& value_ns) const {
  auto parsed = node.kind == YamlNode::Kind::kScalar ? parse_duration_ns(node.text)
                                                     : Result<uint64_t>(failure(""));
  if (!parsed) return expected(node, "a duration of at most 24 hours in ms, s or m, like 50ms");
  value_ns = *parsed;
  return {};
}

Result<void> YamlReader::size(const YamlNode& node, uint64_t& value_bytes) const {
  constexpr std::array<std::pair<std::string_view, double>, 6> kUnits = {
      {{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}}};
  constexpr double kLeast = 65536;
  constexpr double kMost = 1e12;
  double number = 0;
  const char* end = node.text.data() + node.text.size();
  auto [stop, wrong] = std::from_chars(node.text.data(), end, number);
  std::string_view suffix(stop, static_cast<size_t>(end - stop));
  auto unit = std::find_if(kUnits.begin(), kUnits.end(),
                           [&](const auto& one) { return one.first == suffix; });
  double bytes = unit == kUnits.end() ? 0 : number * unit->second;
  if (node.kind != YamlNode::Kind::kScalar || wrong != std::errc() ||
      !(bytes >= kLeast && bytes <= kMost))
    return expected(node, "a size from 64KiB to 1000GB in kB, MB, GB, KiB, MiB or GiB, like 100MB");
  value_bytes = static_cast<uint64_t>(bytes);
  return {};
}

Result<void> YamlReader::percent(const YamlNode& node, double& share) const {
  double number = 0;
  const char* end = node.text.data() + node.text.size();
  auto [stop, wrong] = std::from_chars(node.text.data(), end, number);
  if (node.kind != YamlNode::Kind::kScalar || wrong != std::errc() ||
      std::string_view(stop, static_cast<size_t>(end - stop)) != "%" ||
      !(number > 0 && number <= 100))
    return expected(node, "a percentage of more than 0% and at most 100%, like 1%");
  share = number / 100;
  return {};
}

Result<void> YamlReader::pattern(const YamlNode& node, Pattern& value) const {
  if (node.kind != YamlNode::Kind::kScalar || node.text.empty())
    return expected(node, "a regular expression");
  auto compiled = Pattern::compile(node.text);
  if (!compiled)
    return expected(node, fmt::format("a regular expression ({})", compiled.error().message));
  value = *std::move(compiled);
  return {};
}

}  // namespace loopsight
