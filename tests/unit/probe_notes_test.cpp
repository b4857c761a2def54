#include "daemon/python/probe_notes.h"

#include <asm/ptrace.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <random>

#include "daemon/base/fd.h"
#include "daemon/python/python_file.h"

namespace loopsight {
namespace {

void append(std::string& bytes, const void* data, size_t size) {
  bytes.append(static_cast<const char*>(data), size);
}

struct Note {
  std::string provider = "python";
  std::string name = "gc__start";
  std::string arguments = "-4@112(%rsp)";
  uint64_t site = 0x401000;
  uint64_t base = 0;
  uint64_t semaphore = 0x602010;
};

// As <sys/sdt.h> lays a note out.
std::string bytes_of(const Note& note) {
  std::string description;
  for (uint64_t word : {note.site, note.base, note.semaphore}) append(description, &word, 8);
  for (const std::string& text : {note.provider, note.name, note.arguments})
    append(description, text.c_str(), text.size() + 1);
  std::string bytes;
  for (uint32_t word : {uint32_t{8}, static_cast<uint32_t>(description.size()), uint32_t{3}})
    append(bytes, &word, 4);
  append(bytes, "stapsdt", 8);
  bytes += description;
  bytes.resize((bytes.size() + 3) / 4 * 4);
  return bytes;
}

const std::vector<ElfSegment> kSegments = {
    {.offset = 0x1000, .address = 0x401000, .size = 0x1000},
    {.offset = 0x2000, .address = 0x602000, .size = 0x1000},
};

TEST(ProbeNotes, TranslatesAddressesIntoOffsetsOfTheFile) {
  auto found = parse_probe_notes(bytes_of({.site = 0x401234}), 0, kSegments);
  ASSERT_EQ(found.sites.size(), 1U);
  EXPECT_EQ(found.sites[0].offset, 0x1234U);
  EXPECT_EQ(found.sites[0].semaphore, 0x2010U);
  EXPECT_EQ(found.sites[0].spec.kind, LS_PROBE_GC_START);
  EXPECT_EQ(found.sites[0].spec.argument[0].offset, 112);
  EXPECT_EQ(found.unreadable, 0U);
}

TEST(ProbeNotes, TakesEverySiteOfAProbe) {
  std::string bytes;
  for (uint64_t site : {0x401010, 0x401020, 0x401030})
    bytes += bytes_of({.name = "audit", .arguments = "8@%rbx 8@%r15", .site = site});
  EXPECT_EQ(parse_probe_notes(bytes, 0, kSegments).sites.size(), 3U);
}

TEST(ProbeNotes, FollowsWhatPrelinkingMoved) {
  auto found = parse_probe_notes(bytes_of({.site = 0x1000, .base = 0x500, .semaphore = 0x202010}),
                                 0x400500, kSegments);
  ASSERT_EQ(found.sites.size(), 1U);
  EXPECT_EQ(found.sites[0].offset, 0x1000U);
}

TEST(ProbeNotes, PassesOverOtherProvidersAndUnknownNames) {
  std::string bytes = bytes_of({.provider = "libc"}) + bytes_of({.name = "line"});
  auto found = parse_probe_notes(bytes, 0, kSegments);
  EXPECT_TRUE(found.sites.empty());
  EXPECT_EQ(found.unreadable, 0U);
}

TEST(ProbeNotes, CountsWhatItCannotUnderstand) {
  std::string bytes = bytes_of({.arguments = "4@symbol(%rip)"}) + bytes_of({.site = 0x999999}) +
                      bytes_of({.semaphore = 0x999999}) + bytes_of({.arguments = ""});
  auto found = parse_probe_notes(bytes, 0, kSegments);
  EXPECT_TRUE(found.sites.empty());
  EXPECT_EQ(found.unreadable, 4U);
}

TEST(ProbeNotes, IsBoundedWhateverTheBytes) {
  std::string one = bytes_of({});
  std::string many;
  for (int i = 0; i < 1000; i++) many += one;
  EXPECT_EQ(parse_probe_notes(many, 0, kSegments).sites.size(), kMaxProbeSites);
  for (size_t cut = 0; cut < one.size(); cut++)
    EXPECT_TRUE(
        parse_probe_notes(std::string_view(one).substr(0, cut), 0, kSegments).sites.size() <= 1);
  std::mt19937 random(7);
  for (int i = 0; i < 20000; i++) {
    std::string bytes = one + one;
    for (int j = 0; j < 4; j++) bytes[random() % bytes.size()] = static_cast<char>(random());
    parse_probe_notes(bytes, random(), kSegments);
  }
}

TEST(ProbeArgument, ReadsTheFormsOfCompilers) {
  auto memory = parse_probe_argument("-4@112(%rsp)");
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->base, offsetof(pt_regs, rsp));
  EXPECT_EQ(memory->offset, 112);
  EXPECT_EQ(memory->size, 4);
  EXPECT_TRUE(memory->in_memory && memory->is_signed);
  auto reg = parse_probe_argument("8@%r15");
  ASSERT_TRUE(reg);
  EXPECT_EQ(reg->base, offsetof(pt_regs, r15));
  EXPECT_FALSE(reg->in_memory || reg->is_signed);
  auto constant = parse_probe_argument("4@$-1");
  ASSERT_TRUE(constant);
  EXPECT_EQ(constant->base, LS_NO_REGISTER);
  EXPECT_EQ(constant->offset, -1);
  auto indexed = parse_probe_argument("1@-96(%rbp,%rax,8)");
  ASSERT_TRUE(indexed);
  EXPECT_EQ(indexed->index, offsetof(pt_regs, rax));
  EXPECT_EQ(indexed->scale, 8);
  EXPECT_EQ(parse_probe_argument("-4@%eax")->base, offsetof(pt_regs, rax));
}

TEST(ProbeArgument, RefusesOtherForms) {
  for (const char* text : {"", "8", "8@", "@%rax", "3@%rax", "8@%xyz", "8@4(%rax", "8@(%rip)",
                           "8@x(%rax)", "8@(%rax,%rbx,3)", "8@$x", "8@%rax junk", "99@%rax"})
    EXPECT_FALSE(parse_probe_argument(text)) << text;
}

TEST(ProbeNotes, AreFoundInDebiansInterpreter) {
  Fd fd(open("/usr/bin/python3", O_RDONLY | O_CLOEXEC));
  if (!fd) GTEST_SKIP() << "no /usr/bin/python3 on this machine";
  auto python = read_python_file(fd.get());
  ASSERT_TRUE(python);
  std::array<size_t, LS_PROBE_KINDS> count{};
  for (const ProbeSite& site : python->probes.sites) {
    count[site.spec.kind]++;
    EXPECT_NE(site.semaphore, 0U);
  }
  EXPECT_GE(count[LS_PROBE_GC_START], 1U);
  EXPECT_GE(count[LS_PROBE_GC_DONE], 1U);
  EXPECT_GE(count[LS_PROBE_IMPORT_START], 1U);
  EXPECT_GE(count[LS_PROBE_IMPORT_DONE], 1U);
  EXPECT_GE(count[LS_PROBE_AUDIT], 1U);
  EXPECT_EQ(python->probes.unreadable, 0U);
  EXPECT_TRUE(python->trusted);
}

}  // namespace
}  // namespace loopsight
