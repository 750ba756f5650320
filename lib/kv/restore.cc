#include "lib/kv/restore.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/kv/arena.h"
#include "lib/kv/layout.h"
#include "lib/kv/record.h"

namespace raftkv::kv {
namespace {

constexpr std::size_t kConvertedBytes = 4 << 20;

Status NoPosition() { return {Code::kCorruption, "the backup does not say how far it is"}; }

/// Writes what stands in a database of format 1 as today's records.
class Converter {
 public:
  Converter(View& view, Engine& engine) : view_(view), engine_(engine) {}

  Status Run() {
    if (Status s = Position(); !s.ok()) return s;
    if (Status s = Visit(kDataPrefix, &Converter::Data); !s.ok()) return s;
    if (Status s = Visit(kSessionPrefix, &Converter::Session); !s.ok()) return s;
    if (Status s = Visit(kSessionFloorPrefix, &Converter::Floor); !s.ok()) return s;
    if (!floor_ms_.has_value()) return Write();
    std::string record(1, static_cast<char>(kRecordFormatVersion));
    AppendBigEndian64(record, *floor_ms_);
    Put(std::string(1, kSessionFloorPrefix), record);
    return Write();
  }

 private:
  using OfOne = Status (Converter::*)(std::string_view key, std::string_view record);

  Status Visit(char prefix, OfOne convert) {
    Status failure;
    const std::string begin(1, prefix);
    const std::string end(1, static_cast<char>(prefix + 1));
    Status scanned = view_.Scan(begin, end, [&](std::string_view key, std::string_view record) {
      failure = (this->*convert)(key, record);
      if (failure.ok() && arena_.used_bytes() > kConvertedBytes) failure = Write();
      return failure.ok();
    });
    return scanned.ok() ? failure : scanned;
  }

  Status Position() {
    const std::string key(1, kAppliedPrefix);
    const auto record = view_.Get(key);
    if (!record.ok()) return record.status();
    if (!record->has_value() || (*record)->empty()) return NoPosition();
    const auto position = DecodePosition(**record, /*oldest_version=*/1);
    if (!position.ok()) return position.status();
    Put(key, EncodePosition(*position));
    return Status::Ok();
  }

  Status Data(std::string_view key, std::string_view record) {
    const auto data = DecodeDataRecordOfFormat1(record);
    if (!data.ok()) return data.status();
    char header[kMaxDataHeaderBytes];
    std::string converted(header, EncodeDataHeader(data->counts, header));
    converted += data->value;
    Put(key, converted, data->counts.mod_revision);
    return Status::Ok();
  }

  /// Its stored answers are of another format. It is dropped as if to make room: a late retry under
  /// it is refused.
  Status Session(std::string_view /*key*/, std::string_view record) {
    return NoteFloor(record, "a session");
  }

  Status Floor(std::string_view /*key*/, std::string_view record) {
    return NoteFloor(record, "the session floor");
  }

  /// Both kinds of records begin with when a session was opened.
  Status NoteFloor(std::string_view record, const char* what) {
    const bool of_format_1 = !record.empty() && record.front() == 1;
    if (of_format_1) record.remove_prefix(1);
    const auto opened_at_ms = of_format_1 ? TakeBigEndian64(record) : std::nullopt;
    if (!opened_at_ms.has_value()) {
      return {Code::kCorruption, std::string("the record of ") + what + " is damaged"};
    }
    floor_ms_ = std::max(floor_ms_.value_or(0), *opened_at_ms);
    return Status::Ok();
  }

  void Put(std::string_view key, std::string_view record, std::uint64_t revision = 0) {
    mutations_.push_back(
        {.key = arena_.Copy(key), .value = arena_.Copy(record), .revision = revision});
  }

  Status Write() {
    Status written = engine_.Write(mutations_);
    mutations_.clear();
    arena_.Reset();
    return written;
  }

  View& view_;
  Engine& engine_;
  Arena arena_;
  std::vector<Mutation> mutations_;
  std::optional<std::uint64_t> floor_ms_;
};

}  // namespace

Status ConvertFormat1(View& backup, Engine& engine) { return Converter(backup, engine).Run(); }

Status BeginFromBackup(Engine& engine) {
  const std::string key(1, kAppliedPrefix);
  const auto record = engine.NewView(ReadTier::kAll)->Get(key);
  if (!record.ok()) return record.status();
  if (!record->has_value() || (*record)->empty()) return NoPosition();
  auto position = DecodePosition(**record);
  if (!position.ok()) return position.status();
  if (position->revision > UINT64_MAX - kRestoreJump) {
    return {Code::kCorruption, "the revision of the backup makes no sense"};
  }
  position->revision += kRestoreJump;
  position->compacted = position->revision;
  const std::string encoded = EncodePosition(*position);
  return engine.Write({{.key = key, .value = encoded}});
}

}  // namespace raftkv::kv
