// Asks for source lines of the programs that stalled, each with the rights of the program that ran
// when it stalled, whatever the process has become since.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daemon/base/fair_shares.h"
#include "daemon/host/bounded_reads.h"
#include "daemon/host/program_image.h"
#include "daemon/host/source_reader.h"

namespace loopsight {

struct SourceLines {
  std::string text;
  bool is_public = false;
};

// What is to be read of a process, and what its program was.
struct SourcePlace {
  uint32_t tgid = 0;
  std::string file;
  uint32_t first = 0;
  uint32_t last = 0;
  uint64_t seen_ns = 0;    // CLOCK_MONOTONIC, when a thread of it ran there
  int64_t started_ns = 0;  // of the program, CLOCK_REALTIME
};

class SourceRequests {
 public:
  SourceRequests(std::string proc_root, std::shared_ptr<BoundedReads> reads)
      : proc_root_(std::move(proc_root)), reads_(std::move(reads)) {}
  // Until then nothing is read.
  void serve_by(std::shared_ptr<SourceReader> reader) { reader_ = std::move(reader); }

  void charge_by(std::function<Owner(uint32_t tgid)> owner_of) { owner_of_ = std::move(owner_of); }

  // Remembers which program a process runs now, and with whose rights. Call it before the kernel is
  // told how to read its frames, so that no frame is older.
  void on_process(uint32_t tgid);
  // It has ended, or runs another program.
  void forget(uint32_t tgid) {
    known_.erase(tgid);
    shares_.remove(tgid);
  }

  // The lines; none where the program that was seen there may not read them, now or later; nothing
  // where they may be had the next time. A look before and one after the read must show the program
  // that was remembered before it was seen there. Where they show another, nothing is told, and
  // that one is remembered for what will be seen from now on.
  std::optional<std::optional<SourceLines>> read(const SourcePlace& place);

  SourceReader::Counts counts() const {
    return reader_ ? reader_->counts() : SourceReader::Counts{};
  }
  uint64_t discarded() const { return discarded_; }  // since the program had changed

 private:
  struct Known {
    ProgramImage image;
    uint64_t since_ns = 0;
  };
  struct Pause {
    std::chrono::steady_clock::time_point until;
    unsigned times = 0;
  };
  bool pauses(uint32_t user) const;
  void note_hang(uint32_t user);

  std::string proc_root_;
  std::shared_ptr<BoundedReads> reads_;
  std::shared_ptr<SourceReader> reader_;
  std::map<uint32_t, Known> known_;  // by tgid
  static constexpr size_t kMostKnown = 65536;
  FairShares<uint32_t> shares_{kMostKnown};
  std::function<Owner(uint32_t tgid)> owner_of_ = [](uint32_t) { return Owner{}; };
  std::map<uint32_t, Pause> pauses_;  // by user, after files of which a read did not come back
  uint64_t discarded_ = 0;
};

}  // namespace loopsight
