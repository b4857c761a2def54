#include "daemon/attribute/code_objects.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace loopsight {
namespace {

ls_text text(const std::string& bytes, uint32_t kind, uint32_t length) {
  ls_text one{};
  one.state = kind << 2;
  one.length = length;
  std::memcpy(one.bytes, bytes.data(), std::min(bytes.size(), sizeof(one.bytes)));
  return one;
}

ls_code code(uint32_t tgid, uint64_t address, const std::string& name, const std::string& file) {
  ls_code record{};
  record.header.tgid = tgid;
  record.code = address;
  record.adaptive = address + 200;
  record.first_line = 7;
  record.name = text(name, 1, static_cast<uint32_t>(name.size()));
  record.filename = text(file, 1, static_cast<uint32_t>(file.size()));
  return record;
}

TEST(DecodeText, ReadsEachKindOfString) {
  EXPECT_EQ(decode_text(text("handler", 1, 7)), "handler");
  EXPECT_EQ(decode_text(text("caf\xE9", 1, 4)), "caf\xC3\xA9");  // Latin-1
  EXPECT_EQ(decode_text(text(std::string("\x3C\x04", 2), 2, 1)), "\xD0\xBC");
  EXPECT_EQ(decode_text(text(std::string("\x0D\xF4\x01\x00", 4), 4, 1)), "\xF0\x9F\x90\x8D");
}

TEST(DecodeText, BoundsAndCleansWhatIsHostile) {
  EXPECT_EQ(decode_text(text("a\nb\x1b", 1, 4)), "a?b?");
  EXPECT_EQ(decode_text(text("x", 3, 1)), "");  // no such kind
  EXPECT_EQ(decode_text(text("x", 0, 1)), "");
  std::string long_name(LS_CODE_NAME_SIZE, 'n');
  std::string cut = decode_text(text(long_name, 1, 4000000000));
  EXPECT_LE(cut.size(), 256U);
  EXPECT_TRUE(cut.ends_with("\xE2\x80\xA6"));
  EXPECT_EQ(decode_text(text(std::string("\x00\xD8", 2), 2, 1)),  // a lone surrogate
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(ModuleName, ComesFromThePath) {
  EXPECT_EQ(module_name("/srv/app.py"), "app");
  EXPECT_EQ(module_name("/srv/shop/__init__.py"), "shop");
  EXPECT_EQ(module_name("app.py"), "app");
  EXPECT_EQ(module_name("/usr/lib/python3.11/asyncio/base_events.py"), "asyncio.base_events");
  EXPECT_EQ(module_name("/usr/lib/python3.11/asyncio/__init__.py"), "asyncio");
  EXPECT_EQ(module_name("/v/lib/python3.12/site-packages/aiohttp/web.py"), "aiohttp.web");
  EXPECT_EQ(module_name("/usr/lib/python3/dist-packages/aiohttp/web.py"), "aiohttp.web");
  EXPECT_EQ(module_name("<frozen importlib._bootstrap>"), "importlib._bootstrap");
  EXPECT_EQ(module_name("<string>"), "<string>");
  EXPECT_EQ(module_name(""), "");
}

TEST(IsLibraryFile, KnowsTheStandardLibraryAndPackages) {
  for (const char* file :
       {"/usr/lib/python3.11/asyncio/events.py", "/opt/py/lib/python3.13t/ssl.py",
        "/usr/lib64/python3.9/socket.py", "/v/lib/python3.12/site-packages/x/y.py",
        "/usr/lib/python3/dist-packages/aiohttp/web.py", "<frozen runpy>"})
    EXPECT_TRUE(is_library_file(file)) << file;
  for (const char* file : {"/srv/app.py", "<string>", "/home/me/lib/tool.py", "app.py",
                           "/srv/lib/python3-project/app.py", "/srv/python3.11/app.py"})
    EXPECT_FALSE(is_library_file(file)) << file;
}

TEST(CodeObjects, ResolvesWhatItWasToldInOrder) {
  CodeObjects codes;
  codes.on_code(code(1, 0x1000, "inner", "/srv/app.py"));
  codes.on_code(code(1, 0x2000, "outer", "/srv/app.py"));
  ls_stack stack{};
  stack.count = 3;
  stack.frames[0] = {.code = 0x1000, .instruction = 0};
  stack.frames[1] = {.code = 0x3000, .instruction = 0};  // never sent
  stack.frames[2] = {.code = 0x2000, .instruction = 0};
  auto frames = codes.resolve(1, 11, stack);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].function, "inner");
  EXPECT_EQ(frames[0].line, 7U);  // no table: the function's own line
  EXPECT_EQ(frames[1].function, "outer");
  EXPECT_TRUE(codes.resolve(2, 11, stack).empty());  // of another process
  stack.count = 0xFFFFFFFF;
  EXPECT_EQ(codes.resolve(1, 11, stack).size(), 2U);
}

TEST(CodeObjects, TakesTheNewestAtAnAddressAndForgetsWithTheProcess) {
  CodeObjects codes;
  codes.on_code(code(1, 0x1000, "old", "/srv/app.py"));
  codes.on_code(code(1, 0x1000, "new", "/srv/app.py"));
  codes.on_code(code(2, 0x1000, "other", "/srv/app.py"));
  ls_stack stack{};
  stack.count = 1;
  stack.frames[0] = {.code = 0x1000, .instruction = 0};
  EXPECT_EQ(codes.resolve(1, 11, stack).at(0).function, "new");
  codes.on_exit(1);
  EXPECT_TRUE(codes.resolve(1, 11, stack).empty());
  EXPECT_EQ(codes.size(), 1U);
}

}  // namespace
}  // namespace loopsight
