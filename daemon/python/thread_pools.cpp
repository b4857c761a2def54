#include "daemon/python/thread_pools.h"

#include <algorithm>
#include <array>
#include <utility>

#include "daemon/python/own_code.h"
#include "daemon/python/process_memory.h"

namespace loopsight {
namespace {

constexpr size_t kMaxThreads = 1024;
constexpr size_t kMaxWalk = 512;    // frames, to find the outermost ones
constexpr size_t kOutermost = 12;   // of them, in which _worker is looked for
constexpr size_t kLocals = 8;       // of _worker that are read; it has 5 or 6
constexpr size_t kMaxRoles = 4096;  // code objects remembered
constexpr size_t kMaxSampled = 32;  // busy threads whose frames are read
constexpr size_t kMaxFrames = 16;   // of a busy thread that are told
constexpr uint64_t kFramesNs = 1'000'000'000;
constexpr uint64_t kFramesFromNs = 500'000'000;  // of waiting
constexpr uint64_t kCheckNs = 250'000'000;       // a new thread is looked at again after that time
constexpr uint64_t kMaxDoublings = 7;            // and later after longer and longer ones

using Locals = std::array<uint64_t, kLocals>;

// All 0 where they cannot be read.
Locals read_locals(const RemoteMemory& memory, const ls_python& python, uint64_t frame) {
  Locals locals{};
  if (!memory.read(frame + python.frame_locals, locals.data(), sizeof(locals))) return {};
  for (uint64_t& local : locals) local = PythonObjects::untagged(local);
  return locals;
}

}  // namespace

ThreadPools::Role ThreadPools::role_of(const RemoteMemory& memory, const ls_frame& frame) {
  std::pair<uint64_t, uint32_t> key{frame.code, frame.identity};
  if (auto known = roles_.find(key); known != roles_.end()) return known->second;
  auto code = read_code_object(memory, tgid_, python_, frame);
  if (!code) return Role::kOther;
  std::string file = decode_text(code->filename.state, code->filename.length, code->filename.bytes);
  std::string name = decode_text(code->name.state, code->name.length, code->name.bytes);
  Role role = Role::kOther;
  if (name == "_worker" && file.ends_with("concurrent/futures/thread.py"))
    role = Role::kWorker;
  else if (file.ends_with("/threading.py"))
    role = Role::kThreading;
  if (roles_.size() >= kMaxRoles) roles_.clear();
  roles_[key] = role;
  return role;
}

std::optional<ThreadPools::Worker> ThreadPools::find_worker(const RemoteMemory& memory,
                                                            const ThreadState& state) {
  FrameWalk walk = walk_frames(memory, python_, state.frame, kMaxWalk);
  if (!walk.complete) return std::nullopt;
  size_t last = walk.frames.size() - std::min(walk.frames.size(), kOutermost);
  for (size_t i = walk.frames.size(); i > last; i--) {
    const PythonFrame& frame = walk.frames[i - 1];
    if (role_of(memory, frame.frame) != Role::kWorker) continue;
    Worker worker{.thread_id = state.thread_id, .frame = frame};
    PythonObjects objects(memory, python_);
    for (uint64_t local : read_locals(memory, python_, frame.address)) {
      if (local == 0) continue;
      std::string type = objects.type_name(local);
      if (worker.executor_reference == 0 && type.starts_with("weakref"))
        worker.executor_reference = local;
      if (worker.queue == 0 && type == "_queue.SimpleQueue") worker.queue = local;
    }
    if (worker.queue != 0) return worker;
  }
  return std::nullopt;
}

bool ThreadPools::is_still(const RemoteMemory& memory, const Worker& worker) const {
  auto frame = read_frame(memory, python_, worker.frame.address);
  if (!frame || frame->address != worker.frame.address ||
      frame->frame.code != worker.frame.frame.code ||
      frame->frame.identity != worker.frame.frame.identity)
    return false;
  Locals locals = read_locals(memory, python_, worker.frame.address);
  return std::find(locals.begin(), locals.end(), worker.queue) != locals.end();
}

// Nothing for a thread that is in no pool.
const ThreadPools::Worker* ThreadPools::worker_of(const RemoteMemory& memory,
                                                  const ThreadState& state, uint64_t now_ns) {
  if (auto known = workers_.find(state.address); known != workers_.end()) {
    if (known->second.thread_id == state.thread_id && is_still(memory, known->second))
      return &known->second;
    workers_.erase(known);
  }
  Stranger& stranger = strangers_[state.address];
  if (stranger.thread_id != state.thread_id) stranger = {.thread_id = state.thread_id};
  if (now_ns < stranger.next_check_ns) return nullptr;
  if (auto worker = find_worker(memory, state)) {
    strangers_.erase(state.address);
    return &workers_.insert_or_assign(state.address, *worker).first->second;
  }
  stranger.next_check_ns = now_ns + (kCheckNs << std::min(stranger.checks++, kMaxDoublings));
  return nullptr;
}

ThreadPools::Member ThreadPools::read_member(const RemoteMemory& memory, const ThreadState& state,
                                             const Worker& worker) {
  Member member{.worker = &worker, .thread = state.address, .innermost = state.frame, .busy = true};
  // A frame that is gone already was that of a thread at work.
  if (auto innermost = read_frame(memory, python_, state.frame)) {
    // Between two jobs _worker itself counts the idle threads in a threading.Semaphore.
    bool between = innermost->previous == worker.frame.address &&
                   role_of(memory, innermost->frame) == Role::kThreading;
    member.busy = innermost->address != worker.frame.address && !between;
  }
  if (!member.busy) return member;
  Locals locals = read_locals(memory, python_, worker.frame.address);
  if (!job_local_) {
    PythonObjects objects(memory, python_);
    for (size_t i = 0; i < locals.size() && !job_local_; i++)
      if (locals[i] != 0 && objects.type_name(locals[i]) == "_WorkItem") job_local_ = i;
  }
  if (job_local_) member.job = locals[*job_local_];
  return member;
}

void ThreadPools::read_executor(const RemoteMemory& memory, uint64_t reference, Pool& pool,
                                SeenPool& seen) {
  PythonObjects objects(memory, python_);
  uint64_t executor = objects.referent(reference);
  auto value = [&](std::string_view name) {
    return PythonObjects::untagged(memory.word(objects.attribute(executor, name, keys_)));
  };
  seen.max_workers = objects.integer(value("_max_workers"));
  if (pool.name.empty())
    if (auto name = objects.text(value("_thread_name_prefix"))) pool.name = *name;
}

// What most of the busy threads do: their frames below _worker, told apart by the user's function.
void ThreadPools::read_frames(const RemoteMemory& memory, const std::vector<Member>& members,
                              Pool& pool) {
  std::map<std::pair<std::string, std::string>, std::pair<uint32_t, std::vector<Frame>>> alike;
  size_t sampled = 0;
  for (const Member& member : members) {
    if (!member.busy || sampled++ >= kMaxSampled) continue;
    FrameWalk walk = walk_frames(memory, python_, member.innermost, kMaxWalk);
    auto end = std::find_if(walk.frames.begin(), walk.frames.end(), [&](const PythonFrame& one) {
      return one.address == member.worker->frame.address;
    });
    if (end == walk.frames.end() || end == walk.frames.begin()) continue;  // in motion
    walk.frames.erase(end, walk.frames.end());
    for (const PythonFrame& one : walk.frames)
      if (!codes_.knows(tgid_, one.frame))
        if (auto code = read_code_object(memory, tgid_, python_, one.frame)) codes_.on_code(*code);
    auto frames = codes_.resolve(tgid_, static_cast<int>(python_.minor), to_stack(walk));
    const Frame* culprit = find_culprit(frames);
    if (!culprit) continue;
    auto& group = alike[{culprit->file, culprit->function}];
    if (group.first++ == 0) group.second = frames;
  }
  pool.frames.clear();
  pool.alike = 0;
  for (const auto& [culprit, group] : alike) {
    if (group.first <= pool.alike) continue;
    pool.alike = group.first;
    pool.frames.clear();
    for (const Frame& frame : group.second)
      if (pool.frames.size() < kMaxFrames)
        pool.frames.push_back({.function = frame.function, .file = frame.file, .line = frame.line});
  }
}

SeenPool ThreadPools::read_pool(const RemoteMemory& memory, uint64_t queue,
                                const std::vector<Member>& members, uint64_t now_ns) {
  Pool& pool = pools_[queue];
  pool.seen_ns = now_ns;
  SeenPool seen{.id = queue, .threads = static_cast<uint32_t>(members.size())};
  std::map<uint64_t, uint64_t> running;
  for (const Member& member : members) {
    running[member.thread] = member.job;
    if (member.busy) seen.busy++;
  }
  if (auto read = read_work_queue(memory, python_, queue)) {
    seen.queued = read->length;
    seen.oldest_wait_ns = pool.waits.on_look(now_ns, *read, running);
  }
  read_executor(memory, members.front().worker->executor_reference, pool, seen);
  seen.name = pool.name;
  if (seen.busy < seen.threads || seen.oldest_wait_ns < kFramesFromNs) {
    pool.frames.clear();
    pool.next_frames_ns = 0;
  } else if (now_ns >= pool.next_frames_ns) {
    pool.next_frames_ns = now_ns + kFramesNs;
    read_frames(memory, members, pool);
  }
  seen.frames = pool.frames;
  seen.alike = pool.frames.empty() ? 0 : pool.alike;
  return seen;
}

std::vector<SeenPool> ThreadPools::look(const RemoteMemory& memory, uint64_t now_ns) {
  auto states = read_thread_states(memory, python_, kMaxThreads);
  std::map<uint64_t, std::vector<Member>> members;  // by queue
  std::map<uint64_t, bool> alive;                   // by thread state
  for (const ThreadState& state : states) {
    // A list that leads back to itself.
    if (!alive.emplace(state.address, true).second) break;
    if (state.frame == 0) continue;
    if (const Worker* worker = worker_of(memory, state, now_ns))
      members[worker->queue].push_back(read_member(memory, state, *worker));
  }
  std::erase_if(workers_, [&](const auto& one) { return !alive.contains(one.first); });
  std::erase_if(strangers_, [&](const auto& one) { return !alive.contains(one.first); });
  std::vector<SeenPool> pools;
  pools.reserve(members.size());
  for (const auto& [queue, threads] : members)
    pools.push_back(read_pool(memory, queue, threads, now_ns));
  std::erase_if(pools_, [&](const auto& one) { return one.second.seen_ns != now_ns; });
  return pools;
}

}  // namespace loopsight
