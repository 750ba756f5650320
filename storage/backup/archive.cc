#include "storage/backup/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "storage/backup/archive_trailer.h"

namespace raftkv::storage {

namespace {

constexpr unsigned kModeOfFiles = 0600;

Status Unusable(const std::string& what, ::archive* archive) {
  const char* why = archive_error_string(archive);
  return Status(Code::kIOError, what + ": " + (why == nullptr ? "no memory" : why));
}

struct EndWrite {
  void operator()(::archive* archive) const { archive_write_free(archive); }
};
struct EndRead {
  void operator()(::archive* archive) const { archive_read_free(archive); }
};
struct EndEntry {
  void operator()(::archive_entry* entry) const { archive_entry_free(entry); }
};

/// Fast, and all that is left to gain: tables are compressed already.
constexpr int kLevel = 1;
/// The table in which it looks for what came before stays in the nearest cache of a processor with
/// 16 KiB. Four times that, the default, takes half as long again and saves 2 % of text.
constexpr int kHashLog = 12;
/// The most in one frame.
constexpr std::size_t kFrameBytes = ZSTD_COMPRESSBOUND(kPieceBytes);

/// Each piece that comes becomes a frame of zstd of its own: it is compressed where it lies, copied
/// nowhere. zstd reads one frame after the other as one stream.
class ZstdSink final : public ByteSink {
 public:
  /// Borrowed.
  explicit ZstdSink(ByteSink& sink);
  Status Write(std::string_view bytes) override;
  Status Finish() override { return sink_.Finish(); }

 private:
  struct EndContext {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };

  ByteSink& sink_;
  const std::unique_ptr<ZSTD_CCtx, EndContext> context_;
  const std::unique_ptr<char[]> frame_;
};

ZstdSink::ZstdSink(ByteSink& sink)
    : sink_(sink), context_(ZSTD_createCCtx()), frame_(new char[kFrameBytes]) {
  RAFTKV_CHECK(context_ != nullptr);
  for (const auto& [parameter, value] :
       {std::pair{ZSTD_c_compressionLevel, kLevel}, std::pair{ZSTD_c_hashLog, kHashLog}}) {
    const std::size_t set = ZSTD_CCtx_setParameter(context_.get(), parameter, value);
    RAFTKV_CHECK(ZSTD_isError(set) == 0, ZSTD_getErrorName(set));
  }
}

Status ZstdSink::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPieceBytes);
    const std::size_t size =
        ZSTD_compress2(context_.get(), frame_.get(), kFrameBytes, piece.data(), piece.size());
    if (ZSTD_isError(size) != 0) {
      return Status(Code::kIOError,
                    std::string("could not compress the archive: ") + ZSTD_getErrorName(size));
    }
    if (Status written = sink_.Write({frame_.get(), size}); !written.ok()) return written;
    bytes.remove_prefix(piece.size());
  }
  return Status::Ok();
}

class TarWriter final : public ArchiveWriter {
 public:
  TarWriter(ByteSink& sink, std::int64_t modified_s)
      : sink_(sink), compress_(sink_), modified_s_(modified_s), archive_(archive_write_new()) {}
  // Unless it was finished, what is buffered goes nowhere.
  ~TarWriter() override {
    if (!finished_ && failure_.ok()) failure_ = Status(Code::kCancelled, "it is incomplete");
  }

  Status Begin() {
    ::archive* const out = archive_.get();
    const bool ready =
        out != nullptr && archive_write_set_format_pax_restricted(out) == ARCHIVE_OK &&
        // What comes goes on as it is, without a copy.
        archive_write_set_bytes_per_block(out, 0) == ARCHIVE_OK &&
        archive_write_open2(out, this, nullptr, &TarWriter::OnBytes, nullptr, nullptr) ==
            ARCHIVE_OK;
    return ready ? Status::Ok() : Unusable("libarchive cannot write tar", out);
  }

  Status BeginFile(const std::string& name, std::uint64_t size) override {
    if (!failure_.ok()) return failure_;
    RAFTKV_CHECK(left_ == 0, left_);
    const std::unique_ptr<::archive_entry, EndEntry> entry(archive_entry_new());
    RAFTKV_CHECK(entry != nullptr);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), kModeOfFiles);
    archive_entry_set_mtime(entry.get(), static_cast<time_t>(modified_s_), 0);
    left_ = size;
    return Outcome(archive_write_header(archive_.get(), entry.get()) == ARCHIVE_OK);
  }

  Status Write(std::string_view bytes) override {
    if (!failure_.ok()) return failure_;
    RAFTKV_CHECK(bytes.size() <= left_, bytes.size(), left_);
    left_ -= bytes.size();
    while (!bytes.empty()) {
      const la_ssize_t written = archive_write_data(archive_.get(), bytes.data(), bytes.size());
      if (written <= 0) return Outcome(false);
      bytes.remove_prefix(static_cast<std::size_t>(written));
      if (!failure_.ok()) return failure_;
    }
    return Status::Ok();
  }

  Status Finish() override {
    if (!failure_.ok()) return failure_;
    RAFTKV_CHECK(left_ == 0, left_);
    const Status closed = Outcome(archive_write_close(archive_.get()) == ARCHIVE_OK);
    if (!closed.ok()) return closed;
    finished_ = true;
    return compress_.Finish();
  }

  [[nodiscard]] std::uint64_t bytes() const override { return sink_.bytes(); }

 private:
  /// libarchive is not told of a failure: it would not free what it has buffered then.
  static la_ssize_t OnBytes(::archive*, void* self, const void* bytes, std::size_t size) {
    auto* const writer = static_cast<TarWriter*>(self);
    if (writer->failure_.ok()) {
      writer->failure_ = writer->compress_.Write({static_cast<const char*>(bytes), size});
    }
    return static_cast<la_ssize_t>(size);
  }

  /// The sink knows better why it failed.
  Status Outcome(bool ok) {
    if (!ok && failure_.ok()) failure_ = Unusable("could not write the archive", archive_.get());
    return failure_;
  }

  TrailerSink sink_;
  ZstdSink compress_;  // into sink_
  const std::int64_t modified_s_;
  Status failure_;
  std::uint64_t left_ = 0;  ///< of the present file
  bool finished_ = false;
  std::unique_ptr<::archive, EndWrite> archive_;  // ends first: it may still write
};

