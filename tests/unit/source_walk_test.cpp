#include "daemon/host/source_walk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "daemon/host/file_systems.h"

namespace loopsight {
namespace {

namespace fs = std::filesystem;
using Outcome = SourceOutcome;

constexpr uint32_t kAlice = 61001;
constexpr uint32_t kBob = 61002;

// A folder that stands for the root of a process.
class SourceWalk : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("loopsight-walk-" + std::to_string(getpid()));
    fs::create_directories(folder_ / "jail" / "srv");
    fs::permissions(folder_, fs::perms(0755));
    fs::permissions(folder_ / "jail", fs::perms(0755));
    fs::permissions(folder_ / "jail" / "srv", fs::perms(0755));
    write("jail/srv/app.py", "app");
    write("secret", "outside");
    root_ = open_folder("jail");
    cwd_ = open_folder("jail/srv");
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text, unsigned mode = 0644) const {
    std::ofstream(folder_ / name) << text;
    fs::permissions(folder_ / name, fs::perms(mode));
  }
  Fd open_folder(const std::string& name) const {
    return Fd(open((folder_ / name).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void give(const std::string& name, uint32_t user) const {
    ASSERT_EQ(lchown((folder_ / "jail" / name).c_str(), user, user), 0);
  }
  // What is in the file that is found, or why none is.
  std::string walk(const std::string& path, FileUser user = ourselves()) const {
    auto found = find_source(path.starts_with('/') ? root_.get() : cwd_.get(), path, user);
    if (!found) return name_of(found.error());
    Fd proc(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    Fd file = open_found(proc.get(), *found);
    std::string text(64, '\0');
    text.resize(static_cast<size_t>(std::max<ssize_t>(read(file.get(), text.data(), 64), 0)));
    return text;
  }
  static FileUser ourselves() { return {.user = geteuid(), .group = getegid()}; }
  static FileUser alice() { return {.user = kAlice, .group = kAlice}; }

  fs::path folder_;
  Fd root_;
  Fd cwd_;
};

TEST_F(SourceWalk, FindsFilesFromTheRootAndFromTheWorkingDirectory) {
  EXPECT_EQ(walk("/srv/app.py"), "app");
  EXPECT_EQ(walk("app.py"), "app");
  EXPECT_EQ(walk("./x/../app.py"), "not there");
  EXPECT_EQ(walk("/srv/../srv/./app.py"), "app");
  EXPECT_EQ(walk("/srv/none.py"), "not there");
  EXPECT_EQ(walk("/srv/app.py/x"), "not there");
  EXPECT_EQ(walk("/" + std::string(300, 'x')), "not there");
}

TEST_F(SourceWalk, CannotBeLedOut) {
  fs::create_symlink(folder_ / "secret", folder_ / "jail/srv/link.py");
  fs::create_symlink("../../secret", folder_ / "jail/srv/up.py");
  fs::create_symlink("/srv/app.py", folder_ / "jail/srv/inside.py");
  EXPECT_EQ(walk("/srv/link.py"), "not there");
  EXPECT_EQ(walk("/srv/up.py"), "not there");
  EXPECT_EQ(walk("/../../secret"), "not there");
  EXPECT_EQ(walk("../../secret"), "outside");
  EXPECT_EQ(walk("up.py"), "outside");
  EXPECT_EQ(walk("inside.py"), "outside");  // it does not say where the root is
  EXPECT_EQ(walk("/srv/inside.py"), "app");
}

TEST_F(SourceWalk, GivesUpOnPathsWithoutEnd) {
  fs::create_symlink("loop.py", folder_ / "jail/srv/loop.py");
  EXPECT_EQ(walk("/srv/loop.py"), "outside");
  std::string longest;
  for (int i = 0; i < 500; i++) longest += "/.";
  EXPECT_EQ(walk(longest + "/srv/app.py"), "app");
  for (int i = 0; i < 500; i++) longest += "/srv/..";
  EXPECT_EQ(walk(longest + "/srv/app.py"), "outside");
}

TEST_F(SourceWalk, FindsRegularFilesWithSomethingInThem) {
  ASSERT_EQ(mkfifo((folder_ / "jail/srv/fifo.py").c_str(), 0644), 0);
  write("jail/srv/empty.py", "");
  write("jail/srv/large.py", std::string((4 << 20) + 1, 'x'));
  EXPECT_EQ(walk("/srv/fifo.py"), "no regular file");
  EXPECT_EQ(walk("/srv/empty.py"), "no regular file");
  EXPECT_EQ(walk("/srv/large.py"), "too large");
  EXPECT_EQ(walk("/srv"), "no regular file");
  EXPECT_EQ(walk("/"), "no regular file");
  EXPECT_EQ(walk("/srv/app.py/"), "no regular file");
}

TEST_F(SourceWalk, EntersNoFileSystemThatTheKernelMakesUp) {
  root_ = Fd(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(walk("/proc/self/maps"), "file system");
  EXPECT_EQ(walk("/proc/self/root/etc/passwd"), "file system");
  EXPECT_EQ(walk("/sys/kernel/notes"), "file system");
  cwd_ = Fd(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(walk("maps"), "file system");
}

TEST(FileSystems, AreThoseThatKeepFiles) {
  for (int64_t type : {0xEF53L, 0x01021994L, 0x794C7630L, 0x6969L})
    EXPECT_TRUE(holds_source_files(type));
  // proc, sysfs, tracefs, debugfs, cgroup2, bpf, securityfs, FUSE
  for (int64_t type : {0x9FA0L, 0x62656572L, 0x74726163L, 0x64626720L, 0x63677270L, 0xCAFE4A11L,
                       0x73636673L, 0x65735546L})
    EXPECT_FALSE(holds_source_files(type));
}

class SourceWalkOfOthers : public SourceWalk {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
    SourceWalk::SetUp();
    fs::create_directory(folder_ / "jail/bob");
    fs::permissions(folder_ / "jail/bob", fs::perms(0755));
    write("jail/private.py", "private", 0600);
    give("bob", kBob);
  }
};

TEST_F(SourceWalkOfOthers, LeadsToNothingThatTheseMayNotRead) {
  FileUser root{.user = 0, .group = 0, .groups = {}, .reads_all = true};
  fs::create_symlink("/private.py", folder_ / "jail/bob/link.py");
  fs::create_symlink("/srv/app.py", folder_ / "jail/bob/public.py");
  write("jail/bob/own.py", "of bob", 0600);
  for (const char* name : {"bob/link.py", "bob/public.py", "bob/own.py"}) give(name, kBob);
  EXPECT_EQ(walk("/private.py", root), "private");
  EXPECT_EQ(walk("/bob/link.py", root), "another user's path");
  EXPECT_EQ(walk("/bob/../private.py", root), "another user's path");
  EXPECT_EQ(walk("/bob/public.py", root), "app");
  EXPECT_EQ(walk("/bob/own.py", root), "of bob");
  // What alice alone may read is none of bob's either.
  give("private.py", kAlice);
  EXPECT_EQ(walk("/private.py", alice()), "private");
  EXPECT_EQ(walk("/bob/link.py", alice()), "another user's path");
}

TEST_F(SourceWalkOfOthers, IsWaryOfALinkInAFolderForAll) {
  fs::create_directory(folder_ / "jail/tmp");
  fs::permissions(folder_ / "jail/tmp", fs::perms(01777));
  fs::create_symlink("/private.py", folder_ / "jail/tmp/app.py");
  EXPECT_EQ(walk("/tmp/app.py"), "private");  // root's own
  give("tmp/app.py", kBob);
  EXPECT_EQ(walk("/tmp/app.py"), "another user's path");
  // Without the sticky bit anybody may have put anything there.
  fs::permissions(folder_ / "jail/tmp", fs::perms(0777));
  write("jail/tmp/closed.py", "closed", 0600);
  EXPECT_EQ(walk("/tmp/closed.py"), "another user's path");
  fs::permissions(folder_ / "jail/tmp", fs::perms(0770));
  write("jail/tmp/closed.py", "closed", 0600);
  ASSERT_EQ(chown((folder_ / "jail/tmp").c_str(), 0, kBob), 0);
  EXPECT_EQ(walk("/tmp/closed.py"), "another user's path");
  ASSERT_EQ(chown((folder_ / "jail/tmp").c_str(), 0, kAlice), 0);
  give("tmp/closed.py", kAlice);
  EXPECT_EQ(walk("/tmp/closed.py", alice()), "closed");  // the group is her own
}

TEST_F(SourceWalkOfOthers, TellsWhatIsPublic) {
  auto is_public = [&](const std::string& path) {
    auto found = find_source(root_.get(), path, {.user = 0, .group = 0});
    return found && is_public_at(root_.get(), path, {.user = 0, .group = 0}, found->status);
  };
  EXPECT_TRUE(is_public("/srv/app.py"));
  EXPECT_FALSE(is_public("/private.py"));
  fs::permissions(folder_ / "jail/srv", fs::perms(0750));
  EXPECT_FALSE(is_public("/srv/app.py"));
  auto found = find_source(root_.get(), "/private.py", {.user = 0, .group = 0});
  ASSERT_TRUE(found);
  // Another file of the same name, as a container sees it, is another file.
  EXPECT_FALSE(is_public_at(root_.get(), "/bob/none.py", {.user = 0, .group = 0}, found->status));
  EXPECT_FALSE(is_public_at(-1, "/private.py", {.user = 0, .group = 0}, found->status));
}

}  // namespace
}  // namespace loopsight
