#include "daemon/python/work_queue.h"

#include <algorithm>

namespace loopsight {
namespace {

constexpr uint64_t kMaxLength = uint64_t{1} << 40;
constexpr size_t kMaxPushed = 1024;

bool read_items(const RemoteMemory& memory, uint64_t address, uint64_t count,
                std::vector<uint64_t>& items) {
  if (count == 0) return true;
  size_t before = items.size();
  items.resize(before + count);
  return memory.read(address, items.data() + before, count * sizeof(uint64_t));
}

// Modules/_queuemodule.c up to 3.12: a list, and the index of its first item that is still there.
std::optional<WorkQueue> read_list(const RemoteMemory& memory, const ls_python& python,
                                   uint64_t queue) {
  struct Members {
    uint64_t lock, locked, list, position;
  };
  struct List {
    uint64_t size, items;
  };
  auto members = memory.value<Members>(queue + python.object_bytes);
  if (!members) return std::nullopt;
  auto list = memory.value<List>(members->list + python.object_bytes);
  if (!list || list->size > kMaxLength || members->position > list->size) return std::nullopt;
  WorkQueue read{.length = list->size - members->position};
  if (!read_items(memory, list->items + 8 * members->position,
                  std::min<uint64_t>(read.length, kQueueWindow), read.items))
    return std::nullopt;
  return read;
}

// From 3.13 on: a ring.
std::optional<WorkQueue> read_ring(const RemoteMemory& memory, const ls_python& python,
                                   uint64_t queue) {
  struct Members {
    uint64_t has_waiting, put, get, items, capacity, count;
  };
  auto ring = memory.value<Members>(queue + python.object_bytes);
  if (!ring || ring->capacity > kMaxLength || ring->count > ring->capacity ||
      (ring->count > 0 && ring->get >= ring->capacity))
    return std::nullopt;
  WorkQueue read{.length = ring->count};
  uint64_t wanted = std::min<uint64_t>(ring->count, kQueueWindow);
  uint64_t first = std::min(wanted, ring->capacity - ring->get);
  if (wanted > 0 && (!read_items(memory, ring->items + 8 * ring->get, first, read.items) ||
                     !read_items(memory, ring->items, wanted - first, read.items)))
    return std::nullopt;
  return read;
}

}  // namespace

std::optional<WorkQueue> read_work_queue(const RemoteMemory& memory, const ls_python& python,
                                         uint64_t queue) {
  auto read = [&] {
    return python.minor <= 12 ? read_list(memory, python, queue) : read_ring(memory, python, queue);
  };
  // What two looks in a row agree on was not in the middle of a change.
  constexpr int kMostLooks = 4;
  auto last = read();
  for (int look = 1; look < kMostLooks; look++) {
    auto again = read();
    if (last && again && *last == *again) return again;
    last = std::move(again);
  }
  return std::nullopt;
}

std::optional<uint64_t> JobWaits::taken_since(const WorkQueue& queue,
                                              const std::map<uint64_t, uint64_t>& running) const {
  uint64_t least = 0;
  for (const auto& [thread, job] : running) {
    auto before = running_.find(thread);
    if (job != 0 && (before == running_.end() || before->second != job)) least++;
  }
  for (size_t taken = least; taken < items_.size(); taken++) {
    size_t common = std::min(items_.size() - taken, queue.items.size());
    if (std::equal(queue.items.begin(), queue.items.begin() + static_cast<ptrdiff_t>(common),
                   items_.begin() + static_cast<ptrdiff_t>(taken)))
      return taken;
  }
  return std::nullopt;
}

uint64_t JobWaits::on_look(uint64_t now_ns, const WorkQueue& queue,
                           const std::map<uint64_t, uint64_t>& running) {
  auto taken = taken_since(queue, running);
  if (!taken || queue.items.empty()) {
    popped_ = 0;
    pushed_.clear();
  } else {
    popped_ += *taken;
  }
  items_ = queue.items;
  std::erase_if(running_, [&](const auto& entry) { return !running.contains(entry.first); });
  for (const auto& [thread, job] : running)
    if (job != 0) running_[thread] = job;
  if (queue.items.empty()) return 0;
  uint64_t count = popped_ + queue.length;
  if (pushed_.empty() || count > pushed_.back().count)
    pushed_.push_back({.time_ns = now_ns, .count = count});
  while (pushed_.size() > 1 && pushed_.front().count <= popped_) pushed_.pop_front();
  // Every second look is forgotten: what was put in before it counts as put in at the next one.
  if (pushed_.size() > kMaxPushed) {
    std::deque<Pushed> kept;
    for (size_t i = 0; i < pushed_.size(); i += 2) kept.push_back(pushed_[i]);
    kept.push_back(pushed_.back());
    pushed_ = std::move(kept);
  }
  return now_ns > pushed_.front().time_ns ? now_ns - pushed_.front().time_ns : 0;
}

}  // namespace loopsight
