#include "daemon/python/python_objects.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "daemon/python/code_objects.h"

namespace loopsight {
namespace {

// Members of a type object, from its tp_name on (Include/cpython/object.h).
constexpr uint64_t kBasicSize = 8;
constexpr uint64_t kFlags = 144;
constexpr uint64_t kDictOffset = 264;

constexpr uint64_t kInlineValues = 1 << 2;  // Py_TPFLAGS_INLINE_VALUES, 3.13 and newer
constexpr uint64_t kManagedDict = 1 << 4;   // Py_TPFLAGS_MANAGED_DICT, 3.11 and newer
constexpr uint64_t kLong = 1 << 24;
constexpr uint64_t kUnicode = 1 << 28;
constexpr uint64_t kMaxAttributes = 128;
constexpr size_t kMaxText = 128;

// Of ht_cached_keys of a PyHeapTypeObject; 3.11 and newer.
uint64_t cached_keys(uint32_t minor) { return minor == 11 ? 848 : minor <= 14 ? 856 : 864; }

}  // namespace

uint64_t PythonObjects::type_word(uint64_t type, uint64_t offset) const {
  return type == 0 ? 0 : memory_.word(type + python_.type_name + offset);
}

std::string PythonObjects::type_name(uint64_t object) const {
  uint64_t type = object == 0 ? 0 : memory_.word(object + python_.object_type);
  uint64_t address = type_word(type, 0);
  std::array<char, 64> name{};
  // Not beyond the end of a page that may be the last one, unless the name goes on there.
  size_t first = std::min<size_t>(name.size() - 1, 4096 - address % 4096);
  if (!memory_.read(address, name.data(), first)) return "";
  if (!std::memchr(name.data(), 0, first))
    (void)memory_.read(address + first, name.data() + first, name.size() - 1 - first);
  return name.data();
}

uint64_t PythonObjects::referent(uint64_t weak_reference) const {
  if (!type_name(weak_reference).starts_with("weakref")) return 0;
  return memory_.word(weak_reference + python_.object_bytes);  // wr_object
}

std::optional<uint32_t> PythonObjects::integer(uint64_t object) const {
  uint64_t type = object == 0 ? 0 : memory_.word(object + python_.object_type);
  if (!(type_word(type, kFlags) & kLong)) return std::nullopt;
  struct Digits {
    uint64_t size;
    uint32_t first;
    uint32_t second;
  };
  auto digits = memory_.value<Digits>(object + python_.object_bytes);
  if (!digits) return std::nullopt;
  // Include/cpython/longintrepr.h: from 3.12 on bits 0 and 1 are the sign (1: zero), the digits are
  // counted from bit 3; before, the size is negative for a negative number.
  if (python_.flags & LS_PYTHON_COMPACT_INT) {
    if ((digits->size & 3) == 1) return 0;
    if (digits->size >> 3 != 1 || (digits->size & 3) != 0) return std::nullopt;
    return digits->first;
  }
  if (digits->size == 0) return 0;
  if (digits->size != 1) return std::nullopt;
  return digits->first;
}

std::optional<std::string> PythonObjects::text(uint64_t object) const {
  uint64_t type = object == 0 ? 0 : memory_.word(object + python_.object_type);
  if (!(type_word(type, kFlags) & kUnicode)) return std::nullopt;
  uint64_t length = memory_.word(object + python_.text_length);
  auto state = memory_.value<uint32_t>(object + python_.text_state);
  if (!state) return std::nullopt;
  uint64_t kind = *state >> 2 & 7;
  bool is_ascii = *state >> 6 & 1;
  std::array<unsigned char, kMaxText> bytes{};
  uint64_t size = std::min<uint64_t>(std::min<uint64_t>(length, kMaxText) * kind, kMaxText);
  if (size > 0 && !memory_.read(object + (is_ascii ? python_.text_ascii : python_.text_other),
                                bytes.data(), size))
    return std::nullopt;
  return decode_text(*state, static_cast<uint32_t>(std::min<uint64_t>(length, UINT32_MAX)),
                     std::span(bytes).first(size));
}

// Objects/dictobject.c. Up to 3.10: refcount, size, lookup function, usable, entries, indices.
// From 3.11 on: refcount, three bytes (log2 of the size, log2 of the indices' bytes, kind of the
// entries), version, usable, entries, indices.
std::optional<PythonObjects::Keys> PythonObjects::read_keys(uint64_t address) const {
  Keys keys;
  if (python_.minor <= 10) {
    struct Head {
      uint64_t refcount, size, lookup, usable, count;
    };
    auto head = memory_.value<Head>(address);
    if (!head || head->size > UINT32_MAX) return std::nullopt;
    uint64_t index_bytes = head->size <= 0xFF ? 1 : head->size <= 0xFFFF ? 2 : 4;
    keys = {.entries = address + sizeof(Head) + head->size * index_bytes,
            .count = head->count,
            .entry_bytes = 24,
            .key_at = 8};
  } else {
    struct Head {
      uint64_t refcount;
      uint8_t log2_size, log2_index_bytes, kind, pad[5];
      uint64_t usable, count;
    };
    auto head = memory_.value<Head>(address);
    if (!head || head->log2_index_bytes > 32) return std::nullopt;
    bool with_hash = head->kind == 0;
    keys = {.entries = address + sizeof(Head) + (uint64_t{1} << head->log2_index_bytes),
            .count = head->count,
            .entry_bytes = with_hash ? uint64_t{24} : uint64_t{16},
            .key_at = with_hash ? uint64_t{8} : uint64_t{0}};
  }
  if (keys.count > kMaxAttributes) return std::nullopt;
  return keys;
}

// The index of the entry with the key `name`.
std::optional<uint64_t> PythonObjects::find(const Keys& keys, std::string_view name,
                                            KnownKeys& known) const {
  std::vector<unsigned char> bytes(keys.count * keys.entry_bytes);
  if (bytes.empty() || !memory_.read(keys.entries, bytes.data(), bytes.size())) return std::nullopt;
  std::vector<uint64_t> names(keys.count);
  for (size_t i = 0; i < names.size(); i++)
    std::memcpy(&names[i], bytes.data() + i * keys.entry_bytes + keys.key_at, sizeof(uint64_t));
  auto remembered = known.find(name);
  if (remembered != known.end())
    for (size_t i = 0; i < names.size(); i++)
      if (names[i] == remembered->second) return i;
  for (size_t i = 0; i < names.size(); i++) {
    if (names[i] == 0 || text(names[i]) != name) continue;
    known[std::string(name)] = names[i];
    return i;
  }
  return std::nullopt;
}

uint64_t PythonObjects::in_values(uint64_t keys, uint64_t values, std::string_view name,
                                  KnownKeys& known) const {
  auto read = read_keys(keys);
  auto index = read ? find(*read, name, known) : std::nullopt;
  return index ? values + 8 * *index : 0;
}

uint64_t PythonObjects::in_dict(uint64_t dict, std::string_view name, KnownKeys& known) const {
  struct Members {
    uint64_t used, version, keys, values;
  };
  auto members = memory_.value<Members>(dict + python_.object_bytes);
  if (!members) return 0;
  // From 3.13 on the values have a head of a word.
  if (members->values != 0)
    return in_values(members->keys, members->values + (python_.minor >= 13 ? 8 : 0), name, known);
  auto keys = read_keys(members->keys);
  auto index = keys ? find(*keys, name, known) : std::nullopt;
  return index ? keys->entries + *index * keys->entry_bytes + keys->key_at + 8 : 0;
}

uint64_t PythonObjects::item(uint64_t dict, std::string_view key) const {
  KnownKeys unused;
  uint64_t at = dict == 0 ? 0 : in_dict(dict, key, unused);
  return at == 0 ? 0 : untagged(memory_.word(at));
}

uint64_t PythonObjects::attribute(uint64_t object, std::string_view name, KnownKeys& known) const {
  uint64_t type = object == 0 ? 0 : memory_.word(object + python_.object_type);
  if (type == 0) return 0;
  if (python_.minor <= 10) {
    uint64_t offset = type_word(type, kDictOffset);
    if (offset == 0 || offset > 4096) return 0;  // a negative one counts from the object's end
    return in_dict(memory_.word(object + offset), name, known);
  }
  uint64_t flags = type_word(type, kFlags);
  if (!(flags & kManagedDict)) return 0;
  uint64_t keys = type_word(type, cached_keys(python_.minor));
  // What stands before the object: 3.11 its values and its dict, 3.12 one of both, later the dict.
  bool free_threaded = python_.flags & LS_PYTHON_FREE_THREADED;
  uint64_t dict = memory_.word(object - (free_threaded ? 8 : 24));
  uint64_t values = 0;
  if (python_.minor == 11) {
    values = memory_.word(object - 32);
  } else if (python_.minor == 12) {
    if (dict & 1) values = dict + 1;
  } else if (dict == 0 && flags & kInlineValues) {
    uint64_t inside = object + type_word(type, kBasicSize);
    auto head = memory_.value<std::array<uint8_t, 4>>(inside);  // capacity, size, embedded, valid
    if (!head || !(*head)[3]) return 0;
    values = inside + 8;
  }
  if (values != 0) return in_values(keys, values, name, known);
  return in_dict(untagged(dict), name, known);
}

}  // namespace loopsight
