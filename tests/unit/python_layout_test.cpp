#include "daemon/python/python_layout.h"

#include <gtest/gtest.h>

#include <cstring>

namespace loopsight {
namespace {

std::string debug_offsets(uint32_t version, uint64_t free_threaded = 0, uint64_t fill = 16) {
  std::string bytes(kDebugOffsetsBytes, '\0');
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) std::memcpy(bytes.data() + i, &fill, 8);
  uint64_t wide = version;
  std::memcpy(bytes.data(), "xdebugpy", 8);
  std::memcpy(bytes.data() + 8, &wide, 8);
  std::memcpy(bytes.data() + 16, &free_threaded, 8);
  return bytes;
}

TEST(PythonLayout, KnowsEachFixedVersion) {
  for (int minor = 8; minor <= 12; minor++) {
    auto layout = python_layout(minor, "");
    ASSERT_TRUE(layout) << minor;
    EXPECT_EQ(layout->minor, static_cast<uint32_t>(minor));
    EXPECT_LE(layout->frame_size, LS_HEAD_BYTES);
    EXPECT_EQ(layout->cframe_frame == LS_NO_OFFSET, minor <= 10);
    EXPECT_EQ(layout->code_thread_bytecode, LS_NO_OFFSET);
    EXPECT_EQ(layout->frame_stack_pointer, LS_NO_OFFSET);
    EXPECT_EQ(layout->thread_loop, LS_NO_OFFSET);
    EXPECT_NE(layout->thread_dict, LS_NO_OFFSET);
  }
}

TEST(PythonLayout, ReadsTheInterpretersOwnOffsetsFrom313On) {
  for (uint32_t minor : {13U, 14U, 15U}) {
    auto layout = python_layout(static_cast<int>(minor), debug_offsets(0x03000000 | minor << 16));
    ASSERT_TRUE(layout) << minor << layout.error().message;
    EXPECT_EQ(layout->frame_code, 16U);
    EXPECT_EQ(layout->text_other, 32U);
    EXPECT_EQ(layout->thread_loop, minor == 13 ? 16U : LS_NO_OFFSET);
    EXPECT_EQ(layout->thread_dict, LS_NO_OFFSET);
  }
}

TEST(PythonLayout, RefusesWhatItDoesNotKnowByName) {
  EXPECT_NE(python_layout(16, debug_offsets(0x03100000)).error().message.find("3.16"),
            std::string::npos);
  EXPECT_FALSE(python_layout(7, ""));
  EXPECT_FALSE(python_layout(13, ""));
  EXPECT_FALSE(python_layout(13, std::string(kDebugOffsetsBytes, 'x')));
  EXPECT_FALSE(python_layout(13, debug_offsets(0x030e0000)));  // another version's
}

TEST(PythonLayout, KnowsFreeThreadedBuilds) {
  auto layout = python_layout(13, debug_offsets(0x030d0000, 1));
  ASSERT_TRUE(layout);
  EXPECT_TRUE(layout->flags & LS_PYTHON_FREE_THREADED);
  EXPECT_EQ(layout->gil_enabled, 0U);
  EXPECT_EQ(layout->gil_holder, 16U);
  EXPECT_NE(layout->interpreter_requester, LS_NO_OFFSET);
  layout = python_layout(14, debug_offsets(0x030e0000, 1));
  ASSERT_TRUE(layout);
  EXPECT_NE(layout->code_thread_bytecode, LS_NO_OFFSET);
  EXPECT_EQ(layout->interpreter_requester, LS_NO_OFFSET);  // not known there
  layout = python_layout(14, debug_offsets(0x030e0000));
  EXPECT_EQ(layout->code_thread_bytecode, LS_NO_OFFSET);
  EXPECT_EQ(layout->gil_enabled, LS_NO_OFFSET);
}

TEST(PythonLayout, TakesAsyncioOffsetsFrom314On) {
  uint64_t words[13] = {168, 136, 96, 108, 109, 128, 152, 225864, 10880, 936, 864, 872, 880};
  std::string section(reinterpret_cast<const char*>(words), sizeof(words));
  auto layout = *python_layout(14, debug_offsets(0x030e0000));
  set_asyncio_offsets(layout, section);
  EXPECT_EQ(layout.task_name, 136U);
  EXPECT_EQ(layout.thread_task, 872U);
  EXPECT_EQ(layout.thread_loop, 864U);
  for (const std::string& bad : {std::string(), section.substr(0, 90), std::string(104, '\xFF')}) {
    layout = *python_layout(14, debug_offsets(0x030e0000));
    set_asyncio_offsets(layout, bad);
    EXPECT_EQ(layout.thread_task, LS_NO_OFFSET);
  }
  layout = *python_layout(12, "");
  set_asyncio_offsets(layout, section);
  EXPECT_EQ(layout.thread_task, LS_NO_OFFSET);
}

TEST(PythonLayout, RefusesOffsetsThatCannotBe) {
  EXPECT_FALSE(python_layout(13, debug_offsets(0x030d0000, 0, UINT64_MAX)));
  EXPECT_FALSE(python_layout(14, debug_offsets(0x030e0000, 0, 70000)));
  EXPECT_FALSE(python_layout(15, debug_offsets(0x030f0000, 0, 200)));  // beyond a frame's bytes
  EXPECT_FALSE(python_layout(13, debug_offsets(0x030d0000).substr(0, 300)));
}

}  // namespace
}  // namespace loopsight
