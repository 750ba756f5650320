#include "storage/backup/sealed_stream.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "storage/cipher/sealed_file.h"

namespace raftkv::storage {

namespace {

class SealingSink final : public ByteSink {
 public:
  SealingSink(std::unique_ptr<ByteSink> to, std::shared_ptr<const Secret> key)
      : to_(std::move(to)),
        key_(std::move(key)),
        writer_(*key_, [this](std::string_view sealed) { return to_->Write(sealed); }) {}

  Status Write(std::string_view bytes) override { return writer_.Append(bytes); }
  Status Finish() override {
    if (Status finished = writer_.Finish(); !finished.ok()) return finished;
    return to_->Finish();
  }

 private:
  const std::unique_ptr<ByteSink> to_;
  const std::shared_ptr<const Secret> key_;
  SealedWriter writer_;
};

/// What was read of a file to see what it is, and then the rest of it.
class Rewound final : public ByteSource {
 public:
  Rewound(std::string begin, std::unique_ptr<ByteSource> rest)
      : begin_(std::move(begin)), rest_(std::move(rest)) {}

  Result<std::size_t> Read(char* to, std::size_t size) override {
    if (at_ == begin_.size()) return rest_->Read(to, size);
    const std::size_t count = std::min(size, begin_.size() - at_);
    std::copy_n(begin_.data() + at_, count, to);
    at_ += count;
    return count;
  }

 private:
  const std::string begin_;
  const std::unique_ptr<ByteSource> rest_;
  std::size_t at_ = 0;
};

class UnsealingSource final : public ByteSource {
 public:
  UnsealingSource(std::shared_ptr<const Secret> key, std::unique_ptr<SealedReader> reader)
      : key_(std::move(key)), reader_(std::move(reader)) {}

  Result<std::size_t> Read(char* to, std::size_t size) override {
    if (left_.empty()) {
      const Result<std::string_view> next = reader_->Next();
      if (!next.ok()) return next.status();
      left_ = *next;
    }
    const std::size_t count = std::min(size, left_.size());
    std::copy_n(left_.data(), count, to);
    left_.remove_prefix(count);
    return count;
  }

 private:
  const std::shared_ptr<const Secret> key_;
  const std::unique_ptr<SealedReader> reader_;
  std::string_view left_;
};

/// Up to `size` bytes; fewer only at the end.
Result<std::string> ReadBegin(ByteSource& source, std::size_t size) {
  std::string begin(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const Result<std::size_t> read = source.Read(begin.data() + have, size - have);
    if (!read.ok()) return read.status();
    if (*read == 0) break;
    have += *read;
  }
  begin.resize(have);
  return begin;
}

}  // namespace

std::unique_ptr<ByteSink> SealTo(std::unique_ptr<ByteSink> to, std::shared_ptr<const Secret> key) {
  return std::make_unique<SealingSink>(std::move(to), std::move(key));
}

Result<std::unique_ptr<ByteSource>> OpenMaybeSealed(rocksdb::Env& env, const std::string& path,
                                                    const std::shared_ptr<const Secret>& key,
                                                    KeepGoing keep_going) {
  Result<std::unique_ptr<ByteSource>> file = OpenFileSource(env, path, std::move(keep_going));
  if (!file.ok()) return file.status();
  Result<std::string> begin = ReadBegin(**file, kSealedHeaderBytes);
  if (!begin.ok()) return begin.status();
  const bool sealed = IsSealed(*begin);
  auto whole = std::make_unique<Rewound>(*std::move(begin), *std::move(file));
  if (!sealed) return std::unique_ptr<ByteSource>(std::move(whole));
  if (key == nullptr) {
    return Status(Code::kPermissionDenied,
                  path + " is encrypted: name its key with --encryption-key-file");
  }
  // std::function wants what it holds to be copyable.
  const std::shared_ptr<ByteSource> shared = std::move(whole);
  Result<std::unique_ptr<SealedReader>> reader = SealedReader::Open(
      *key, [shared](char* to, std::size_t size) { return shared->Read(to, size); });
  if (!reader.ok()) return Status(reader.code(), path + ": " + reader.status().message());
  return std::unique_ptr<ByteSource>(std::make_unique<UnsealingSource>(key, *std::move(reader)));
}

}  // namespace raftkv::storage
