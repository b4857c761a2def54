#include "daemon/web/settings.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>

namespace loopsight {
namespace {

constexpr uint64_t kLookNs = 1'000'000'000;

int64_t ns_of(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

SettingsFile::Stamp SettingsFile::stamp_of(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return {.path = path};
  return {.path = path,
          .device = status.st_dev,
          .inode = status.st_ino,
          .size = status.st_size,
          .modified_ns = ns_of(status.st_mtim),
          .changed_ns = ns_of(status.st_ctim)};
}

Result<std::shared_ptr<Settings>> SettingsFile::load() {
  stamps_ = {stamp_of(path_)};
  auto config = read_web_config(path_);
  if (!config) return tl::make_unexpected(config.error());
  auto settings = std::make_shared<Settings>(std::move(config->users));
  settings->headers = std::move(config->headers);
  if (config->tls) {
    for (const PemSource* source :
         {&config->tls->certificate, &config->tls->key, &config->tls->client_ca})
      if (!source->file.empty()) stamps_.push_back(stamp_of(source->file));
    auto tls = TlsCredentials::load(*config->tls);
    if (!tls) return tl::make_unexpected(tls.error());
    settings->tls = std::move(*tls);
    settings->wants_certificate = config->tls->client_auth == ClientAuth::kRequireAndVerify;
  }
  for (const std::string& warning : config->warnings) spdlog::warn("{}", warning);
  return settings;
}

Result<SettingsFile> SettingsFile::open(std::string path) {
  SettingsFile file;
  file.path_ = std::move(path);
  if (file.path_.empty()) {
    file.settings_ = std::make_shared<Settings>(std::map<std::string, std::string>());
    return file;
  }
  auto settings = file.load();
  if (!settings) return tl::make_unexpected(settings.error());
  file.settings_ = std::move(*settings);
  return file;
}

std::shared_ptr<Settings> SettingsFile::current(uint64_t now_ns) {
  if (path_.empty() || now_ns < next_look_ns_) return settings_;
  next_look_ns_ = now_ns + kLookNs;
  bool same = std::all_of(stamps_.begin(), stamps_.end(),
                          [](const Stamp& stamp) { return stamp_of(stamp.path) == stamp; });
  if (same) return settings_;
  auto settings = load();
  if (!settings) {
    spdlog::error("the web configuration stays as it was: {}", settings.error().message);
  } else if (((*settings)->tls == nullptr) != (settings_->tls == nullptr)) {
    spdlog::error("the web configuration stays as it was: to turn TLS on or off takes a restart");
  } else {
    settings_ = std::move(*settings);
    spdlog::info("the web configuration was read anew");
  }
  return settings_;
}

}  // namespace loopsight
