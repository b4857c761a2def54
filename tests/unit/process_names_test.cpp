#include "daemon/python/process_names.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace loopsight {
namespace {

namespace fs = std::filesystem;

const std::string kSpawn = std::string("python3\0-c\0from multiprocessing.spawn import main\0", 50);

class ProcessNamesTest : public testing::Test {
 protected:
  ProcessNamesTest() {
    std::string path = fs::temp_directory_path() / "loopsight-names-XXXXXX";
    root_ = mkdtemp(path.data());
  }
  ~ProcessNamesTest() override { fs::remove_all(root_); }

  struct Made {
    uint32_t parent = 1;
    uint64_t image = 0;  // that of the pid where it is 0
    uint32_t uid = 1000;
    std::string cwd = "/srv/shop";
    std::string exe = "/usr/bin/python3.11";
    uint64_t start_ticks = 100;
    std::string personality = "00000000";
  };
  void make(uint32_t pid, std::string cmdline, const Made& made) {
    fs::path folder = root_ / std::to_string(pid);
    fs::remove_all(folder);
    fs::create_directories(folder);
    for (char& one : cmdline)
      if (one == '|') one = '\0';
    uint64_t image = made.image == 0 ? pid * 1000 : made.image;
    std::string stat = std::to_string(pid) + " (a) b) S " + std::to_string(made.parent);
    for (int field = 5; field <= 52; field++) {
      uint64_t value = field == 22 ? made.start_ticks : 0;
      if (field == 26 || field == 28 || field == 48) value = image;
      stat += " " + std::to_string(value);
    }
    write(folder / "stat", stat);
    write(folder / "cmdline", cmdline);
    write(folder / "personality", made.personality);
    write(folder / "status", "Name:\ta\nUid:\t" + std::to_string(made.uid) + "\t0\t0\t0\n");
    fs::create_symlink(made.cwd, folder / "cwd");
    fs::create_symlink(made.exe, folder / "exe");
  }
  void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  std::string name(uint32_t pid) { return names().find(pid, "", "").program; }
  std::string configured(uint32_t pid, const std::string& outer = "") {
    return names().find(pid, outer, "0::/x").configured;
  }
  ProcessNames& names() {
    if (!names_) names_.emplace(root_);
    return *names_;
  }

  fs::path root_;
  std::optional<ProcessNames> names_;
};

TEST_F(ProcessNamesTest, HoldsWhileTheProcessWritesATitleAndMoves) {
  make(10, "python3|/srv/shop/main.py|", {});
  EXPECT_EQ(name(10), "shop/main.py");
  make(10, "shop: idle", {.image = 10000, .cwd = "/"});
  EXPECT_EQ(name(10), "shop/main.py");
  make(10, "python3|other.py|", {.image = 77});  // an exec
  EXPECT_EQ(name(10), "other.py");
  make(10, "python3|third.py|", {.image = 77, .start_ticks = 101});  // the pid given again
  EXPECT_EQ(name(10), "third.py");
}

TEST_F(ProcessNamesTest, AForkedChildBearsItsParentsName) {
  make(10, "python3|/srv/shop/main.py|", {});
  make(11, "anything: worker", {.parent = 10, .image = 10000});
  make(12, "anything: worker", {.parent = 11, .image = 10000});
  EXPECT_EQ(name(12), "shop/main.py");
  make(13, "python3|billing.py|", {.parent = 10, .image = 10000, .personality = "00040000"});
  EXPECT_EQ(name(13), "billing.py");  // without random addresses two programs may look like one
}

TEST_F(ProcessNamesTest, ChildrenOfMultiprocessingBearTheirParentsName) {
  make(10, "python3|/v/bin/uvicorn|shop:app|", {});
  make(11, kSpawn, {.parent = 10});
  EXPECT_EQ(name(11), "uvicorn shop:app");
  make(12, kSpawn, {.parent = 11});  // a fork server's
  make(13, kSpawn, {.parent = 12, .image = 12000});
  EXPECT_EQ(name(13), "uvicorn shop:app");
}

TEST_F(ProcessNamesTest, ButNotThatOfAStrangerWhoAdoptedThem) {
  make(10, "/lib/systemd/systemd|--user|", {.exe = "/lib/systemd/systemd"});
  make(11, kSpawn, {.parent = 10});
  EXPECT_EQ(name(11), "shop/<string>");
  make(12, kSpawn, {.parent = 1});
  EXPECT_EQ(name(12), "shop/<string>");
}

TEST_F(ProcessNamesTest, TwoFoldersAreTwoNamesInAStableWay) {
  make(10, "python3|/srv/shop/poller.py|", {});
  make(11, "python3|/srv/billing/poller.py|", {});
  make(12, "python3|/srv/billing/releases/2/poller.py|", {});
  make(13, "python3|/srv/billing/poller.py|", {.uid = 1001});  // another user's is none of ours
  EXPECT_EQ(name(10), "poller.py");
  EXPECT_EQ(name(11), "billing/poller.py");
  EXPECT_EQ(name(12), "billing/poller.py");
  EXPECT_EQ(name(13), "poller.py");
  names().forget(10);
  names().forget(11);
  EXPECT_EQ(name(11), "billing/poller.py");
  EXPECT_EQ(name(10), "poller.py");
  make(14, "python3|/srv/a/shop/main.py|", {});
  make(15, "python3|/srv/b/shop/main.py|", {});
  EXPECT_EQ(name(14), "shop/main.py");
  EXPECT_EQ(name(15), "b/shop/main.py");
}

TEST_F(ProcessNamesTest, LongNamesStayTwo) {
  std::string folder = "/srv/" + std::string(100, 'x');
  make(10, "python3|" + folder + "a/main_" + std::string(60, 'y') + "1.py|", {});
  make(11, "python3|" + folder + "a/main_" + std::string(60, 'y') + "2.py|", {});
  make(12, "python3|" + folder + "/main.py|", {});
  make(13, "python3|" + folder + std::string(50, 'z') + "/main.py|", {});
  EXPECT_NE(name(10), name(11));
  for (uint32_t pid : {10, 11, 12, 13}) EXPECT_LE(name(pid).size(), 120U);
  EXPECT_EQ(name(13), name(13));
}

TEST_F(ProcessNamesTest, RulesNameAProcessAndItsChildren) {
  make(10, "python3|/v/bin/uvicorn|shop:app|--port|8001|", {});
  make(11, kSpawn, {.parent = 10});
  EXPECT_EQ(configured(10), "");
  names().set_rules([](const NamedProcess& one) {
    EXPECT_EQ(one.uid, 1000U);
    EXPECT_EQ(one.cgroup, "0::/x");
    return one.command == "python3 /v/bin/uvicorn shop:app --port 8001" && one.cwd == "/srv/shop"
               ? "front"
               : "";
  });
  EXPECT_EQ(configured(11), "front");
  EXPECT_EQ(configured(10), "front");
  EXPECT_EQ(name(11), "uvicorn shop:app");
  names().set_rules([](const NamedProcess& one) { return one.name == "web" ? "back" : ""; });
  EXPECT_EQ(configured(10, "web"), "back");
  names().set_rules({});
  EXPECT_EQ(configured(10), "");
}

TEST_F(ProcessNamesTest, HasANameForWhatIsGone) { EXPECT_EQ(name(99), "<string>"); }

}  // namespace
}  // namespace loopsight
