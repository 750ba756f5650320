#include "cmd/input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace raftkv::cmd {
namespace {

constexpr std::size_t kPieceBytes = 64 << 10;

Status Unreadable(int error) {
  return Status(Code::kIOError, "cannot be read: " + std::generic_category().message(error));
}

}  // namespace

Result<std::string> ReadToEnd(int file, std::size_t max_bytes) {
  std::string content;
  while (content.size() <= max_bytes) {
    const std::size_t before = content.size();
    content.resize(before + std::min(kPieceBytes, max_bytes + 1 - before));
    const ssize_t got = read(file, content.data() + before, content.size() - before);
    const int error = got < 0 ? errno : 0;
    content.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) break;
    if (error == EAGAIN) {  // whoever shares it with us does not want to wait; we do
      pollfd readable{file, POLLIN, 0};
      poll(&readable, 1, -1);
    } else if (error != 0 && error != EINTR) {
      return Unreadable(error);
    }
  }
  return content;
}

Result<std::string> ReadWholeFile(const std::string& path, std::size_t max_bytes) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Unreadable(errno);
  Result<std::string> content = ReadToEnd(file, max_bytes);
  close(file);
  return content;
}

}  // namespace raftkv::cmd
