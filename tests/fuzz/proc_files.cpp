// Files of /proc, of the kubelet and of container engines, one of them at a time the input's.
#include <filesystem>
#include <fstream>

#include "daemon/host/container_names.h"
#include "daemon/host/cpu_quota.h"
#include "daemon/host/proc.h"
#include "tests/fuzz/target.h"

namespace loopsight {
namespace {

const std::string kContainer(64, 'a');
constexpr const char* kPod = "12345678-1234-1234-1234-123456789012";

// A made-up /proc with process 7, removed at the end.
class Tree {
 public:
  Tree() {
    std::string path = std::filesystem::temp_directory_path() / "loopsight-fuzz-XXXXXX";
    fuzz::require(mkdtemp(path.data()) != nullptr, "a folder");
    root_ = path;
    put("7/stat", "7 (python3) S 1 7 7 0 -1 0 0 0 0 0 5 6 0 0 20 0 1 0 12345 0 0");
    put("7/task/7/children", "8 9 ");
    put("7/fdinfo/3", "pos:\t0\ntfd:        5 events:       19 data: 5\n");
    put("7/maps", "00400000-00422000 r-xp 00001000 fe:00 10952836    /usr/bin/python3.11\n");
    put("7/cgroup", "0::/a/b\n");
    put("7/mountinfo", "36 35 98:0 /pods/" + std::string(kPod) + "/containers/web/1 /dev rw\n");
    put("1/root/var/lib/docker/containers/" + kContainer + "/config.v2.json",
        R"({"Name": "/shop"})");
    put("1/root/var/lib/containers/storage/overlay-containers/containers.json",
        R"([{"id": ")" + kContainer + R"(", "names": ["shop"]}])");
    put("cgroup/a/cpu.max", "50000 100000\n");
  }
  ~Tree() { std::filesystem::remove_all(root_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const std::string& root() const { return root_; }
  const std::vector<std::string>& files() const { return files_; }
  void write(const std::string& name, std::string_view content) const {
    std::ofstream file(root_ + "/" + name, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
  }

 private:
  void put(const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(root_ + "/" + name).parent_path());
    write(name, content);
    files_.push_back(name);
  }
  std::string root_;
  std::vector<std::string> files_;
};

}  // namespace
}  // namespace loopsight

FUZZ_TARGET(proc_files, input) {
  static Tree tree;
  fuzz::Bytes bytes(input);
  const std::string& name = tree.files()[bytes.take<uint8_t>() % tree.files().size()];
  auto before = read_proc_file(tree.root() + "/" + name, 1 << 20);
  tree.write(name, bytes.rest());
  const std::string& root = tree.root();
  (void)read_start_ticks(root, 7);
  (void)read_cpu_time_ns(root, 7);
  (void)read_children(root, 7);
  (void)read_epoll_targets(root, 7, 3);
  for (const Mapping& one : read_mappings(root, 7))
    if (one.path.find("..") == std::string::npos) (void)open_mapping(root, 7, one);
  (void)read_cpu_quota(root, root + "/cgroup", 7);
  (void)find_container_names(root, 7, {.container = kContainer});
  (void)find_container_names(root, 7, {.container = kContainer, .pod = kPod});
  tree.write(name, *before);
}
