// Objects of a CPython process, read from outside: names of types, integers, strings, references
// that may be weak, and attributes of instances, wherever a version keeps them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "bpf/wire.h"
#include "daemon/host/remote_memory.h"

namespace loopsight {

class PythonObjects {
 public:
  // References must outlive the object.
  PythonObjects(const RemoteMemory& memory, const ls_python& python)
      : memory_(memory), python_(python) {}

  // The object that a local variable or an attribute refers to; versions keep tags in it.
  static uint64_t untagged(uint64_t reference) { return reference & ~uint64_t{7}; }

  // "_queue.SimpleQueue"; "" where it cannot be read. Not cleaned, at most 63 bytes.
  std::string type_name(uint64_t object) const;
  // Of a weak reference; 0 where it is none or its object has gone.
  uint64_t referent(uint64_t weak_reference) const;
  // Small and not negative ones only.
  std::optional<uint32_t> integer(uint64_t object) const;
  std::optional<std::string> text(uint64_t object) const;  // cleaned

  // Where the instance keeps its attribute `name`: the address of a word that refers to the value.
  // `keys` remembers the addresses of names, so that the next look need not compare their text.
  using KnownKeys = std::map<std::string, uint64_t, std::less<>>;
  uint64_t attribute(uint64_t object, std::string_view name, KnownKeys& keys) const;
  // The value of a text key in a dict; 0 where it has none.
  uint64_t item(uint64_t dict, std::string_view key) const;

 private:
  struct Keys {
    uint64_t entries = 0;  // address
    uint64_t count = 0;
    uint64_t entry_bytes = 0;
    uint64_t key_at = 0;  // in an entry; the value follows it
  };
  uint64_t type_word(uint64_t type, uint64_t offset) const;
  std::optional<Keys> read_keys(uint64_t address) const;
  std::optional<uint64_t> find(const Keys& keys, std::string_view name, KnownKeys& known) const;
  uint64_t in_values(uint64_t keys, uint64_t values, std::string_view name, KnownKeys& known) const;
  uint64_t in_dict(uint64_t dict, std::string_view name, KnownKeys& known) const;

  const RemoteMemory& memory_;
  const ls_python& python_;
};

}  // namespace loopsight
