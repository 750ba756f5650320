// What is a key of encryption, where does it come from, and what is made of it?
//
// The 32 bytes of a key file are used for nothing but to derive other keys from (HMAC-SHA256 of a
// label), so that no two uses share one. Keys are wiped from memory when they end.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "lib/node/ports.h"

namespace raftkv::storage {

/// A page that is left out of core dumps, and wiped when it ends.
class SecretPage {
 public:
  SecretPage();
  ~SecretPage();
  SecretPage(const SecretPage&) = delete;
  SecretPage& operator=(const SecretPage&) = delete;

  [[nodiscard]] unsigned char* data() const { return bytes_; }

 private:
  unsigned char* bytes_;
};

class Secret {
 public:
  static constexpr std::size_t kBytes = 32;

  /// `bytes`: kBytes of them; the caller wipes its copy.
  explicit Secret(const unsigned char* bytes);
  /// What `parent` gives for `label` and `salt`.
  Secret(const Secret& parent, std::string_view label, std::string_view salt);
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  [[nodiscard]] const unsigned char* data() const { return page_.data(); }
  /// 16 bytes that nobody finds for `text` without this key.
  [[nodiscard]] std::string Seal(std::string_view text) const;

 private:
  const SecretPage page_;
};

inline constexpr std::size_t kSealBytes = 16;

/// A key file holds 32 raw bytes, or 64 hexadecimal digits and perhaps the end of the line. Warns
/// where others may read it. InvalidArgument: it cannot be read, or holds something else.
Result<std::shared_ptr<const Secret>> ReadKeyFile(const std::string& path,
                                                  const node::LogSink& sink);

/// Of a path that may be empty: then there is no key, and null is returned.
Result<std::shared_ptr<const Secret>> ReadKeyFileIfAny(const std::string& path,
                                                       const node::LogSink& sink);

/// `count` bytes of the system's entropy.
std::string DrawBytes(std::size_t count);

}  // namespace raftkv::storage
