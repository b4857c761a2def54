#include "daemon/python/process_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace loopsight {
namespace {

TEST(ProcessReader, SaysWhyAProcessIsNoPython) {
  ProcessReader reader;
  auto self = reader.read(static_cast<uint32_t>(getpid()));
  EXPECT_FALSE(self.is_python);
  EXPECT_NE(self.why_not.find("no CPython interpreter"), std::string::npos);
  EXPECT_EQ(reader.read(0x7FFFFFFF).why_not, "no such process");
}

}  // namespace
}  // namespace loopsight
