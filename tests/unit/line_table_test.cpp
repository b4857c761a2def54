#include "daemon/python/line_table.h"

#include <gtest/gtest.h>

#include <optional>
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

uint32_t line_of(const std::optional<SourcePosition>& position) {
  return position ? position->line : 0;
}

class FindLine : public testing::TestWithParam<Case> {};

TEST_P(FindLine, AgreesWithTheInterpreter) {
  const Case& one = GetParam();
  std::string table = from_hex(one.table);
  for (size_t i = 0; i < one.lines.size(); i++)
    EXPECT_EQ(line_of(find_position(one.minor, table, 1, i * 2)), one.lines[i]) << "unit " << i;
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

// def f(x):                     1
//     a = 1                     2
//     b = (x +                  3
//          a)                   4
//     for i in range(3):        5
//         a += i                6
//     return g(a,               7
//              b)[0].h("é" + a) 8
TEST(FindPosition, AgreesWithTheInterpreterOnColumns) {
  std::string table = from_hex(
      "8000d808098041d8090ad8090af103010a0b8041e50d12903189588c58f00001050ff0000105"
      "0f8801d808098851890688018801dd0b0c8851d80d0ef103010c10f400010c10d81011f40301"
      "0c13df13149231905498419158913b943bf00301051f");
  // As code.co_positions() of CPython 3.11.2 gives them.
  const std::vector<SourcePosition> expected = {
      {1, 1, 0, 0},   {2, 2, 8, 9},   {2, 2, 4, 5},   {3, 3, 9, 10},  {4, 4, 9, 10},
      {3, 4, 9, 10},  {3, 4, 9, 10},  {3, 3, 4, 5},   {5, 5, 13, 18}, {5, 5, 13, 18},
      {5, 5, 13, 18}, {5, 5, 13, 18}, {5, 5, 13, 18}, {5, 5, 13, 18}, {5, 5, 19, 20},
      {5, 5, 13, 21}, {5, 5, 13, 21}, {5, 5, 13, 21}, {5, 5, 13, 21}, {5, 5, 13, 21},
      {5, 5, 13, 21}, {5, 5, 13, 21}, {5, 6, 4, 14},  {5, 6, 4, 14},  {5, 5, 8, 9},
      {6, 6, 8, 9},   {6, 6, 13, 14}, {6, 6, 8, 14},  {6, 6, 8, 14},  {6, 6, 8, 9},
      {6, 6, 8, 9},   {7, 7, 11, 12}, {7, 7, 11, 12}, {7, 7, 11, 12}, {7, 7, 11, 12},
      {7, 7, 11, 12}, {7, 7, 11, 12}, {7, 7, 13, 14}, {8, 8, 13, 14}, {7, 8, 11, 15},
      {7, 8, 11, 15}, {7, 8, 11, 15}, {7, 8, 11, 15}, {7, 8, 11, 15}, {7, 8, 11, 15},
      {7, 8, 11, 15}, {8, 8, 16, 17}, {7, 8, 11, 18}, {7, 8, 11, 18}, {7, 8, 11, 18},
      {7, 8, 11, 18}, {7, 8, 11, 18}, {8, 8, 19, 20}, {8, 8, 19, 20}, {8, 8, 19, 20},
      {8, 8, 19, 20}, {8, 8, 19, 20}, {8, 8, 19, 20}, {8, 8, 19, 20}, {8, 8, 19, 20},
      {8, 8, 19, 20}, {8, 8, 19, 20}, {8, 8, 19, 20}, {8, 8, 21, 25}, {8, 8, 28, 29},
      {8, 8, 21, 29}, {8, 8, 21, 29}, {8, 8, 19, 30}, {8, 8, 19, 30}, {8, 8, 19, 30},
      {8, 8, 19, 30}, {8, 8, 19, 30}, {8, 8, 19, 30}, {8, 8, 19, 30}, {7, 8, 4, 30}};
  for (size_t i = 0; i < expected.size(); i++) {
    auto position = find_position(11, table, 1, i * 2);
    ASSERT_TRUE(position) << "unit " << i;
    EXPECT_EQ(position->line, expected[i].line) << "unit " << i;
    EXPECT_EQ(position->end_line, expected[i].end_line) << "unit " << i;
    EXPECT_EQ(position->column, expected[i].column) << "unit " << i;
    EXPECT_EQ(position->end_column, expected[i].end_column) << "unit " << i;
  }
}

TEST(FindLine, FindsNothingBeyondATableThatWasCut) {
  std::string table = from_hex("8000d808098041d8090a");
  EXPECT_TRUE(find_position(11, table, 1, 2));
  EXPECT_FALSE(find_position(11, table, 1, 60));
  EXPECT_FALSE(find_position(11, "", 1, 0));
  EXPECT_FALSE(find_position(10, "", 1, 0));
}

TEST(FindLine, SurvivesRandomTables) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 20000; round++) {
    std::string table(random() % 200, '\0');
    for (char& one : table) one = static_cast<char>(random());
    auto position =
        find_position(8 + round % 8, table, static_cast<uint32_t>(random()), random() % 4000);
    if (!position) continue;
    EXPECT_GT(position->line, 0U);
    EXPECT_GE(position->end_line, position->line);
    EXPECT_TRUE(position->end_column == 0 || position->line != position->end_line ||
                position->column < position->end_column);
  }
}

}  // namespace
}  // namespace loopsight
