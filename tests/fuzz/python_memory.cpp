// The memory of a process that says to be CPython: its threads, frames, thread pools and objects.
// Either a made-up process with a pool, of which the input changes words between and during looks,
// or memory that is nothing but the input's bytes.
#include <array>
#include <map>
#include <vector>

#include "daemon/python/process_memory.h"
#include "daemon/python/thread_pools.h"
#include "tests/fuzz/target.h"
#include "tests/unit/fake_pools.h"

namespace loopsight {
namespace {

constexpr uint64_t kBase = 0x10000;
constexpr size_t kMostReads = 20'000;

struct Image {
  ls_python python;
  std::string bytes;
  std::vector<uint64_t> workers;
  uint64_t queue = 0;
};

// As FakeMemory has it, in one piece, so that it is quickly copied.
const Image& image_of(int minor) {
  static std::map<int, Image> images;
  auto known = images.find(minor);
  if (known != images.end()) return known->second;
  PoolProcess process(minor, 3, 2, {0x5000, 0x5008, 0x5010});
  Image image{.python = process.python, .workers = process.workers, .queue = process.queue_};
  RemoteMemory memory = process.memory.remote(SIZE_MAX);
  image.bytes.assign(0x20000, '\0');
  for (size_t i = 0; i < image.bytes.size(); i++)
    (void)memory.read(kBase + i, image.bytes.data() + i, 1);
  return images.emplace(minor, std::move(image)).first->second;
}

class Memory {
 public:
  Memory(std::string bytes, fuzz::Bytes& changes) : bytes_(std::move(bytes)), changes_(changes) {}

  // Sets a word to a number, or to the address of a word.
  void change() {
    size_t at = size_t{changes_.take<uint16_t>()} % (bytes_.size() / 8) * 8;
    auto how = changes_.take<uint8_t>();
    uint64_t value = kBase + uint64_t{changes_.take<uint16_t>()} * 8;
    if (how & 1) value = changes_.take<uint64_t>();
    if (how & 2) value = how >> 2;
    std::memcpy(bytes_.data() + at, &value, sizeof(value));
  }
  RemoteMemory remote() {
    return RemoteMemory(
        [this](uint64_t address, void* buffer, size_t size) {
          if (++reads_ % 64 == 0 && !changes_.is_empty()) change();
          if (address < kBase || address - kBase > bytes_.size() ||
              size > bytes_.size() - (address - kBase))
            return false;
          std::memcpy(buffer, bytes_.data() + (address - kBase), size);
          return true;
        },
        kMostReads);
  }

 private:
  std::string bytes_;
  fuzz::Bytes& changes_;
  size_t reads_ = 0;
};

void read_all(const ls_python& python, Memory& memory) {
  ThreadPools pools(7, python);
  for (uint64_t now_ns : {1'000'000'000U, 2'000'000'000U, 3'500'000'000U}) {
    RemoteMemory remote = memory.remote();
    auto seen = pools.look(remote, now_ns);
    fuzz::require(seen.size() <= 1024, "a bounded number of pools");
    for (const SeenPool& pool : seen) {
      fuzz::require(pool.busy <= pool.threads, "no more busy threads than threads");
      fuzz::require(pool.frames.size() <= 16, "a bounded number of frames");
      fuzz::require(pool.name.size() <= 256, "a short name");
    }
  }
  RemoteMemory remote = memory.remote();
  for (const ThreadState& state : read_thread_states(remote, python, 16)) {
    FrameWalk walk = walk_frames(remote, python, state.frame, 200);
    fuzz::require(to_stack(walk).count <= LS_MAX_FRAMES, "a bounded stack");
    for (const PythonFrame& frame : walk.frames)
      (void)read_code_object(remote, 7, python, frame.frame);
  }
  PythonObjects objects(remote, python);
  PythonObjects::KnownKeys keys;
  for (uint64_t object = kBase; object < kBase + 0x8000 && !remote.is_used_up(); object += 0x380) {
    fuzz::require(objects.type_name(object).size() < 64, "a short name");
    (void)objects.text(object);
    (void)objects.integer(object);
    (void)objects.attribute(objects.referent(object), "_max_workers", keys);
    (void)objects.attribute(object, "_max_workers", keys);
    (void)read_work_queue(remote, python, object);
  }
}

}  // namespace
}  // namespace loopsight

FUZZ_TARGET(python_memory, input) {
  fuzz::Bytes bytes(input);
  auto choice = bytes.take<uint8_t>();
  if (choice < 0x80) {
    const Image& image = image_of(11 + choice % 2);
    Memory memory(image.bytes, bytes);
    for (uint32_t count = bytes.take<uint8_t>() % 16; count > 0; count--) memory.change();
    return read_all(image.python, memory);
  }
  int minor = 8 + choice % 8;
  std::string offsets(bytes.take_text(minor >= 13 ? kDebugOffsetsBytes : 0));
  auto python = python_layout(minor, offsets);
  if (!python || bytes.rest().size() < 64) return;
  python->runtime = kBase;
  python->code_type = kBase + bytes.take<uint16_t>();
  std::string all(bytes.rest());
  all.resize(std::max<size_t>(all.size(), 8192));
  fuzz::Bytes none("");
  Memory memory(std::move(all), none);
  read_all(*python, memory);
}
