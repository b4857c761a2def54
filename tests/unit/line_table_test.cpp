#include "daemon/attribute/line_table.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace loopsight {
namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

struct Case {
  int minor;
  const char* table;            // as the interpreter made it of the same function
  std::vector<uint32_t> lines;  // of each code unit, as the interpreter says itself
};

class FindLine : public testing::TestWithParam<Case> {};

TEST_P(FindLine, AgreesWithTheInterpreter) {
  const Case& one = GetParam();
  std::string table = from_hex(one.table);
  for (size_t i = 0; i < one.lines.size(); i++)
    EXPECT_EQ(find_line(one.minor, table, 1, i * 2), one.lines[i]) << "unit " << i;
}

// def f(x):            1
//     a = 1            2
//     b = (x +         3
//          a)          4
//     for i in ...:    5
//         a += i       6
//     return a         7
const std::vector<uint32_t> kBefore311 = {2, 2, 3, 4, 3, 3, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 7, 7};
const std::vector<uint32_t> k311 = {1, 2, 2, 3, 4, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5,
                                    5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7, 7};

INSTANTIATE_TEST_SUITE_P(
    Interpreters, FindLine,
    testing::Values(Case{8, "00010401020102ff04020c010a01", kBefore311},
                    Case{9, "00010401020102ff04020c010a01", kBefore311},
                    Case{10, "04010201020104ff0c020a010401", kBefore311},
                    Case{11,
                         "8000d808098041d8090ad8090af103010a0b8041e50d12903189588c58f00001050ff000"
                         "01050f8801d808098851890688018801d80b0c8048",
                         k311}),
    [](const auto& one) { return "Python3_" + std::to_string(one.param.minor); });

TEST(FindLine, FindsNothingBeyondATableThatWasCut) {
  std::string table = from_hex("8000d808098041d8090a");
  EXPECT_TRUE(find_line(11, table, 1, 2));
  EXPECT_FALSE(find_line(11, table, 1, 60));
  EXPECT_FALSE(find_line(11, "", 1, 0));
  EXPECT_FALSE(find_line(10, "", 1, 0));
}

TEST(FindLine, SurvivesRandomTables) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20000; round++) {
    std::string table(random() % 200, '\0');
    for (char& one : table) one = static_cast<char>(random());
    auto line = find_line(8 + round % 8, table, static_cast<uint32_t>(random()), random() % 4000);
    if (line) {
      EXPECT_GT(*line, 0U);
    }
  }
}

}  // namespace
}  // namespace loopsight
