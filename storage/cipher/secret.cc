#include "storage/cipher/secret.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <system_error>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/check.h"

namespace raftkv::storage {

namespace {

/// HMAC-SHA256.
void Hmac(const unsigned char* key, std::string_view text, unsigned char* out) {
  unsigned int size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), key, static_cast<int>(Secret::kBytes),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), out, &size);
  RAFTKV_CHECK(made != nullptr);
  RAFTKV_CHECK(size == Secret::kBytes, size);
}

/// What stands in a key file, wiped when it ends.
struct KeyText {
  KeyText() = default;
  KeyText(const KeyText&) = delete;
  KeyText& operator=(const KeyText&) = delete;

  static constexpr std::size_t kMostBytes = 128;
  const SecretPage bytes;
  std::size_t size = 0;
};

/// -1: no hexadecimal digit.
int DigitOf(unsigned char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Status BadKeyFile(const std::string& path, const std::string& why) {
  return Status(Code::kInvalidArgument, "key file " + path + ": " + why);
}

/// The error, or 0. Reads a little more than any key file has.
int ReadKeyText(const std::string& path, KeyText& text, mode_t& mode) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  struct stat about {};
  int error = fstat(file, &about) == 0 ? 0 : errno;
  mode = about.st_mode;
  while (error == 0 && text.size < KeyText::kMostBytes) {
    const ssize_t got = read(file, text.bytes.data() + text.size, KeyText::kMostBytes - text.size);
    if (got == 0) break;
    if (got > 0) text.size += static_cast<std::size_t>(got);
    if (got < 0 && errno != EINTR) error = errno;
  }
  close(file);
  return error;
}

/// False: these are no hexadecimal digits of a key.
bool DecodeHex(const KeyText& text, unsigned char* key) {
  std::size_t size = text.size;
  if (size > 0 && text.bytes.data()[size - 1] == '\n') --size;
  if (size < text.size && size > 0 && text.bytes.data()[size - 1] == '\r') --size;
  if (size != 2 * Secret::kBytes) return false;
  for (std::size_t i = 0; i < Secret::kBytes; ++i) {
    const int high = DigitOf(text.bytes.data()[2 * i]);
    const int low = DigitOf(text.bytes.data()[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    key[i] = static_cast<unsigned char>(high * 16 + low);
  }
  return true;
}

}  // namespace

namespace {

std::size_t PageBytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

SecretPage::SecretPage()
    : bytes_(new (std::align_val_t(PageBytes())) unsigned char[PageBytes()]()) {
  // A kernel that does not know it dumps the page: no reason to be without encryption.
  static_cast<void>(madvise(bytes_, PageBytes(), MADV_DONTDUMP));
}

SecretPage::~SecretPage() {
  OPENSSL_cleanse(bytes_, PageBytes());
  static_cast<void>(madvise(bytes_, PageBytes(), MADV_DODUMP));
  operator delete[](bytes_, std::align_val_t(PageBytes()));
}

Secret::Secret(const unsigned char* bytes) { std::copy_n(bytes, kBytes, page_.data()); }

Secret::Secret(const Secret& parent, std::string_view label, std::string_view salt) {
  Hmac(parent.data(), std::string(label).append(salt), page_.data());
}

std::string Secret::Seal(std::string_view text) const {
  std::array<unsigned char, kBytes> whole{};
  Hmac(page_.data(), text, whole.data());
  return {reinterpret_cast<const char*>(whole.data()), kSealBytes};
}

Result<std::shared_ptr<const Secret>> ReadKeyFile(const std::string& path,
                                                  const node::LogSink& sink) {
  KeyText text;
  mode_t mode = 0;
  if (const int error = ReadKeyText(path, text, mode); error != 0) {
    return BadKeyFile(
        path, std::generic_category().message(error) + "; make one with: openssl rand -hex 32");
  }
  KeyText key;
  if (text.size == Secret::kBytes) {
    std::copy_n(text.bytes.data(), Secret::kBytes, key.bytes.data());
  } else if (!DecodeHex(text, key.bytes.data())) {
    const std::string size =
        text.size < KeyText::kMostBytes ? std::to_string(text.size) : "more than 100";
    return BadKeyFile(path, "it holds " + size +
                                " bytes that are not a key, which is 32 raw bytes or 64 "
                                "hexadecimal digits; make one with: openssl rand -hex 32");
  }
  if ((mode & (S_IRGRP | S_IROTH)) != 0 && sink) {
    sink(node::LogSeverity::kWarn,
         "key file " + path + " can be read by users other than its owner: chmod 600 " + path);
  }
  return std::make_shared<const Secret>(key.bytes.data());
}

Result<std::shared_ptr<const Secret>> ReadKeyFileIfAny(const std::string& path,
                                                       const node::LogSink& sink) {
  if (path.empty()) return std::shared_ptr<const Secret>();
  return ReadKeyFile(path, sink);
}

std::string DrawBytes(std::size_t count) {
  std::string bytes(count, '\0');
  // Up to 256 bytes come whole.
  RAFTKV_CHECK(count <= 256, count);
  const ssize_t got = getrandom(bytes.data(), count, 0);
  RAFTKV_CHECK(got == static_cast<ssize_t>(count), got);
  return bytes;
}

}  // namespace raftkv::storage
