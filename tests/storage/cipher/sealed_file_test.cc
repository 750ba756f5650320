// Is what was sealed read back as it was, by who has the key, and is any change of it found?
#include "storage/cipher/sealed_file.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "tests/support/process/key_files.h"

namespace raftkv::storage {
namespace {

constexpr std::size_t kWhole = kSealedChunkBytes + kSealedTagBytes;

std::shared_ptr<const Secret> Key(int number) {
  return *ReadKeyFile(test::KeyFile(number), nullptr);
}

std::string Text(std::size_t bytes) {
  raftkv::Random chance{bytes + 1};
  std::string text;
  while (text.size() < bytes) text += static_cast<char>(chance.Next());
  return text;
}

/// Appended in parts of up to `part` bytes.
std::string Seal(const std::string& text, const Secret& key, std::size_t part = 10'000) {
  std::string file;
  SealedWriter writer(key, [&](std::string_view bytes) {
    file.append(bytes);
    return Status::Ok();
  });
  for (std::size_t at = 0; at < text.size(); at += part) {
    EXPECT_TRUE(writer.Append(std::string_view(text).substr(at, part)).ok());
  }
  EXPECT_TRUE(writer.Finish().ok());
  return file;
}

/// Gives the file in pieces of at most `piece` bytes.
SealedReader::Source SourceOf(const std::string& file, std::size_t piece = 50'000) {
  return [&file, piece, at = std::size_t{0}](char* buffer, std::size_t size) mutable {
    const std::size_t count = std::min({size, piece, file.size() - at});
    std::copy_n(file.data() + at, count, buffer);
    at += count;
    return Result<std::size_t>(count);
  };
}

Result<std::string> Open(const std::string& file, const Secret& key, std::size_t piece = 50'000) {
  auto reader = SealedReader::Open(key, SourceOf(file, piece));
  if (!reader.ok()) return reader.status();
  std::string text;
  while (true) {
    const Result<std::string_view> next = (*reader)->Next();
    if (!next.ok()) return next.status();
    if (next->empty()) return text;
    text.append(*next);
  }
}

TEST(SealedFile, ComesBackAsItWent) {
  const auto key = Key(1);
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, kSealedChunkBytes - 1, kSealedChunkBytes,
        kSealedChunkBytes + 1, 2 * kSealedChunkBytes, std::size_t{300'000}}) {
    const std::string text = Text(bytes);
    for (const std::size_t part : {std::size_t{999}, kSealedChunkBytes, std::size_t{1} << 20}) {
      const std::string file = Seal(text, *key, part);
      const std::size_t chunks =
          std::max<std::size_t>(1, (bytes + kSealedChunkBytes - 1) / kSealedChunkBytes);
      EXPECT_EQ(file.size(), kSealedHeaderBytes + bytes + chunks * kSealedTagBytes);
      EXPECT_TRUE(IsSealed(file));
      const Result<std::string> opened = Open(file, *key, part);
      ASSERT_TRUE(opened.ok()) << bytes << ": " << opened.status().message();
      EXPECT_EQ(*opened, text) << bytes;
    }
  }
}

TEST(SealedFile, NoTwoAreTheSame) {
  const auto key = Key(1);
  const std::string text(1000, 'x');
  const std::string one = Seal(text, *key);
  const std::string two = Seal(text, *key);
  EXPECT_EQ(one.find("xxxx"), std::string::npos);
  EXPECT_NE(one.substr(kSealedHeaderBytes), two.substr(kSealedHeaderBytes));
}

TEST(SealedFile, AnotherKeyIsNoDamage) {
  const Result<std::string> opened = Open(Seal("text", *Key(1)), *Key(2));
  EXPECT_EQ(opened.code(), Code::kPermissionDenied);
  EXPECT_NE(opened.status().message().find("another key"), std::string::npos);
}

TEST(SealedFile, AnyFlippedBitIsFound) {
  const auto key = Key(1);
  const std::string file = Seal(Text(100), *key);
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    const Code code = Open(damaged, *key).code();
    const bool version = bit / 8 >= 8 && bit / 8 < 12;
    EXPECT_TRUE(code == Code::kCorruption || (version && code == Code::kVersionMismatch)) << bit;
  }
}

TEST(SealedFile, OneOfManyChunksThatIsDamagedIsNamed) {
  const auto key = Key(1);
  const std::string text = Text(5 * kSealedChunkBytes + 100);
  std::string file = Seal(text, *key);
  file[kSealedHeaderBytes + 3 * kWhole + 77] ^= 1;
  auto reader = SealedReader::Open(*key, SourceOf(file));
  ASSERT_TRUE(reader.ok());
  for (std::size_t chunk = 0; chunk < 3; ++chunk) {
    const Result<std::string_view> next = (*reader)->Next();
    ASSERT_TRUE(next.ok());
    EXPECT_EQ(*next, text.substr(chunk * kSealedChunkBytes, kSealedChunkBytes));
  }
  const Result<std::string_view> next = (*reader)->Next();
  EXPECT_EQ(next.code(), Code::kCorruption);
  EXPECT_NE(next.status().message().find("chunk 3"), std::string::npos);
  EXPECT_EQ((*reader)->Next().code(), Code::kCorruption) << "and it does not go on";
}

TEST(SealedFile, AtEachLengthACutIsFound) {
  const auto key = Key(1);
  const std::string file = Seal(Text(2 * kSealedChunkBytes + 10), *key);
  std::vector<std::size_t> lengths;
  for (std::size_t size = 0; size <= kSealedHeaderBytes + 20; ++size) lengths.push_back(size);
  for (std::size_t chunk = 1; chunk <= 2; ++chunk) {
    const std::size_t end = kSealedHeaderBytes + chunk * kWhole;
    for (std::size_t size = end - 20; size <= end + 20; ++size) lengths.push_back(size);
  }
  lengths.push_back(file.size() - 1);
  for (const std::size_t size : lengths) {
    EXPECT_EQ(Open(file.substr(0, size), *key).code(), Code::kCorruption) << size;
  }
  // Also where the cut is the end of the only chunk, or the content was a whole number of them.
  const std::string even = Seal(Text(2 * kSealedChunkBytes), *key);
  EXPECT_EQ(Open(even.substr(0, kSealedHeaderBytes + kWhole), *key).code(), Code::kCorruption);
  EXPECT_EQ(Open(even + "x", *key).code(), Code::kCorruption) << "longer";
  EXPECT_EQ(Open(even + even.substr(kSealedHeaderBytes + kWhole), *key).code(), Code::kCorruption)
      << "the last chunk twice";
}

TEST(SealedFile, ChunksElsewhereOrFromElsewhereAreFound) {
  const auto key = Key(1);
  const std::string text = Text(3 * kSealedChunkBytes);
  const std::string file = Seal(text, *key);
  const auto chunk = [](const std::string& of, std::size_t number) {
    return of.substr(kSealedHeaderBytes + number * kWhole, kWhole);
  };
  const std::string header = file.substr(0, kSealedHeaderBytes);
  EXPECT_EQ(Open(header + chunk(file, 0) + chunk(file, 1) + chunk(file, 2), *key).value(), text);
  EXPECT_EQ(Open(header + chunk(file, 1) + chunk(file, 0) + chunk(file, 2), *key).code(),
            Code::kCorruption);
  EXPECT_EQ(Open(header + chunk(file, 0) + chunk(file, 2), *key).code(), Code::kCorruption);
  EXPECT_EQ(Open(header + chunk(file, 0) + chunk(file, 0) + chunk(file, 2), *key).code(),
            Code::kCorruption);
  const std::string other = Seal(text, *key);
  EXPECT_EQ(Open(header + chunk(file, 0) + chunk(other, 1) + chunk(file, 2), *key).code(),
            Code::kCorruption);
  EXPECT_EQ(
      Open(other.substr(0, kSealedHeaderBytes) + file.substr(kSealedHeaderBytes), *key).code(),
      Code::kCorruption);
}

TEST(SealedFile, WhatTheSinkOrTheSourceSaysIsHandedOn) {
  const auto key = Key(1);
  int calls = 0;
  SealedWriter writer(*key, [&](std::string_view) {
    return ++calls < 3 ? Status::Ok() : Status(Code::kNoSpace, "full");
  });
  const std::string text = Text(4 * kSealedChunkBytes);
  EXPECT_EQ(writer.Append(text).code(), Code::kNoSpace);
  EXPECT_EQ(writer.Append("more").code(), Code::kNoSpace);
  EXPECT_EQ(writer.Finish().code(), Code::kNoSpace);
  EXPECT_EQ(calls, 3) << "nothing follows a failure";

  const std::string file = Seal(text, *key);
  auto whole = SourceOf(file);
  std::size_t given = 0;
  auto reader = SealedReader::Open(*key, [&](char* buffer, std::size_t size) {
    if (given > kWhole) return Result<std::size_t>(Status(Code::kIOError, "gone"));
    Result<std::size_t> got = whole(buffer, size);
    given += *got;
    return got;
  });
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->Next().code(), Code::kOk);
  EXPECT_EQ((*reader)->Next().code(), Code::kIOError);
  EXPECT_EQ((*reader)->Next().code(), Code::kIOError);
}

}  // namespace
}  // namespace raftkv::storage
