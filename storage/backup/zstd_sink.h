// How do the bytes of a backup become fewer on their way to the file?
#pragma once

#include <zstd.h>

#include <memory>
#include <string>
#include <string_view>

#include "storage/backup/byte_stream.h"

namespace raftkv::storage {

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

}  // namespace raftkv::storage
