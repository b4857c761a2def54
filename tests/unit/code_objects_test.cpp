#include "daemon/python/code_objects.h"

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>

#include "daemon/python/plumbing.h"

namespace loopsight {
namespace {

ls_text text(const std::string& bytes, uint32_t kind, uint32_t length) {
  ls_text one{};
  one.state = kind << 2;
  one.length = length;
  std::memcpy(one.bytes, bytes.data(), std::min(bytes.size(), sizeof(one.bytes)));
  return one;
}

std::string decode(const ls_text& one) { return decode_text(one.state, one.length, one.bytes); }

ls_code code(uint32_t tgid, uint64_t address, const std::string& name, const std::string& file,
             uint32_t identity = 5) {
  ls_code record{};
  record.header.tgid = tgid;
  record.code = address;
  record.identity = identity;
  record.adaptive = 200;
  record.first_line = 7;
  record.name = text(name, 1, static_cast<uint32_t>(name.size()));
  record.filename = text(file, 1, static_cast<uint32_t>(file.size()));
  return record;
}

TEST(DecodeText, ReadsEachKindOfString) {
  EXPECT_EQ(decode(text("handler", 1, 7)), "handler");
  EXPECT_EQ(decode(text("caf\xE9", 1, 4)), "caf\xC3\xA9");  // Latin-1
  EXPECT_EQ(decode(text(std::string("\x3C\x04", 2), 2, 1)), "\xD0\xBC");
  EXPECT_EQ(decode(text(std::string("\x0D\xF4\x01\x00", 4), 4, 1)), "\xF0\x9F\x90\x8D");
}

TEST(DecodeText, BoundsAndCleansWhatIsHostile) {
  EXPECT_EQ(decode(text("a\nb\x1b", 1, 4)), "a?b?");
  EXPECT_EQ(decode(text("x", 3, 1)), "");  // no such kind
  EXPECT_EQ(decode(text("x", 0, 1)), "");
  std::string long_name(LS_CODE_NAME_SIZE, 'n');
  std::string cut = decode(text(long_name, 1, 4000000000));
  EXPECT_LE(cut.size(), 256U);
  EXPECT_TRUE(cut.ends_with("\xE2\x80\xA6"));
  EXPECT_EQ(decode(text(std::string("\x00\xD8", 2), 2, 1)),  // a lone surrogate
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

ls_stack stack_of(std::initializer_list<ls_frame> frames) {
  ls_stack stack{};
  stack.end = LS_STACK_COMPLETE;
  for (const ls_frame& frame : frames) stack.frames[stack.count++] = frame;
  return stack;
}

TEST(CodeObjects, ResolvesWhatItWasToldInOrder) {
  CodeObjects codes;
  codes.on_code(code(1, 0x1000, "inner", "/srv/app.py"));
  codes.on_code(code(1, 0x2000, "outer", "/srv/app.py"));
  // The one in the middle was never sent.
  ls_stack stack = stack_of({{0x1000, 200, 5}, {0x3000, 200, 5}, {0x2000, 200, 5}});
  auto frames = codes.resolve(1, 11, stack);
  ASSERT_EQ(frames.size(), 3U);
  EXPECT_EQ(frames[0].function, "inner");
  EXPECT_EQ(frames[0].line, 7U);  // no table: the function's own line
  EXPECT_EQ(frames[1].function, kUnreadable);
  EXPECT_EQ(frames[2].function, "outer");
  EXPECT_EQ(codes.resolve(2, 11, stack).at(0).function, kUnreadable);  // of another process
  stack.count = 0xFFFFFFFF;
  EXPECT_EQ(codes.resolve(1, 11, stack).size(), static_cast<size_t>(LS_MAX_FRAMES));
}

TEST(CodeObjects, GivesAFrameNoNameOfAnotherCodeObjectAtItsAddress) {
  CodeObjects codes;
  codes.on_code(code(1, 0x1000, "old", "/srv/app.py", 5));
  codes.on_code(code(1, 0x1000, "new", "/srv/app.py", 6));
  codes.on_code(code(2, 0x1000, "other", "/srv/app.py"));
  EXPECT_EQ(codes.resolve(1, 11, stack_of({{0x1000, 200, 5}})).at(0).function, "old");
  EXPECT_EQ(codes.resolve(1, 11, stack_of({{0x1000, 200, 6}})).at(0).function, "new");
  EXPECT_EQ(codes.resolve(1, 11, stack_of({{0x1000, 200, 7}})).at(0).function, kUnreadable);
  codes.on_exit(1);
  EXPECT_EQ(codes.resolve(1, 11, stack_of({{0x1000, 200, 5}})).at(0).function, kUnreadable);
  EXPECT_EQ(codes.size(), 1U);
}

TEST(CodeObjects, ShowsThatADamagedStackGoesOnUnreadable) {
  CodeObjects codes;
  codes.on_code(code(1, 0x1000, "inner", "/srv/app.py"));
  ls_stack stack = stack_of({{0x1000, 200, 5}});
  stack.end = LS_STACK_TORN;
  auto frames = codes.resolve(1, 11, stack);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[1].function, kUnreadable);
}

TEST(CodeObjects, KeepsNoCodeObjectWhoseNamesCouldNotBeRead) {
  CodeObjects codes;
  codes.on_code(code(1, 0x1000, "", "/srv/app.py"));
  EXPECT_EQ(codes.size(), 0U);
}

TEST(CodeObjects, OneProcessCannotTakeAllTheRoom) {
  CodeObjects codes(16 << 20);
  auto add = [&](uint32_t tgid, uint64_t count) {
    for (uint64_t address = 1; address <= count; address++) {
      ls_code record = code(tgid, address, "f", "/srv/app.py");
      record.lines_size = LS_CODE_LINES_SIZE;
      codes.on_code(record);
    }
  };
  add(1, 10'000);
  size_t kept = codes.size();
  EXPECT_GT(kept, 4'000U);
  EXPECT_LT(kept, 6'000U);
  add(2, 100);
  EXPECT_LE(codes.size(), kept + 1);
  add(1, 10'000);
  for (uint64_t address = 1; address <= 100; address++)
    EXPECT_TRUE(codes.knows(2, {.code = address, .offset = 0, .identity = 5})) << address;
  EXPECT_TRUE(codes.knows(1, {.code = 10'000, .offset = 0, .identity = 5}));  // the newest
  EXPECT_FALSE(codes.knows(1, {.code = 1, .offset = 0, .identity = 5}));
  codes.on_exit(1);
  add(1, 1'000);
  EXPECT_EQ(codes.size(), 1'100U);
}

}  // namespace
}  // namespace loopsight
