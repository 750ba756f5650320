#include "storage/disk/rocksdb_logger.h"

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <utility>

namespace raftkv::storage {

namespace {

node::LogSeverity SeverityOf(rocksdb::InfoLogLevel level) {
  switch (level) {
    case rocksdb::InfoLogLevel::WARN_LEVEL: return node::LogSeverity::kWarn;
    case rocksdb::InfoLogLevel::ERROR_LEVEL:
    case rocksdb::InfoLogLevel::FATAL_LEVEL: return node::LogSeverity::kError;
    default: return node::LogSeverity::kDebug;
  }
}

/// Each checkpoint counts who wants no file deleted, first up and then down, and RocksDB warns of
/// both although it is the only one that counts.
bool IsOrdinary(std::string_view text) {
  return text.find(kNoRoomToCompact) != std::string_view::npos ||
         text.find("File Deletions Disabled, but already disabled") != std::string_view::npos ||
         text.find("File Deletions Enable, but not really enabled") != std::string_view::npos;
}

class SinkLogger final : public rocksdb::Logger {
 public:
  SinkLogger(std::string what, node::LogSink sink)
      : rocksdb::Logger(rocksdb::InfoLogLevel::INFO_LEVEL),
        prefix_("rocksdb " + std::move(what) + ": "),
        sink_(std::move(sink)) {}
  ~SinkLogger() override {
    // The base class asserts that a logger was closed.
    const rocksdb::Status closed = Close();
    closed.PermitUncheckedError();
  }

  using rocksdb::Logger::Logv;
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (sink_ == nullptr || level < GetInfoLogLevel()) return;
    std::array<char, 2048> line;
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    if (length < 0) return;
    std::string text = prefix_ + line.data();
    for (char& c : text) {
      if (c == '\n' || c == '\r') c = ' ';
    }
    sink_(IsOrdinary(text) ? node::LogSeverity::kDebug : SeverityOf(level), text);
  }
  void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments);
  }

 protected:
  rocksdb::Status CloseImpl() override { return rocksdb::Status::OK(); }

 private:
  const std::string prefix_;
  const node::LogSink sink_;
};

}  // namespace

std::shared_ptr<rocksdb::Logger> NewRocksdbLogger(std::string what, node::LogSink sink) {
  return std::make_shared<SinkLogger>(std::move(what), std::move(sink));
}

}  // namespace raftkv::storage
