// Where do the bytes of a backup go to and come from?
//
// A file, or something that changes the bytes on their way to or from one. Each is used by one
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <rocksdb/env.h>

#include <raftkv/status.h>

namespace raftkv::storage {

class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual Status Write(std::string_view bytes) = 0;
  /// Nothing comes any more. Ok: all of it is durable (but not yet its name).
  virtual Status Finish() = 0;
};

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Up to `size` bytes into `to`; 0: the end.
  virtual Result<std::size_t> Read(char* to, std::size_t size) = 0;
};

/// The file is made, or emptied.
Result<std::unique_ptr<ByteSink>> OpenFileSink(rocksdb::Env& env, const std::string& path);
Result<std::unique_ptr<ByteSource>> OpenFileSource(rocksdb::Env& env, const std::string& path);

}  // namespace raftkv::storage
