// What does a read answer?
#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/arena.h"
#include "lib/kv/command.capnp.h"
#include "lib/kv/held_views.h"
#include "lib/kv/layout.h"
#include "lib/kv/parse.h"
#include "lib/kv/record.h"
#include "lib/kv/revisions.h"
#include "lib/kv/settings.h"
#include "lib/kv/store.h"

namespace raftkv::kv {
namespace {

/// What a record is at least counted for where the visited ones are bounded: a step to it costs
/// about as much as this many bytes.
constexpr std::size_t kVisitBytes = 256;

constexpr std::string_view kViewGone =
    "the state that the scan reads from is not kept any more (this member was restarted or is not "
    "the one that answered before, or the next page was asked for too late): begin the scan again";

struct Pair {
  std::string_view key;
  std::string_view value;
  Counts counts;
};

struct Found {
  std::vector<Pair> pairs;
  std::vector<std::pair<std::string, std::string>> settings;
  std::uint64_t count = 0;
  bool more = false;
  bool at_limit = false;  ///< that is where it ended
};

/// Answers the reads of one request; they share the room of the answer and the work.
///
/// A read that would do more than what is left of the work ends there and says `more`; one that
/// only counts cannot be answered by halves and is left out. The first read always gets on, and
/// counts to its end however many keys there are: so a client that asks again for what was left out
/// always gets all answers, and a request's work is that of one count or bounded.
class Reader {
 public:
  Reader(View& view, std::size_t max_bytes, std::size_t max_visited_bytes)
      : view_(view), left_bytes_(max_bytes), max_visited_bytes_(max_visited_bytes) {}

  Status Run(const ParsedRead& read) {
    // Later reads of a full answer say `more` and are asked again; the first always gets on.
    first_ = found_.empty();
    Found& found = found_.emplace_back();
    if (visited_bytes_ > max_visited_bytes_) {
      found.more = true;
      return Status::Ok();
    }
    if (read.settings) return Show(found);
    if (read.range.kind == Range::Kind::kSingle) return Get(read, found);
    return Scan(read, found);
  }

  [[nodiscard]] const std::vector<Found>& found() const { return found_; }
  /// An upper bound of the words of all results.
  [[nodiscard]] std::size_t words() const { return words_; }

 private:
  Status Show(Found& found) {
    const auto settings = LoadSettings(view_);
    if (!settings.ok()) return settings.status();
    found.settings = ShowSettings(*settings);
    found.count = found.settings.size();
    for (const auto& [name, value] : found.settings) {
      words_ +=
          capnp::sizeInWords<wire::Setting>() + TextWords(name.size()) + TextWords(value.size());
    }
    return Status::Ok();
  }

  static std::uint64_t RevisionOf(const ParsedRead& read) {
    return read.revision == 0 ? kLatestRevision : read.revision;
  }

  Status Get(const ParsedRead& read, Found& found) {
    const auto record = view_.GetAt(DataKey(read.range.begin), RevisionOf(read));
    if (!record.ok()) return record.status();
    if (!record->has_value()) {
      visited_bytes_ += kVisitBytes;
      return Status::Ok();
    }
    Status status;
    Add(read, found, read.range.begin, **record, status);
    return status;
  }

  Status Scan(const ParsedRead& read, Found& found) {
    const EngineRange range = DataRange(read.range);
    if (range.begin >= range.end) return Status::Ok();
    Status damage;
    const auto visit = [&](std::string_view key, std::string_view record) {
      return Add(read, found, key.substr(1), record, damage);
    };
    Status status = view_.ScanAt(range.begin, range.end, RevisionOf(read), visit);
    return status.ok() ? damage : status;
  }

  /// False: no more of this read.
  bool Add(const ParsedRead& read, Found& found, std::string_view key, std::string_view record,
           Status& damage) {
    if (read.limit != 0 && found.count >= read.limit) {
      found.more = true;
      found.at_limit = true;
      return false;
    }
    visited_bytes_ += kVisitBytes + key.size() + record.size();
    const bool too_much = visited_bytes_ > max_visited_bytes_;
    if (read.count_only) {
      ++found.count;
      if (!too_much || first_) return true;
      found = {};
      found.more = true;
      return false;
    }
    const auto data = DecodeDataRecord(record);
    if (!data.ok()) {
      damage = data.status();
      return false;
    }
    const std::string_view value = read.keys_only ? std::string_view() : data->value;
    const std::size_t words =
        capnp::sizeInWords<wire::KeyValue>() + DataWords(key.size()) + DataWords(value.size());
    const bool must_get_on = first_ && found.pairs.empty();
    if ((too_much || words * kWordBytes > left_bytes_) && !must_get_on) {
      found.more = true;
      left_bytes_ = 0;
      return false;
    }
    left_bytes_ -= std::min(left_bytes_, words * kWordBytes);
    words_ += words;
    found.pairs.push_back({bytes_.Copy(key), bytes_.Copy(value), data->counts});
    ++found.count;
    return true;
  }

