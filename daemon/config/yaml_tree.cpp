#include "daemon/config/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxNodes = 20000;
constexpr size_t kMaxDepth = 16;
constexpr size_t kMaxShown = 60;

size_t one_based(int zero_based) {
  return zero_based < 0 ? 1 : static_cast<size_t>(zero_based) + 1;
}

// Takes yaml-cpp's events. After the first complaint the rest of them is passed over.
class Builder : public YAML::EventHandler {
 public:
  struct Complaint {
    size_t line;
    size_t column;
    std::string what;
  };

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    add({.line = one_based(mark.line), .column = one_based(mark.column)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    complain(mark, "found an alias, expected the value itself");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    check_tag(mark, tag);
    add({.kind = YamlNode::Kind::kScalar,
         .text = value,
         .quoted = tag == "!",
         .line = one_based(mark.line),
         .column = one_based(mark.column)});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

  const std::optional<Complaint>& complaint() const { return complaint_; }
  YamlNode take() { return std::move(root_); }

 private:
  struct Open {
    YamlNode node;
    std::optional<YamlNode> key;  // of a map: the one whose value comes next
  };

  void complain(const YAML::Mark& mark, std::string what) {
    complain(one_based(mark.line), one_based(mark.column), std::move(what));
  }
  void complain(size_t line, size_t column, std::string what) {
    if (!complaint_) complaint_ = {.line = line, .column = column, .what = std::move(what)};
  }
  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!")
      complain(mark, fmt::format("found the tag '{}', expected a value without one",
                                 clean_text(tag, kMaxShown)));
  }
  void open(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    check_tag(mark, tag);
    if (open_.size() >= kMaxDepth)
      complain(mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    if (complaint_) return;
    open_.push_back(
        {.node = {.kind = kind, .line = one_based(mark.line), .column = one_based(mark.column)}});
  }
  void close() {
    if (complaint_ || open_.empty()) return;
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(node));
  }
  void add(YamlNode node) {
    if (++nodes_ > kMaxNodes)
      complain(node.line, node.column, fmt::format("more than {} values", kMaxNodes));
    if (complaint_) return;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (parent.key) {
      parent.node.keys.push_back(std::move(*parent.key));
      parent.node.items.push_back(std::move(node));
      parent.key.reset();
    } else {
      check_key(parent.node, node);
      parent.key = std::move(node);
    }
  }
  void check_key(const YamlNode& map, const YamlNode& key) {
    if (key.kind != YamlNode::Kind::kScalar) {
      complain(key.line, key.column, "expected a key that is a word");
      return;
    }
    auto same = std::find_if(map.keys.begin(), map.keys.end(),
                             [&](const YamlNode& one) { return one.text == key.text; });
    if (same != map.keys.end())
      complain(key.line, key.column,
               fmt::format("found the key '{}' again, expected it once (it is in line {})",
                           clean_text(key.text, kMaxShown), same->line));
  }

  YamlNode root_;
  std::vector<Open> open_;
  size_t nodes_ = 0;
  std::optional<Complaint> complaint_;
};

}  // namespace

Error yaml_error(std::string_view file, size_t line, size_t column, std::string_view what) {
  return {fmt::format("{}:{}:{}: {}", clean_text(file, 300), line, column, what)};
}

Result<YamlNode> parse_yaml(std::string_view file, const std::string& text) {
  if (text.size() > kMaxBytes)
    return failure(fmt::format("{}: larger than {} bytes", clean_text(file, 300), kMaxBytes));
  if (auto zero = text.find('\0'); zero != std::string::npos)
    return failure(fmt::format("{}: found a zero byte at offset {}, expected text",
                               clean_text(file, 300), zero));
  Builder builder;
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    if (auto complaint = builder.complaint())
      return tl::make_unexpected(
          yaml_error(file, complaint->line, complaint->column, complaint->what));
    // A second document, or text that yaml-cpp makes nothing of.
    if (parser) {
      YamlNode root = builder.take();
      return tl::make_unexpected(
          yaml_error(file, root.line, root.column,
                     "found something after the end of the document, expected one mapping"));
    }
  } catch (const YAML::Exception& error) {
    return tl::make_unexpected(yaml_error(file, one_based(error.mark.line),
                                          one_based(error.mark.column),
                                          "not YAML: " + clean_text(error.msg, 120)));
  }
  return builder.take();
}

}  // namespace loopsight
