// What the web configuration file says now: it is read anew when it, or a file that it names, has
// changed. Where the new state has an error the old one stays.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "daemon/web/passwords.h"
#include "daemon/web/tls.h"

namespace loopsight {

struct Settings {
  explicit Settings(std::map<std::string, std::string> users) : passwords(std::move(users)) {}
  std::shared_ptr<const TlsCredentials> tls;  // null: plain HTTP
  std::vector<std::pair<std::string, std::string>> headers;
  Passwords passwords;
  bool wants_certificate = false;  // a client without one that is right gets no connection
  // Whoever gets an answer has shown who he is.
  bool authenticates() const { return passwords.required() || wants_certificate; }
};

class SettingsFile {
 public:
  // `path` "": no file, plain HTTP for everybody. Errors: what the file or one that it names lacks.
  static Result<SettingsFile> open(std::string path);

  // Looks at the files at most once a second. From one thread.
  std::shared_ptr<Settings> current(uint64_t now_ns);

 private:
  struct Stamp {
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;  // -1: there is no such file
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };
  static Stamp stamp_of(const std::string& path);
  Result<std::shared_ptr<Settings>> load();

  std::string path_;
  std::vector<Stamp> stamps_;  // of the files as they were before they were last read
  std::shared_ptr<Settings> settings_;
  uint64_t next_look_ns_ = 0;
};

}  // namespace loopsight
