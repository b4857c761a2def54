#include "daemon/python/elf_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "daemon/base/fd.h"
#include "daemon/python/python_file.h"

namespace loopsight {
namespace {

std::string read_file(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// An unlinked file with this content.
Fd file_with(const std::string& content) {
  std::string pattern = "/tmp/loopsight-elf-XXXXXX";
  Fd fd(mkstemp(pattern.data()));
  unlink(pattern.c_str());
  EXPECT_EQ(write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  return fd;
}

class PythonElf : public testing::Test {
 protected:
  void SetUp() override {
    fd_ = Fd(open("/usr/bin/python3", O_RDONLY | O_CLOEXEC));
    if (!fd_) GTEST_SKIP() << "no /usr/bin/python3 on this machine";
  }
  Fd fd_;
};

TEST_F(PythonElf, FindsWhatAnInterpreterDefines) {
  auto file = ElfFile::open(fd_.get());
  ASSERT_TRUE(file);
  auto symbols = file->find_symbols({"_PyRuntime", "Py_Version", "no_such_symbol", "malloc"});
  EXPECT_TRUE(symbols.contains("_PyRuntime"));
  EXPECT_FALSE(symbols.contains("no_such_symbol"));
  EXPECT_FALSE(symbols.contains("malloc"));  // used, not defined
  EXPECT_TRUE(file->has_section(".text"));
  EXPECT_FALSE(file->has_section(".nothing"));
}

TEST_F(PythonElf, TellsItsVersionAsItDoesItself) {
  auto python = read_python_file(fd_.get());
  ASSERT_TRUE(python);
  FILE* pipe = popen(
      "/usr/bin/python3 -c 'import platform; print(platform.python_version(), end=\"\")'", "r");
  char truth[64] = {};
  size_t got = fread(truth, 1, sizeof(truth) - 1, pipe);
  pclose(pipe);
  ASSERT_GT(got, 0U);
  EXPECT_EQ(python->version, truth);
}

TEST(ElfFile, FindsNoInterpreterElsewhere) {
  for (const char* path : {"/bin/sh", "/etc/passwd", "/proc/self/exe"}) {
    Fd fd(open(path, O_RDONLY | O_CLOEXEC));
    EXPECT_FALSE(read_python_file(fd.get())) << path;
  }
}

TEST(ElfFile, RefusesWhatIsNoElf) {
  for (const std::string& content : {std::string(),
                                     std::string("\x7f"
                                                 "ELF"),
                                     std::string(64, 'x')})
    EXPECT_FALSE(ElfFile::open(file_with(content).get()));
}

TEST_F(PythonElf, SurvivesBeingCutOffAnywhere) {
  std::string whole = read_file("/usr/bin/python3");
  std::mt19937 random(1);
  for (int round = 0; round < 60; round++) {
    Fd fd = file_with(whole.substr(0, random() % whole.size()));
    (void)read_python_file(fd.get());
  }
}

TEST_F(PythonElf, SurvivesDamagedHeaders) {
  std::string whole = read_file("/usr/bin/python3");
  Elf64_Ehdr header;
  std::memcpy(&header, whole.data(), sizeof(header));
  std::mt19937_64 random(2);
  for (int round = 0; round < 120; round++) {
    std::string damaged = whole;
    // A few bytes of the file header, of the program headers or of the section headers.
    for (int i = 0; i < 4; i++) {
      size_t at = round % 3 == 0   ? random() % sizeof(header)
                  : round % 3 == 1 ? header.e_phoff + random() % (header.e_phnum * 56U)
                                   : header.e_shoff + random() % (header.e_shnum * 64U);
      if (at < damaged.size()) damaged[at] = static_cast<char>(random());
    }
    (void)read_python_file(file_with(damaged).get());
  }
}

TEST_F(PythonElf, ReadsOnlyWhatTheFileHolds) {
  auto file = ElfFile::open(fd_.get());
  EXPECT_FALSE(file->read_at(0, 8));
  EXPECT_FALSE(file->read_at(UINT64_MAX - 4, 8));
  EXPECT_TRUE(file->read_section(".nothing", 100).empty());
  EXPECT_LE(file->read_section(".rodata", 100).size(), 100U);
}

// A file with these sections, each at its own offset.
std::string elf_with(const std::vector<std::pair<std::string, std::string>>& sections) {
  std::string names(1, '\0');
  std::string content(sizeof(Elf64_Ehdr), '\0');
  std::vector<Elf64_Shdr> headers(1);
  auto add = [&](const std::string& name, const std::string& bytes) {
    Elf64_Shdr header{};
    header.sh_name = static_cast<Elf64_Word>(names.size());
    header.sh_type = SHT_PROGBITS;
    header.sh_offset = content.size();
    header.sh_size = bytes.size();
    headers.push_back(header);
    names += name + '\0';
    content += bytes;
  };
  for (const auto& [name, bytes] : sections) add(name, bytes);
  add(".shstrtab", "");
  headers.back().sh_offset = content.size();
  headers.back().sh_size = names.size();
  content += names;
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(headers.size());
  header.e_shstrndx = static_cast<Elf64_Half>(headers.size() - 1);
  header.e_shoff = content.size();
  std::memcpy(content.data(), &header, sizeof(header));
  for (const Elf64_Shdr& one : headers)
    content.append(reinterpret_cast<const char*>(&one), sizeof(one));
  return content;
}

std::string symbols_named(const std::vector<Elf64_Word>& names) {
  std::string table;
  for (Elf64_Word name : names) {
    Elf64_Sym symbol{};
    symbol.st_name = name;
    symbol.st_shndx = 1;
    table.append(reinterpret_cast<const char*>(&symbol), sizeof(symbol));
  }
  return table;
}

// Each took minutes where a text was read to its end: as much as this host reads in a few hundred
// seconds, in what takes a fraction of one.
TEST(ElfFile, ATextWithoutAnEndIsReadQuickly) {
  auto start = std::chrono::steady_clock::now();
  std::string names = "_PyRuntime" + std::string(24 << 20, 'x');
  std::vector<Elf64_Word> many(150'000, 10);
  Fd endless = file_with(elf_with({{".dynsym", symbols_named(many)}, {".dynstr", names}}));
  auto file = ElfFile::open(endless.get());
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->find_symbols({"_PyRuntime", "Py_Version"}).empty());

  std::string versions;
  while (versions.size() < 12 << 20) versions += "3.7.-";
  std::string runtime = std::string(1, '\0') + "_PyRuntime" + std::string(1, '\0');
  Fd old = file_with(
      elf_with({{".dynsym", symbols_named({1})}, {".dynstr", runtime}, {".rodata", versions}}));
  auto python = read_python_file(old.get());
  ASSERT_TRUE(python);
  EXPECT_EQ(python->version, "3.7");
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), 30);
}

}  // namespace
}  // namespace loopsight
