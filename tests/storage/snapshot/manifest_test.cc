// Is the manifest of a snapshot read as it was written, and refused where it is invalid?
#include <xxhash.h>

#include <string>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "storage/snapshot/snapshot_manifest.h"

namespace raftkv::test {
namespace {

storage::Manifest SomeManifest() {
  return {Index(9), {{"000012.sst", 100, 7}, {"CURRENT", 16, 8}}};
}

/// As somebody would who knows the format: the checksum is right.
std::string WithName(const std::string& name) {
  std::string bytes = storage::EncodeManifest({Index(9), {{std::string(name.size(), 'x'), 1, 2}}});
  bytes.replace(bytes.size() - 8 - name.size(), name.size(), name);
  bytes.resize(bytes.size() - 8);
  AppendBigEndian64(bytes, XXH3_64bits(bytes.data(), bytes.size()));
  return bytes;
}

TEST(Manifest, ComesBackAsItWent) {
  const std::string bytes = storage::EncodeManifest(SomeManifest());
  EXPECT_EQ(*storage::DecodeManifest(bytes), SomeManifest());
  EXPECT_EQ(**storage::ManifestLength(bytes), bytes.size());
  EXPECT_EQ(**storage::ManifestLength(bytes.substr(0, 40)), bytes.size());
  EXPECT_FALSE(storage::ManifestLength(bytes.substr(0, 15))->has_value());
  storage::Manifest other = SomeManifest();
  ++other.files[0].checksum;
  EXPECT_NE(storage::SnapshotId(storage::EncodeManifest(other)), storage::SnapshotId(bytes));
}

TEST(Manifest, WhatIsDamagedOrCutIsRefused) {
  const std::string bytes = storage::EncodeManifest(SomeManifest());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    EXPECT_FALSE(storage::DecodeManifest(damaged).ok()) << i;
    EXPECT_FALSE(storage::DecodeManifest(bytes.substr(0, i)).ok()) << i;
  }
}

TEST(Manifest, NamesThatLeadElsewhereAreRefused) {
  EXPECT_TRUE(storage::DecodeManifest(WithName("000001.sst")).ok());
  for (const char* name : {"../record", "/etc/passwd", "a/b", ".", "..", ".hidden"}) {
    EXPECT_EQ(storage::DecodeManifest(WithName(name)).code(), Code::kCorruption) << name;
  }
  EXPECT_EQ(storage::DecodeManifest(WithName(std::string("a\0b", 3))).code(), Code::kCorruption);
  const storage::ManifestFile file{"CURRENT", 16, 8};
  EXPECT_EQ(storage::DecodeManifest(storage::EncodeManifest({Index(9), {file, file}})).code(),
            Code::kCorruption)
      << "twice the same";
}

}  // namespace
}  // namespace raftkv::test
