#include "daemon/web/profile.h"

#include <fmt/format.h>

#include <charconv>
#include <ctime>

#include "daemon/base/clock.h"

namespace loopsight {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kSettleNs = kSecondNs / 2;  // until the report of a stall that ended is there

}  // namespace

HttpResponse loopstall_profile(const ProfileWindow& window, const HttpRequest& request,
                               uint64_t now_ns) {
  uint64_t from_ns = 0;
  if (std::string text = request.parameter("seconds"); !text.empty()) {
    uint64_t seconds = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc() || end != text.data() + text.size() || seconds < 1 ||
        seconds > window.keep_ns() / kSecondNs)
      return refusal(
          400, fmt::format("seconds must be a number from 1 to {}", window.keep_ns() / kSecondNs));
    from_ns = request.arrived_ns;
    uint64_t due_ns = request.arrived_ns + seconds * kSecondNs;
    if (now_ns < due_ns + kSettleNs) return {.again_ns = due_ns + kSettleNs};
    now_ns = due_ns;
  }
  auto bytes = window.pprof(from_ns, now_ns);
  if (!bytes) return refusal(500, bytes.error().message);
  return {.content_type = "application/octet-stream",
          .body = std::move(*bytes),
          .headers = {{"Content-Disposition", "attachment; filename=\"loopstall.pb.gz\""}}};
}

void add_profile(Routes& routes, const ProfileWindow& window) {
  routes.add({.path = "/debug/pprof/loopstall",
              .parameters = {"seconds"},
              .handler = [&window](const HttpRequest& request) {
                return loopstall_profile(window, request, monotonic_now_ns());
              }});
}

}  // namespace loopsight
