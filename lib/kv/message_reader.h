// How are the bytes of a Cap'n Proto message read that may come from anybody?
//
// Every byte of a message may be read about once: pointers that overlap, or lists that claim more
// than was sent, end in an error instead of work without bound. What is accepted depends on the
// bytes alone, so a message that one member accepted is accepted by all.
#pragma once

#include <cstring>
#include <string_view>
#include <vector>

#include <capnp/serialize.h>
#include <kj/exception.h>

#include <raftkv/status.h>

#include "lib/kv/message_builder.h"

namespace raftkv::kv {

/// Keeps a copy of the message where the original is not aligned; may be used again and again.
class MessageBytes {
 public:
  /// What is returned borrows `bytes` or this object.
  kj::ArrayPtr<const capnp::word> Align(std::string_view bytes) {
    const std::size_t words = bytes.size() / kWordBytes;
    if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(capnp::word) == 0) {
      return kj::arrayPtr(reinterpret_cast<const capnp::word*>(bytes.data()), words);
    }
    copy_.resize(words);
    if (words > 0) std::memcpy(copy_.data(), bytes.data(), words * kWordBytes);
    return kj::arrayPtr(reinterpret_cast<const capnp::word*>(copy_.data()), words);
  }

 private:
  std::vector<std::uint64_t> copy_;
};

/// Calls `visit(Root::Reader)`, which returns a Status and reads each field at most once. `what`
/// is the message's name in the error: InvalidArgument if it is malformed.
template <class Root, class Visit>
Status ReadMessage(std::string_view bytes, MessageBytes& storage, const char* what,
                   const Visit& visit) {
  constexpr std::size_t kSlackWords = 64;
  constexpr int kNesting = 64;  // a transaction in another takes four
  const auto malformed = [what](std::string_view why) {
    return Status(Code::kInvalidArgument,
                  std::string("malformed ") + what + ": " + std::string(why.substr(0, 200)));
  };
  if (bytes.empty() || bytes.size() % kWordBytes != 0) {
    return malformed("its size is no multiple of 8 bytes");
  }
  try {
    const auto words = storage.Align(bytes);
    capnp::ReaderOptions options;
    options.traversalLimitInWords = words.size() + kSlackWords;
    options.nestingLimit = kNesting;
    capnp::FlatArrayMessageReader reader(words, options);
    if (reader.getEnd() != words.end()) return malformed("bytes follow after its end");
    return visit(reader.getRoot<Root>());
  } catch (const kj::Exception& exception) {
    const std::string why = exception.getDescription().cStr();
    return malformed(std::string_view(why).substr(0, why.find('\n')));
  }
}

}  // namespace raftkv::kv
