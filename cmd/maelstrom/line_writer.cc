#include "cmd/maelstrom/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace raftkv::cmd::maelstrom {

namespace {

constexpr std::chrono::seconds kLastWords(1);
constexpr int kLookEveryMs = 100;
/// poll() promises that a pipe takes so much without waiting (PIPE_BUF).
constexpr std::size_t kPortion = 4096;

}  // namespace

LineWriter::LineWriter(int fd) : fd_(fd), thread_([this] { Run(); }) {}

LineWriter::~LineWriter() { static_cast<void>(Finish()); }

Status LineWriter::Finish() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    give_up_at_ = std::chrono::steady_clock::now() + kLastWords;
  }
  changed_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  return Failure();
}

Status LineWriter::Failure() {
  const MutexLock lock(mutex_);
  if (error_ == 0) return Status::Ok();
  return {Code::kIOError,
          "stdout cannot be written to: " + std::generic_category().message(error_)};
}

void LineWriter::Write(std::string line, std::size_t max_bytes) {
  const MutexLock lock(mutex_);
  if (broken_ || stopping_ || waiting_.size() + line.size() >= max_bytes) return;
  const bool was_empty = waiting_.empty();
  waiting_ += line;
  waiting_ += '\n';
  if (was_empty) changed_.NotifyOne();
}

void LineWriter::Run() {
  MutexLock lock(mutex_);
  while (!broken_) {
    while (!stopping_ && waiting_.empty()) changed_.Wait(lock);
    if (waiting_.empty()) return;
    const std::string bytes = std::exchange(waiting_, {});
    lock.Unlock();
    const bool written = WriteAll(bytes);
    lock.Lock();
    broken_ = broken_ || !written;
  }
}

bool LineWriter::GivesUp() {
  const MutexLock lock(mutex_);
  return stopping_ && std::chrono::steady_clock::now() >= give_up_at_;
}

bool LineWriter::Fail(int error) {
  const MutexLock lock(mutex_);
  error_ = error;
  return false;
}

bool LineWriter::WriteAll(const std::string& bytes) {
  for (std::size_t offset = 0; offset < bytes.size();) {
    pollfd writable{fd_, POLLOUT, 0};
    const int ready = poll(&writable, 1, kLookEveryMs);
    if (ready < 0 && errno != EINTR) return Fail(errno);
    if (ready <= 0) {
      if (GivesUp()) return false;
      continue;
    }
    const std::size_t size = std::min(bytes.size() - offset, kPortion);
    const ssize_t written = write(fd_, bytes.data() + offset, size);
    if (written < 0 && errno != EINTR && errno != EAGAIN) return Fail(errno);
    if (written > 0) offset += static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace raftkv::cmd::maelstrom
