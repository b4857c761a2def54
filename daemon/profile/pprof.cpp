#include "daemon/profile/pprof.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <map>
#include <protozero/pbf_writer.hpp>
#include <tuple>

namespace loopsight {
namespace {

using protozero::pbf_writer;

// Field numbers of profile.proto (github.com/google/pprof/proto).
enum ProfileField : protozero::pbf_tag_type {
  kSampleType = 1,
  kSample = 2,
  kLocation = 4,
  kFunction = 5,
  kStringTable = 6,
  kTimeNanos = 9,
  kDurationNanos = 10,
  kPeriodType = 11,
  kPeriod = 12,
  kComment = 13,
  kDefaultSampleType = 14,
};

class Encoder {
 public:
  explicit Encoder(const StallProfile& profile) : profile_(profile) {
    text("");  // number 0 must be empty
  }

  std::string encode(const ProfilePeriod& period) {
    value_type(kSampleType, "stalls", "count");
    value_type(kSampleType, "stall", "nanoseconds");
    samples();
    locations();
    writer_.add_int64(kTimeNanos, static_cast<int64_t>(period.start_realtime_ns));
    writer_.add_int64(kDurationNanos, static_cast<int64_t>(period.duration_ns));
    value_type(kPeriodType, "stalls", "count");
    writer_.add_int64(kPeriod, 1);
    if (!period.comment.empty()) writer_.add_int64(kComment, text(period.comment));
    writer_.add_int64(kDefaultSampleType, text("stall"));
    for (const std::string* one : texts_) writer_.add_string(kStringTable, *one);
    return std::move(bytes_);
  }

 private:
  int64_t text(const std::string& value) {
    auto [entry, is_new] = text_ids_.try_emplace(value, static_cast<int64_t>(texts_.size()));
    if (is_new) texts_.push_back(&entry->first);
    return entry->second;
  }

  void value_type(ProfileField field, const char* type, const char* unit) {
    pbf_writer message(writer_, field);
    message.add_int64(1, text(type));
    message.add_int64(2, text(unit));
  }

  void label(pbf_writer& sample, const char* key, const std::string& value) {
    pbf_writer message(sample, 3);
    message.add_int64(1, text(key));
    message.add_int64(2, text(value));
  }

  std::string culprit_name(const StallProfile::Sample& sample) const {
    return sample.culprit ? function_name(profile_.frames()[*sample.culprit]) : "";
  }

  static std::string function_name(const Frame& frame) {
    return frame.module.empty() ? frame.function
                                : fmt::format("{}:{}", frame.module, frame.function);
  }

  void samples() {
    using Key = std::tuple<uint32_t, std::string, uint32_t, uint32_t, std::string>;
    struct Sum {
      int64_t stalls = 0;
      int64_t ns = 0;
    };
    std::map<Key, Sum> sums;
    for (const auto& sample : profile_.samples()) {
      const auto& loop = profile_.loops()[sample.loop];
      Sum& sum =
          sums[{sample.stack, loop.workload, loop.worker, sample.cause, culprit_name(sample)}];
      sum.stalls += sample.stalls;
      sum.ns += static_cast<int64_t>(sample.ns);
    }
    for (const auto& [key, sum] : sums) {
      const auto& [stack, workload, worker, cause, culprit] = key;
      pbf_writer message(writer_, kSample);
      std::vector<uint64_t> ids;  // the leaf comes first
      for (uint32_t frame : profile_.stacks()[stack]) ids.push_back(uint64_t{frame} + 1);
      std::reverse(ids.begin(), ids.end());
      if (ids.empty()) ids.push_back(not_seen());
      message.add_packed_uint64(1, ids.begin(), ids.end());
      const std::vector<int64_t> values = {sum.stalls, sum.ns};
      message.add_packed_int64(2, values.begin(), values.end());
      label(message, "workload", workload);
      label(message, "worker", std::to_string(worker));
      label(message, "cause", kCauseNames[cause]);
      if (!culprit.empty()) label(message, "culprit", culprit);
    }
  }

  uint64_t not_seen() {
    uses_not_seen_ = true;
    return profile_.frames().size() + 1;
  }

  void location(uint64_t id, uint64_t function, uint32_t line) {
    pbf_writer message(writer_, kLocation);
    message.add_uint64(1, id);
    pbf_writer line_message(message, 4);
    line_message.add_uint64(1, function);
    line_message.add_int64(2, line);
  }

  void function(uint64_t id, const std::string& name, const std::string& file) {
    pbf_writer message(writer_, kFunction);
    message.add_uint64(1, id);
    message.add_int64(2, text(name));
    message.add_int64(3, text(name));
    message.add_int64(4, text(file));
  }

  // A location a frame; the lines of one function share it.
  void locations() {
    std::map<std::pair<std::string, std::string>, uint64_t> functions;
    auto function_of = [&](const std::string& name, const std::string& file) {
      auto [entry, is_new] = functions.try_emplace({name, file}, functions.size() + 1);
      if (is_new) function(entry->second, name, file);
      return entry->second;
    };
    for (size_t i = 0; i < profile_.frames().size(); i++) {
      const Frame& frame = profile_.frames()[i];
      location(i + 1, function_of(function_name(frame), frame.file), frame.line);
    }
    if (uses_not_seen_) location(not_seen(), function_of("[not seen]", ""), 0);
  }

  const StallProfile& profile_;
  std::string bytes_;
  pbf_writer writer_{bytes_};
  std::map<std::string, int64_t> text_ids_;
  std::vector<const std::string*> texts_;
  bool uses_not_seen_ = false;
};

Result<std::string> gzip(const std::string& bytes) {
  constexpr int kGzipWindow = 15 + 16;
  constexpr int kMemoryLevel = 8;
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return failure("cannot compress a profile: no memory");
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  int status = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) return failure("cannot compress a profile");
  return packed;
}

}  // namespace

Result<std::string> pprof(const StallProfile& profile, const ProfilePeriod& period) {
  return gzip(Encoder(profile).encode(period));
}

}  // namespace loopsight
