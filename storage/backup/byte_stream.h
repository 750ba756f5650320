// Where do the bytes of a backup go to and come from?
//
// A file, or something that changes the bytes on their way to or from one. Each is used by one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <rocksdb/env.h>

#include <raftkv/status.h>

namespace raftkv::storage {

/// A backup is read, compressed and verified in pieces of this size.
inline constexpr std::size_t kPieceBytes = 1 << 20;
/// How often a pipe that keeps us waiting is given up or waited for again.
inline constexpr int kLookEveryMs = 100;

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

/// Asked before each step and, where a pipe keeps us waiting, again and again, with the bytes that
/// were read or written so far. False: it is to be given up (Cancelled). May be empty.
using KeepGoing = std::function<bool(std::uint64_t bytes)>;

/// The file is made, or emptied.
Result<std::unique_ptr<ByteSink>> OpenFileSink(rocksdb::Env& env, const std::string& path);
/// `path` may be a pipe or a device as well, which may be silent, or have no end.
Result<std::unique_ptr<ByteSource>> OpenFileSource(rocksdb::Env& env, const std::string& path,
                                                   KeepGoing keep_going);
/// "could not `doing`: No space left on device": `error` is an errno.
Status SystemStatus(const std::string& doing, int error);

/// Whether it could be opened, which it is not: whoever writes to a pipe would learn of it.
Status CheckFileSource(rocksdb::Env& env, const std::string& path);

}  // namespace raftkv::storage
