#include "tests/support/maelstrom/maelstrom_child.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {

Child::Child(std::vector<std::string> command,
             const std::map<std::string, std::string>& environment) {
  std::signal(SIGPIPE, SIG_IGN);  // a program that died is noticed by what it no longer says
  std::array<int, 3> theirs = {};
  for (std::size_t stream = 0; stream < 3; ++stream) {
    std::array<int, 2> ends = {};
    RAFTKV_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, errno);
    const std::size_t ours = stream == 0 ? 1 : 0;
    files_.at(stream) = ends.at(ours);
    theirs.at(stream) = ends.at(1 - ours);
    RAFTKV_CHECK(fcntl(files_.at(stream), F_SETFL, O_NONBLOCK) == 0, errno);
  }
  ProcessOptions options;
  options.command = std::move(command);
  options.environment = environment;
  options.files = theirs;
  process_ = std::make_unique<Process>(std::move(options));
  for (const int file : theirs) close(file);
}

Child::~Child() {
  process_->Kill();
  for (std::size_t stream = 0; stream < 3; ++stream) Close(stream);
}

void Child::WriteLine(std::string_view line) {
  if (files_[0] < 0 || closing_) return;
  unwritten_ += line;
  unwritten_ += '\n';
  Flush();
}

void Child::CloseInput() {
  closing_ = true;
  Flush();
}

void Child::Flush() {
  while (files_[0] >= 0 && written_ < unwritten_.size()) {
    const ssize_t count =
        write(files_[0], unwritten_.data() + written_, unwritten_.size() - written_);
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      Close(0);
      return;
    }
    written_ += static_cast<std::size_t>(count);
  }
  unwritten_.clear();
  written_ = 0;
  if (closing_) Close(0);
}

std::array<pollfd, 3> Child::Polled() const {
  const bool writes = written_ < unwritten_.size();
  return {{{writes ? files_[0] : -1, POLLOUT, 0}, {files_[1], POLLIN, 0}, {files_[2], POLLIN, 0}}};
}

std::vector<std::string> Child::Read(std::size_t stream) {
  constexpr std::size_t kMostAtOnce = 1 << 20;
  constexpr std::size_t kMostKept = 8 << 10;
  std::vector<std::string> lines;
  std::array<char, 64 << 10> buffer;
  std::size_t total = 0;
  while (files_.at(stream) >= 0 && total < kMostAtOnce) {
    const ssize_t count = read(files_.at(stream), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count <= 0) {
      Close(stream);
      break;
    }
    total += static_cast<std::size_t>(count);
    std::string_view text(buffer.data(), static_cast<std::size_t>(count));
    if (stream == 2) {
      last_stderr_ += text;
      if (last_stderr_.size() > 2 * kMostKept) {
        last_stderr_.erase(0, last_stderr_.size() - kMostKept);
      }
    }
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
      std::string& line = read_.at(stream);
      line += text.substr(0, end);
      lines.push_back(std::exchange(line, {}));
      text.remove_prefix(end + 1);
    }
    read_.at(stream) += text;
  }
  return lines;
}

void Child::Close(std::size_t stream) {
  if (files_.at(stream) >= 0) close(files_.at(stream));
  files_.at(stream) = -1;
}

}  // namespace raftkv::test::maelstrom
