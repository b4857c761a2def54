// Another process's memory, made up: what was put there can be read, nothing else.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/host/remote_memory.h"
#include "daemon/python/python_layout.h"

namespace loopsight {

class FakeMemory {
 public:
  void word(uint64_t address, uint64_t value) { put(address, &value, sizeof(value)); }
  void byte(uint64_t address, uint8_t value) { bytes_[address] = value; }
  void put(uint64_t address, const void* data, size_t size) {
    const auto* from = static_cast<const uint8_t*>(data);
    for (size_t i = 0; i < size; i++) bytes_[address + i] = from[i];
  }
  void zero(uint64_t address, size_t size) {
    for (size_t i = 0; i < size; i++) bytes_.try_emplace(address + i, uint8_t{0});
  }

  RemoteMemory remote(size_t most_reads = 100'000) {
    return RemoteMemory(
        [this](uint64_t address, void* buffer, size_t size) { return read(address, buffer, size); },
        most_reads);
  }
  std::function<void()> before_read;  // may change the memory

 private:
  bool read(uint64_t address, void* buffer, size_t size) {
    if (before_read) before_read();
    auto* to = static_cast<uint8_t*>(buffer);
    for (size_t i = 0; i < size; i++) {
      auto found = bytes_.find(address + i);
      if (found == bytes_.end()) return false;
      to[i] = found->second;
    }
    return true;
  }
  std::map<uint64_t, uint8_t> bytes_;
};

// Objects of a CPython laid out as `python` says, at addresses that are given out in order.
class FakePython {
 public:
  explicit FakePython(int minor) : python(*python_layout(minor, "")) {
    python.runtime = allot(4096);
    python.code_type = type("code", 0);
  }

  uint64_t allot(size_t size) {
    uint64_t address = next_;
    next_ += (size + 63) / 64 * 64 + 64;
    memory.zero(address, size);
    return address;
  }
  uint64_t type(const std::string& name, uint64_t flags) {
    uint64_t text = allot(128);
    memory.put(text, name.data(), name.size());
    uint64_t address = allot(1024);
    memory.word(address + python.type_name, text);
    memory.word(address + python.type_name + 8, 16);  // tp_basicsize
    memory.word(address + python.type_name + 144, flags);
    return address;
  }
  uint64_t object(uint64_t of_type, size_t size = 256) {
    uint64_t address = allot(size + 64) + 64;  // with room for what stands before it
    memory.word(address + python.object_type, of_type);
    return address;
  }
  uint64_t text(const std::string& value) {
    static constexpr uint64_t kUnicode = 1 << 28;
    if (!text_type_) text_type_ = type("str", kUnicode);
    uint64_t address = object(text_type_);
    memory.word(address + python.text_length, value.size());
    memory.word(address + python.text_state, 1 << 2 | 1 << 6);  // one byte each, ASCII
    memory.put(address + python.text_ascii, value.data(), value.size());
    return address;
  }
  uint64_t integer(uint32_t value) {
    static constexpr uint64_t kLong = 1 << 24;
    if (!long_type_) long_type_ = type("int", kLong);
    uint64_t address = object(long_type_);
    memory.word(address + python.object_bytes,
                python.flags & LS_PYTHON_COMPACT_INT ? uint64_t{1} << 3 : uint64_t{1});
    memory.word(address + python.object_bytes + 8, value);
    return address;
  }
  uint64_t code(const std::string& name, const std::string& file) {
    uint64_t address = object(python.code_type, 512);
    memory.word(address + python.code_name, text(name));
    memory.word(address + python.code_filename, text(file));
    memory.word(address + python.code_first_line, 7);
    return address;
  }
  // `previous`: the frame that called it.
  uint64_t frame(uint64_t of_code, uint64_t previous) {
    uint64_t address = allot(512);
    memory.word(address + python.frame_code, of_code);
    memory.word(address + python.frame_previous, previous);
    return address;
  }
  void local(uint64_t of_frame, size_t index, uint64_t value) {
    memory.word(of_frame + python.frame_locals + 8 * index, value);
  }
  // The keys of a dict or of a type's instances: their names in order.
  uint64_t keys(const std::vector<uint64_t>& names, const std::vector<uint64_t>& values) {
    uint64_t address = allot(1024);
    bool old = python.minor <= 10;
    if (old) {
      memory.word(address + 8, 8);  // size
      memory.word(address + 32, names.size());
    } else {
      memory.byte(address + 8, 3);
      memory.byte(address + 9, 3);
      memory.byte(address + 10, 1);  // without hashes
      memory.word(address + 24, names.size());
    }
    uint64_t entries = address + (old ? 40 : 32) + 8;
    for (size_t i = 0; i < names.size(); i++) {
      uint64_t entry = entries + i * (old ? 24 : 16) + (old ? 8 : 0);
      memory.word(entry, names[i]);
      memory.word(entry + 8, i < values.size() ? values[i] : 0);
    }
    return address;
  }
  // A SimpleQueue with these jobs, the next to be taken first.
  uint64_t queue(const std::vector<uint64_t>& jobs) {
    uint64_t address = object(type("_queue.SimpleQueue", 0));
    set_jobs(address, jobs);
    return address;
  }
  void set_jobs(uint64_t queue, const std::vector<uint64_t>& jobs) {
    uint64_t items = allot(8 * jobs.size() + 8);
    memory.put(items, jobs.data(), 8 * jobs.size());
    uint64_t at = queue + python.object_bytes;
    if (python.minor <= 12) {
      uint64_t list = object(type("list", 0));
      memory.word(list + python.object_bytes, jobs.size());
      memory.word(list + python.object_bytes + 8, items);
      memory.word(at + 16, list);
      memory.word(at + 24, 0);
    } else {
      memory.word(at + 16, 0);
      memory.word(at + 24, items);
      memory.word(at + 32, jobs.size() + 1);
      memory.word(at + 40, jobs.size());
    }
  }
  // The threads of the process, each with its innermost frame.
  std::vector<uint64_t> threads(const std::vector<uint64_t>& innermost) {
    uint64_t interpreter = allot(512);
    memory.word(python.runtime + python.interpreters_head, interpreter);
    std::vector<uint64_t> states;
    uint64_t next = 0;
    for (size_t i = innermost.size(); i > 0; i--) {
      uint64_t state = allot(512);
      memory.word(state + python.thread_next, next);
      memory.word(state + python.thread_id, 0x7000 + i);
      set_innermost(state, innermost[i - 1]);
      states.insert(states.begin(), state);
      next = state;
    }
    memory.word(interpreter + python.interpreter_threads, next);
    return states;
  }
  void set_innermost(uint64_t state, uint64_t frame) {
    uint64_t cframe = frame;
    if (python.cframe_frame != LS_NO_OFFSET) {
      cframe = allot(64);
      memory.word(cframe + python.cframe_frame, frame);
    }
    memory.word(state + python.thread_frame, cframe);
  }

  FakeMemory memory;
  ls_python python;

 private:
  uint64_t next_ = 0x10000;
  uint64_t text_type_ = 0;
  uint64_t long_type_ = 0;
};

}  // namespace loopsight