  View& view_;
  std::size_t left_bytes_;
  const std::size_t max_visited_bytes_;
  std::size_t visited_bytes_ = 0;
  bool first_ = true;
  std::size_t words_ = 0;
  std::vector<Found> found_;
  Arena bytes_;
};

/// Whether another page may be asked for.
bool WantsHold(const std::vector<ParsedRead>& reads, const std::vector<Found>& found) {
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!found[i].more || found[i].pairs.empty()) continue;
    if (reads[i].hold == Hold::kAlways) return true;
    if (reads[i].hold == Hold::kWhereFull && !found[i].at_limit) return true;
  }
  return false;
}

Bytes EncodeAnswer(const Reader& reader, const Position& position, ViewId view) {
  constexpr std::size_t kListTagWords = 1;
  const auto& found = reader.found();
  const std::size_t words =
      capnp::sizeInWords<wire::ReadResponse>() + capnp::sizeInWords<wire::ViewId>() +
      kListTagWords + reader.words() +
      found.size() * (capnp::sizeInWords<wire::ReadResult>() + 2 * kListTagWords);
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto out = message.initRoot<wire::ReadResponse>();
    out.setFormatVersion(kRequestFormatVersion);
    out.setRevision(position.revision);
    out.setIndex(position.index.value);
    if (view.IsSet()) {
      auto id = out.initView();
      id.setTable(view.table);
      id.setNumber(view.number);
    }
    auto results = out.initResults(static_cast<unsigned>(found.size()));
    for (unsigned i = 0; i < results.size(); ++i) {
      const Found& from = found[i];
      results[i].setCount(from.count);
      results[i].setMore(from.more);
      if (!from.settings.empty()) {
        auto settings = results[i].initSettings(static_cast<unsigned>(from.settings.size()));
        for (unsigned k = 0; k < settings.size(); ++k) {
          settings[k].setName(ToText(from.settings[k].first));
          settings[k].setValue(ToText(from.settings[k].second));
        }
        continue;
      }
      auto kvs = results[i].initKvs(static_cast<unsigned>(from.pairs.size()));
      for (unsigned k = 0; k < kvs.size(); ++k) {
        kvs[k].setKey(ToData(from.pairs[k].key));
        kvs[k].setValue(ToData(from.pairs[k].value));
        const Counts& counts = from.pairs[k].counts;
        kvs[k].setModRevision(counts.mod_revision);
        kvs[k].setCreateRevision(counts.create_revision);
        kvs[k].setVersion(counts.version);
        kvs[k].setLease(counts.lease);
      }
    }
  });
}

/// What `view` reflects.
Result<Position> PositionOf(View& view) {
  const auto record = view.Get(std::string(1, kAppliedPrefix));
  if (!record.ok()) return record.status();
  if (!record->has_value()) return Position();
  return DecodePosition(**record);
}

/// Whether each read's revision is there.
Status CheckRevisions(const std::vector<ParsedRead>& reads, const Position& position) {
  for (const ParsedRead& read : reads) {
    if (read.revision > position.revision) return FutureRevision(read.revision, position.revision);
    if (read.revision != 0 && read.revision < position.compacted) {
      return CompactedStatus(read.revision, position.compacted);
    }
  }
  return Status::Ok();
}

}  // namespace

Result<Bytes> Read(Engine& engine, ReadTier tier, std::string_view request, std::size_t max_bytes,
                   std::size_t max_visited_bytes, ViewKeeper* views) {
  constexpr auto kNoLimit = std::numeric_limits<std::size_t>::max();
  MessageBytes storage;
  std::vector<ParsedRead> reads;
  Status status = ParseReadRequest(request, kNoLimit, storage, reads);
  if (!status.ok()) return status;
  // A range in memory still may be a million keys: only gets are answered on the caller's thread.
  const bool gets_only = std::all_of(reads.begin(), reads.end(), [](const ParsedRead& read) {
    return read.range.kind == Range::Kind::kSingle && !read.view.IsSet();
  });
  if (tier == ReadTier::kMemory && !gets_only) {
    return Status(Code::kUnavailable, "a range is read by a reader thread");
  }
  ViewId id = reads.empty() ? ViewId() : reads.front().view;
  const bool continues = id.IsSet();
  std::shared_ptr<View> view;
  if (!continues) {
    view = engine.NewView(tier);
  } else if (views != nullptr) {
    view = views->Find(id);
  }
  if (view == nullptr) return Status(Code::kCompacted, std::string(kViewGone));
  const auto position = PositionOf(*view);
  if (!position.ok()) return position.status();
  if (status = CheckRevisions(reads, *position); !status.ok()) return status;
  Reader reader(*view, max_bytes, max_visited_bytes);
  for (const ParsedRead& read : reads) {
    if (status = reader.Run(read); !status.ok()) return status;
  }
  if (views != nullptr && WantsHold(reads, reader.found())) {
    if (!continues) id = views->Hold(std::move(view));
  } else if (continues) {
    views->End(id);
    id = {};
  }
  return EncodeAnswer(reader, *position, id);
}

}  // namespace raftkv::kv
