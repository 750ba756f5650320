// One parser of addresses and one check of names, wherever they come in.
#include "lib/base/address.h"

#include <string>

#include <gtest/gtest.h>

namespace raftkv {
namespace {

std::string Spelled(const std::string& address) {
  const auto parsed = ParseHostPort(address);
  return parsed.ok() ? ToText(*parsed) : parsed.status().message();
}

TEST(Address, OneAddressHasOneSpelling) {
  EXPECT_EQ(Spelled("LocalHost:07001"), "localhost:7001");
  EXPECT_EQ(Spelled("[0:0:0:0:0:0:0:1]:7001"), "[::1]:7001");
  EXPECT_EQ(Spelled("[FE80::00ab]:1"), "[fe80::ab]:1");
  EXPECT_EQ(Spelled("[fe80::1%eth0]:1"), "[fe80::1%eth0]:1");
  EXPECT_EQ(Spelled("[::ffff:127.0.0.1]:1"), "127.0.0.1:1");
  EXPECT_EQ(Spelled("n1.example.org.:1"), "n1.example.org.:1");
  EXPECT_EQ(Spelled("my_service:1"), "my_service:1");
}

TEST(Address, WhatCanNeverWorkIsRefused) {
  for (const char* bad : {"",
                          "h",
                          "h:",
                          ":",
                          "h:x",
                          "h:-1",
                          "h:+1",
                          "h:65536",
                          "h:1 ",
                          " h:1",
                          "h :1",
                          "h:1\n",
                          "h\t:1",
                          "http://h:1",
                          "h:1/",
                          "unix:/x:1",
                          "::1:7001",
                          "[::1]",
                          "[::1]7001",
                          "[h]:1",
                          "[127.0.0.1]:1",
                          "[::1:1",
                          "a..b:1",
                          ".a:1",
                          "127.1:1",
                          "010.0.0.1:1",
                          "0x7f000001:1",
                          "2130706433:1",
                          "256.0.0.1:1",
                          "h,i:1",
                          "n=h:1",
                          "h\x7f:1",
                          "*:1",
                          "[fe80::1%]:1"}) {
    EXPECT_EQ(ParseHostPort(bad).code(), Code::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(ParseHostPort(std::string(64, 'a') + ":1").ok());
  EXPECT_TRUE(ParseHostPort(std::string(63, 'a') + ":1").ok());
  const std::string said = ParseHostPort("h\n:1").status().message();
  EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  EXPECT_NE(Spelled("::1:7001").find("brackets"), std::string::npos);
  EXPECT_NE(Spelled("http://h:1").find("scheme"), std::string::npos);
}

TEST(Address, OthersCannotConnectToAWildcardOrToPortZero) {
  for (const char* address : {":7001", "0.0.0.0:7001", "[::]:7001", "[::ffff:0.0.0.0]:7001",
                              "[0:0::0]:7001", "127.0.0.1:0", "[::1]:00"}) {
    EXPECT_TRUE(ParseListenAddress("x", address).ok()) << address;
    EXPECT_EQ(ParseRemoteAddress("x", address).code(), Code::kInvalidArgument) << address;
  }
  EXPECT_TRUE(ParseRemoteAddress("x", "[::1]:7001").ok());
}

TEST(Address, ANameCanBeListedAndLogged) {
  for (const char* good : {"n1", "my node", "n.1-a_b", "\xc3\xa9"}) {
    EXPECT_TRUE(CheckMemberName("the name", good).ok()) << good;
  }
  for (const char* bad : {"", " n2", "n2 ", "a=b", "a,b", "a\nb", "a\x1b[31mb", "a\x7f"}) {
    EXPECT_EQ(CheckMemberName("the name", bad).code(), Code::kInvalidArgument) << bad;
  }
  EXPECT_TRUE(CheckMemberName("the name", std::string(256, 'n')).ok());
  EXPECT_FALSE(CheckMemberName("the name", std::string(257, 'n')).ok());
}

}  // namespace
}  // namespace raftkv
