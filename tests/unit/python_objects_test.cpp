#include "daemon/python/python_objects.h"

#include <gtest/gtest.h>

#include "tests/unit/fake_memory.h"

namespace loopsight {
namespace {

constexpr uint64_t kManagedDict = 1 << 4;
constexpr uint64_t kInlineValues = 1 << 2;

// Its layout is not checked against debug offsets here.
FakePython python13() {
  FakePython fake(12);
  fake.python.minor = 13;
  return fake;
}

class Reader {
 public:
  explicit Reader(FakePython& fake)
      : memory_(fake.memory.remote()), objects_(memory_, fake.python) {}
  const PythonObjects* operator->() const { return &objects_; }
  uint64_t attribute(uint64_t object, const char* name) {
    return memory_.word(objects_.attribute(object, name, keys_));
  }
  size_t reads() const { return memory_.reads(); }

 private:
  RemoteMemory memory_;
  PythonObjects objects_;
  PythonObjects::KnownKeys keys_;
};

TEST(PythonObjects, ReadsNamesNumbersAndTexts) {
  for (int minor : {9, 11, 12}) {
    FakePython fake(minor);
    Reader reader(fake);
    EXPECT_EQ(reader->type_name(fake.object(fake.type("_queue.SimpleQueue", 0))),
              "_queue.SimpleQueue");
    EXPECT_EQ(reader->integer(fake.integer(6)), 6U);
    EXPECT_EQ(reader->text(fake.text("asyncio")), "asyncio");
    EXPECT_FALSE(reader->integer(fake.text("6")));
    EXPECT_FALSE(reader->text(fake.integer(6)));
    EXPECT_FALSE(reader->integer(0x99));
    EXPECT_EQ(reader->type_name(0x99), "");
  }
}

TEST(PythonObjects, BoundsAndCleansTexts) {
  FakePython fake(11);
  Reader reader(fake);
  EXPECT_EQ(reader->text(fake.text("a\nb")), "a?b");
  uint64_t lies = fake.text("short");
  fake.memory.word(lies + fake.python.text_length, UINT64_MAX);
  EXPECT_LE(reader->text(lies).value_or("").size(), 256U);
}

TEST(PythonObjects, FindsAttributesInADictOf39) {
  FakePython fake(9);
  Reader reader(fake);
  uint64_t type = fake.type("Pool", 0);
  fake.memory.word(type + fake.python.type_name + 264, 24);  // tp_dictoffset
  uint64_t object = fake.object(type);
  uint64_t dict = fake.object(fake.type("dict", 0));
  fake.memory.word(object + 24, dict);
  std::vector<uint64_t> names = {fake.text("_other"), fake.text("_max_workers")};
  fake.memory.word(dict + 32, fake.keys(names, {0x111, 0x222}));
  EXPECT_EQ(reader.attribute(object, "_max_workers"), 0x222U);
  EXPECT_EQ(reader.attribute(object, "_missing"), 0U);
  // One that shares its keys with the others of its class.
  uint64_t values = fake.allot(64);
  fake.memory.word(values + 8, 0x333);
  fake.memory.word(dict + 40, values);
  EXPECT_EQ(reader.attribute(object, "_max_workers"), 0x333U);
}

TEST(PythonObjects, FindsAttributesWhereLaterVersionsKeepThem) {
  for (uint32_t minor : {11U, 12U, 13U}) {
    FakePython fake = minor == 13 ? python13() : FakePython(static_cast<int>(minor));
    Reader reader(fake);
    uint64_t type = fake.type("Pool", kManagedDict | (minor == 13 ? kInlineValues : 0));
    uint64_t names = fake.keys({fake.text("_other"), fake.text("_max_workers")}, {});
    fake.memory.word(type + fake.python.type_name + (minor == 11 ? 848 : 856), names);
    uint64_t object = fake.object(type);
    uint64_t values = minor == 13 ? object + 16 + 8 : fake.allot(64);
    if (minor == 13) fake.memory.byte(object + 16 + 3, 1);  // valid
    if (minor == 12) fake.memory.word(object - 24, values - 1);
    if (minor == 11) fake.memory.word(object - 32, values);
    fake.memory.word(values + 8, 0x222);
    EXPECT_EQ(reader.attribute(object, "_max_workers"), 0x222U) << minor;
    size_t before = reader.reads();
    EXPECT_EQ(reader.attribute(object, "_max_workers"), 0x222U) << minor;
    EXPECT_LE(reader.reads() - before, 9U) << "the name is known by its address";
    // A dict of its own replaces them.
    uint64_t dict = fake.object(fake.type("dict", 0));
    fake.memory.word(dict + 32, fake.keys({fake.text("_max_workers")}, {0x444}));
    fake.memory.word(object - 24, dict);
    if (minor == 11) fake.memory.word(object - 32, 0);
    EXPECT_EQ(reader.attribute(object, "_max_workers"), 0x444U) << minor;
  }
}

TEST(PythonObjects, SurvivesKeysThatLie) {
  for (int minor : {9, 12}) {
    FakePython fake(minor);
    Reader reader(fake);
    uint64_t type = fake.type("Pool", kManagedDict);
    fake.memory.word(type + fake.python.type_name + 264, 24);
    uint64_t object = fake.object(type);
    uint64_t dict = fake.object(fake.type("dict", 0));
    fake.memory.word(object + 24, dict);
    fake.memory.word(object - 24, dict);
    uint64_t keys = fake.keys({fake.text("_max_workers")}, {0x111});
    fake.memory.word(dict + 32, keys);
    ASSERT_EQ(reader.attribute(object, "_max_workers"), 0x111U);
    fake.memory.word(keys + (minor == 9 ? 32 : 24), UINT64_MAX);  // how many there are
    EXPECT_EQ(reader.attribute(object, "_max_workers"), 0U);
    fake.memory.word(keys + (minor == 9 ? 32 : 24), 1);
    if (minor == 9)
      fake.memory.word(keys + 8, UINT64_MAX);
    else
      fake.memory.byte(keys + 9, 255);
    EXPECT_EQ(reader.attribute(object, "_max_workers"), 0U);
    fake.memory.word(dict + 32, dict);  // keys that are a dict
    EXPECT_EQ(reader.attribute(object, "_max_workers"), 0U);
  }
}

TEST(PythonObjects, FollowsWeakReferencesOnly) {
  FakePython fake(11);
  Reader reader(fake);
  uint64_t weak = fake.object(fake.type("weakref", 0));
  fake.memory.word(weak + 16, 0x500);
  EXPECT_EQ(reader->referent(weak), 0x500U);
  uint64_t other = fake.object(fake.type("tuple", 0));
  fake.memory.word(other + 16, 0x500);
  EXPECT_EQ(reader->referent(other), 0U);
}

}  // namespace
}  // namespace loopsight