class TarReader final : public ArchiveReader {
 public:
  explicit TarReader(ByteSource& source) : source_(source), archive_(archive_read_new()) {}

  Status Begin() {
    ::archive* const in = archive_.get();
    const bool ready = in != nullptr && archive_read_support_filter_zstd(in) == ARCHIVE_OK &&
                       archive_read_support_format_tar(in) == ARCHIVE_OK &&
                       archive_read_set_callback_data(in, this) == ARCHIVE_OK &&
                       archive_read_set_read_callback(in, &TarReader::OnWanted) == ARCHIVE_OK;
    if (!ready) return Unusable("libarchive cannot read tar with zstd", in);
    return archive_read_open1(in) == ARCHIVE_OK ? Status::Ok() : Failed();
  }

  Result<std::optional<File>> NextFile() override {
    if (!failure_.ok()) return failure_;
    ::archive_entry* entry = nullptr;
    const int outcome = archive_read_next_header(archive_.get(), &entry);
    if (outcome == ARCHIVE_EOF) return End();
    if (outcome != ARCHIVE_OK) return Failed();
    const char* const name = archive_entry_pathname(entry);
    const bool plain = name != nullptr && archive_entry_filetype(entry) == AE_IFREG &&
                       archive_entry_size_is_set(entry) != 0 && archive_entry_size(entry) >= 0 &&
                       archive_entry_hardlink(entry) == nullptr &&
                       archive_entry_symlink(entry) == nullptr;
    if (!plain) return Fail({Code::kCorruption, "it contains something other than files"});
    return std::optional<File>(File{name, static_cast<std::uint64_t>(archive_entry_size(entry))});
  }

  Result<std::size_t> Read(char* to, std::size_t size) override {
    if (!failure_.ok()) return failure_;
    const la_ssize_t read = archive_read_data(archive_.get(), to, size);
    if (read < 0) return Failed();
    return static_cast<std::size_t>(read);
  }

  [[nodiscard]] std::uint64_t bytes() const override { return source_.bytes(); }

 private:
  static la_ssize_t OnWanted(::archive* archive, void* self, const void** bytes) {
    auto* const reader = static_cast<TarReader*>(self);
    const Result<std::string_view> piece = reader->source_.Next();
    if (!piece.ok()) {
      reader->failure_ = piece.status();
      archive_set_error(archive, EIO, "no more bytes");
      return ARCHIVE_FATAL;
    }
    *bytes = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }

  /// libarchive may stop before the last bytes: they count as well.
  Result<std::optional<File>> End() {
    while (true) {
      const Result<std::string_view> piece = source_.Next();
      if (!piece.ok()) return Fail(piece.status());
      if (piece->empty()) return std::optional<File>();
    }
  }

  Status Fail(Status why) {
    failure_ = std::move(why);
    return failure_;
  }

  /// The source knows better why; libarchive is only told that something is wrong.
  Status Failed() {
    if (!failure_.ok()) return failure_;
    const char* const why = archive_error_string(archive_.get());
    return Fail(
        {Code::kCorruption, std::string("it is damaged, truncated, or not a raftkv backup (") +
                                (why == nullptr ? "unreadable" : why) + ")"});
  }

  TrailerSource source_;
  Status failure_;
  std::unique_ptr<::archive, EndRead> archive_;
};

}  // namespace

Result<std::unique_ptr<ArchiveWriter>> ArchiveWriter::Open(ByteSink& sink,
                                                           std::int64_t modified_s) {
  auto writer = std::make_unique<TarWriter>(sink, modified_s);
  if (Status begun = writer->Begin(); !begun.ok()) return begun;
  return std::unique_ptr<ArchiveWriter>(std::move(writer));
}

Result<std::unique_ptr<ArchiveReader>> ArchiveReader::Open(ByteSource& source) {
  auto reader = std::make_unique<TarReader>(source);
  if (Status begun = reader->Begin(); !begun.ok()) return begun;
  return std::unique_ptr<ArchiveReader>(std::move(reader));
}

}  // namespace raftkv::storage
