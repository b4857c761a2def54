#include "daemon/web/passwords.h"

#include <gtest/gtest.h>

#include "daemon/config/bcrypt.h"

namespace loopsight {
namespace {

// Of "secret", cost 4.
constexpr const char* kSecret = "$2y$04$X0h1gDsPszWURQaxFh.zouZdfSt7HzEy4CLiI.zRYe8se5CVhYyZ.";

using Users = std::map<std::string, std::string>;

Users alice() { return {{"alice", kSecret}}; }

TEST(PasswordsTest, KnowsABcryptHash) {
  EXPECT_TRUE(is_bcrypt(kSecret));
  for (const char* other :
       {"", "secret", "$2y$", "$2x$04$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
        "$2y$18$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
        "$2y$03$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG",
        "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7z",
        "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7z!",
        "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.q"})
    EXPECT_FALSE(is_bcrypt(other)) << other;
}

TEST(PasswordsTest, TakesTheRightOneAndRemembersIt) {
  Passwords passwords(alice());
  EXPECT_TRUE(passwords.required());
  EXPECT_FALSE(passwords.remembers("alice", "secret"));
  EXPECT_TRUE(passwords.verify("alice", "secret"));
  EXPECT_TRUE(passwords.remembers("alice", "secret"));
  EXPECT_FALSE(passwords.remembers("bob", "secret"));
}

TEST(PasswordsTest, RefusesEveryOther) {
  Passwords passwords(alice());
  EXPECT_FALSE(passwords.verify("alice", "Secret"));
  EXPECT_FALSE(passwords.verify("alice", ""));
  EXPECT_FALSE(passwords.verify("alice", std::string("secret\0more", 11)));
  EXPECT_FALSE(passwords.verify("bob", "secret"));
  EXPECT_FALSE(passwords.verify("", ""));
  EXPECT_FALSE(passwords.remembers("alice", "Secret"));
  EXPECT_FALSE(Passwords(Users()).verify("alice", "secret"));
}

TEST(PasswordsTest, AsksNobodyWithoutUsers) { EXPECT_FALSE(Passwords(Users()).required()); }

TEST(PasswordsTest, RemembersABoundedNumber) {
  Users users;
  for (int i = 0; i < 110; i++) users["u" + std::to_string(i)] = kSecret;
  Passwords passwords(users);
  for (int i = 0; i < 110; i++) EXPECT_TRUE(passwords.verify("u" + std::to_string(i), "secret"));
  EXPECT_FALSE(passwords.remembers("u0", "secret"));
  EXPECT_TRUE(passwords.remembers("u109", "secret"));
}

}  // namespace
}  // namespace loopsight
