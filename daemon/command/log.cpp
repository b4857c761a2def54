#include "daemon/command/log.h"

#include <fmt/format.h>
#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "daemon/base/text.h"

namespace loopsight {
namespace {

std::string_view level_name(spdlog::level::level_enum level) {
  auto name = spdlog::level::to_string_view(level);
  return {name.data(), name.size()};
}

// The numbers of syslog.h.
int priority(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical: return 2;
    case spdlog::level::err: return 3;
    case spdlog::level::warn: return 4;
    case spdlog::level::info: return 6;
    default: return 7;
  }
}

class Formatter : public spdlog::formatter {
 public:
  Formatter(LogFormat format, bool for_journal) : format_(format), for_journal_(for_journal) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& line) override {
    // What was not cleaned where it came from is here.
    constexpr size_t kMaxBytes = 8192;
    std::string text = clean_text({message.payload.data(), message.payload.size()}, kMaxBytes);
    std::string_view level = level_name(message.level);
    auto out = fmt::appender(line);
    if (for_journal_) fmt::format_to(out, "<{}>", priority(message.level));
    if (format_ == LogFormat::kJson) {
      auto since = std::chrono::nanoseconds(message.time.time_since_epoch()).count();
      nlohmann::ordered_json json = {
          {"time", format_utc(static_cast<uint64_t>(since))}, {"level", level}, {"message", text}};
      fmt::format_to(out, "{}\n",
                     json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    } else if (for_journal_) {
      fmt::format_to(out, "{}\n", text);
    } else {
      fmt::format_to(out, "loopsight: {}: {}\n", level, text);
    }
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<Formatter>(format_, for_journal_);
  }

 private:
  LogFormat format_;
  bool for_journal_;
};

}  // namespace

void set_log(const LogOptions& options) {
  spdlog::set_formatter(
      std::make_unique<Formatter>(options.format, std::getenv("JOURNAL_STREAM") != nullptr));
  const char* asked = std::getenv("LOOPSIGHT_LOG");
  spdlog::set_level(spdlog::level::from_str(asked ? asked : options.level));
}

// Threads of HTTP log, too, and SIGHUP changes the format meanwhile: the sink has a lock for both.
void set_up_log() {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("loopsight"));
  set_log({});
}

}  // namespace loopsight
