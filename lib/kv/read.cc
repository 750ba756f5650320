// What does a read answer?
#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/arena.h"
#include "lib/kv/command.capnp.h"
#include "lib/kv/layout.h"
#include "lib/kv/lease_table.h"
#include "lib/kv/order.h"
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

struct Pair {
  std::string_view key;
  std::string_view value;
  Counts counts;
};

struct Found {
  std::vector<Pair> pairs;
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<LeaseInfo> leases;
  std::uint64_t count = 0;
  bool more = false;
  bool at_limit = false;  ///< that is where it ended
  bool left_out = false;
  std::uint64_t visited = 0;
};

std::size_t WordsOf(std::string_view key, std::string_view value) {
  return capnp::sizeInWords<wire::KeyValue>() + DataWords(key.size()) + DataWords(value.size());
}

/// Answers the reads of one request; they share the room of the answer and the work.
///
/// A read that would do more than what is left of the work ends there and says `more`; one that
/// counts or sorts cannot be answered by halves and is left out. The first read always gets on, and
/// counts to its end however many keys there are: so a client that asks again for what was left out
/// always gets all answers, and a request's work is that of one count or bounded.
class Reader {
 public:
  Reader(View& view, std::size_t max_bytes, std::size_t max_visited_bytes, std::uint64_t clock_ms)
      : view_(view),
        left_bytes_(max_bytes),
        max_visited_bytes_(max_visited_bytes),
        clock_ms_(clock_ms) {}

  Status Run(const ParsedRead& read) {
    // Later reads of a full answer say `more` and are asked again; the first always gets on.
    first_ = found_.empty();
    Found& found = found_.emplace_back();
    found.left_out = visited_bytes_ > max_visited_bytes_;
    const std::size_t words_before = words_;
    const std::size_t left_before = left_bytes_;
    Status status;
    if (!found.left_out) status = Answer(read, found);
    if (found.left_out) {
      RAFTKV_CHECK(!first_);
      found = {};
      found.more = true;
      words_ = words_before;
      left_bytes_ = std::min(left_before, left_bytes_);
    }
    if (read.uncounted && !read.count_only && read.IsOfKeys()) found.count = found.pairs.size();
    if (RAFTKV_MUTANT(kCountAfterLimit) && found.at_limit) found.count = found.pairs.size();
    return status;
  }

  [[nodiscard]] const std::vector<Found>& found() const { return found_; }
  /// An upper bound of the words of all results.
  [[nodiscard]] std::size_t words() const { return words_; }

 private:
  Status Answer(const ParsedRead& read, Found& found) {
    page_bytes_ = read.max_bytes == 0 ? left_bytes_ : read.max_bytes;
    if (read.settings) return Show(found);
    if (read.lease) return ShowLease(*read.lease, read, found);
    if (read.leases_from) return ShowLeases(*read.leases_from, found);
    if (read.range.kind == Range::Kind::kSingle) return Get(read, found);
    if (read.order.NeedsAll() && !read.count_only) return Sort(read, found);
    return Scan(read, found);
  }

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

  [[nodiscard]] LeaseInfo InfoOf(const Lease& lease) const {
    LeaseInfo info;
    info.id = lease.id;
    info.ttl = std::chrono::milliseconds(lease.ttl_ms);
    const std::uint64_t over = std::min(lease.deadline_ms, clock_ms_);
    info.remaining = std::chrono::milliseconds(std::min(lease.deadline_ms - over, lease.ttl_ms));
    return info;
  }

  /// Whether there is room for `words` more of an answer on leases, which always has one.
  bool TakeWords(std::size_t words, Found& found) {
    found.more = words * kWordBytes > left_bytes_ && found.count > 0;
    if (found.more) return false;
    left_bytes_ -= std::min(left_bytes_, words * kWordBytes);
    words_ += words;
    ++found.count;
    return true;
  }

  Status ShowLease(std::uint64_t id, const ParsedRead& read, Found& found) {
    const std::string row = LeaseKey(id);
    const auto record = view_.Get(row);
    if (!record.ok()) return record.status();
    found.leases.emplace_back().id = id;
    words_ += capnp::sizeInWords<wire::LeaseInfo>() + 1;
    if (!record->has_value()) return Status::Ok();
    const auto lease = DecodeLease(row, **record);
    if (!lease.ok()) return lease.status();
    LeaseInfo& info = found.leases.front() = InfoOf(*lease);
    if (read.count_only) return Status::Ok();
    const bool bounded = read.range.kind == Range::Kind::kBounded;
    const std::string end = bounded ? AttachedKey(id, read.range.end) : EndOfAttached(id);
    return view_.Scan(AttachedKey(id, read.range.begin), end, [&](auto attached, auto) {
      const std::string_view key = attached.substr(kAttachedPrefixBytes);
      if (!TakeWords(1 + DataWords(key.size()), found)) return false;
      info.keys.emplace_back(key);
      return true;
    });
  }

  Status ShowLeases(std::uint64_t from, Found& found) {
    Status damage;
    Status status = view_.Scan(LeasesFrom(from), EndOfLeases(), [&](auto row, auto record) {
      const auto lease = DecodeLease(row, record);
      damage = lease.status();
      if (!lease.ok() || !TakeWords(capnp::sizeInWords<wire::LeaseInfo>(), found)) return false;
      found.leases.push_back(InfoOf(*lease));
      return true;
    });
    return status.ok() ? damage : status;
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
    visited_bytes_ += kVisitBytes + read.range.begin.size() + (*record)->size();
    Status damage;
    Add(read, found, read.range.begin, **record, damage);
    return damage;
  }

  Status Scan(const ParsedRead& read, Found& found) {
    Status damage;
    Status status =
        Visit(read, [&](auto key, auto record) { return Add(read, found, key, record, damage); });
    return status.ok() ? damage : status;
  }

  template <class Visitor>
  Status Visit(const ParsedRead& read, const Visitor& visitor) {
    const EngineRange range = DataRange(read.range);
    if (range.begin >= range.end) return Status::Ok();
    const auto visit = [&](std::string_view key, std::string_view record) {
      visited_bytes_ += kVisitBytes + key.size() - 1 + record.size();
      return visitor(key.substr(1), record);
    };
    const bool by_key = !read.order.NeedsAll();
    const std::uint64_t revision = RevisionOf(read);
    return by_key && read.order.descending
               ? view_.ScanReverseAt(range.begin, range.end, revision, visit)
               : view_.ScanAt(range.begin, range.end, revision, visit);
  }

  [[nodiscard]] bool TooMuch() const { return visited_bytes_ > max_visited_bytes_; }

  /// False: no more of this read.
  bool Add(const ParsedRead& read, Found& found, std::string_view key, std::string_view record,
           Status& damage) {
    const bool counts = read.count_only || !read.uncounted;
    const std::uint64_t taken =
        RAFTKV_MUTANT(kLimitBeforeFilter) ? found.visited++ : found.pairs.size();
    if (counts) {
      found.left_out = TooMuch() && !first_;
      if (found.left_out) return false;
      ++found.count;
      if (read.count_only || found.more) return true;
    }
    const auto data = DecodeDataRecord(record);
    if (!data.ok()) {
      damage = data.status();
      return false;
    }
    const bool passes = Passes(read.order, data->counts);
    const bool must_get_on = first_ && found.pairs.empty();
    const bool at_limit = read.limit != 0 && taken >= read.limit;
    if (!passes && (!TooMuch() || must_get_on)) return true;
    const std::string_view value = read.keys_only ? std::string_view() : data->value;
    if (!passes || at_limit || !(must_get_on || Fits(key, value))) {
      found.more = true;
      found.at_limit = at_limit;
      // What has no pair yet says nothing that could be built on.
      found.left_out = found.pairs.empty() && !first_;
      return counts && !found.left_out;
    }
    Take(found, key, value, data->counts);
    return true;
  }

  /// Whether one more pair is to be answered.
  bool Fits(std::string_view key, std::string_view value) {
    const std::size_t bytes = WordsOf(key, value) * kWordBytes;
    if (bytes > left_bytes_) left_bytes_ = 0;
    return !TooMuch() && bytes <= std::min(left_bytes_, page_bytes_);
  }

  void Take(Found& found, std::string_view key, std::string_view value, const Counts& counts) {
    const std::size_t words = WordsOf(key, value);
    left_bytes_ -= std::min(left_bytes_, words * kWordBytes);
    page_bytes_ -= std::min(page_bytes_, words * kWordBytes);
    words_ += words;
    found.pairs.push_back({bytes_.Copy(key), bytes_.Copy(value), counts});
  }

  Status Sort(const ParsedRead& read, Found& found) {
    Sorter sorter(read.order, read.limit, left_bytes_);
    Status damage;
    bool fits = true;
    Status status = Visit(read, [&](std::string_view key, std::string_view record) {
      found.left_out = TooMuch() && !first_;
      if (found.left_out) return false;
      ++found.count;
      const auto data = DecodeDataRecord(record);
      if (!data.ok()) damage = data.status();
      if (!data.ok() || !Passes(read.order, data->counts)) return data.ok();
      const bool without = read.keys_only && read.order.by != OrderBy::kValue;
      const std::string_view value = without ? std::string_view() : data->value;
      fits = sorter.Add(key, value, data->counts, WordsOf(key, value) * kWordBytes);
      return fits;
    });
    if (!status.ok()) return status;
    if (!damage.ok() || found.left_out) return damage;
    if (!fits && first_) return TooLargeToSort();
    found.left_out = !fits;
    if (!fits) return Status::Ok();
    for (const Sorter::Pair& pair : sorter.Take()) {
      const std::string_view value = read.keys_only ? std::string_view() : pair.value;
      Take(found, pair.key, value, pair.counts);
    }
    found.more = sorter.added() > found.pairs.size();
    found.at_limit = found.more;
    return Status::Ok();
  }

  [[nodiscard]] Status TooLargeToSort() const {
    return {Code::kInvalidArgument,
            std::string(kPairsToBeSorted) + " take more than " + std::to_string(left_bytes_) +
                " bytes, the size of an answer: set a limit, read keys only, narrow the range, or "
                "order by key"};
  }

  View& view_;
  std::size_t left_bytes_;
  const std::size_t max_visited_bytes_;
  const std::uint64_t clock_ms_;
  std::size_t visited_bytes_ = 0;
  std::size_t page_bytes_ = 0;  ///< what is left of them, of the read at hand
  bool first_ = true;
  std::size_t words_ = 0;
  std::vector<Found> found_;
  Arena bytes_;
};

void Fill(const std::vector<LeaseInfo>& leases, capnp::List<wire::LeaseInfo>::Builder out) {
  for (unsigned i = 0; i < out.size(); ++i) {
    out[i].setId(leases[i].id);
    out[i].setTtlMs(static_cast<std::uint64_t>(leases[i].ttl.count()));
    out[i].setRemainingMs(static_cast<std::uint64_t>(leases[i].remaining.count()));
    if (leases[i].keys.empty()) continue;
    auto keys = out[i].initKeys(static_cast<unsigned>(leases[i].keys.size()));
    for (unsigned k = 0; k < keys.size(); ++k) keys.set(k, ToData(leases[i].keys[k]));
  }
}

Bytes EncodeAnswer(const Reader& reader, const Position& position) {
  constexpr std::size_t kListTagWords = 1;
  const auto& found = reader.found();
  const std::size_t words =
      capnp::sizeInWords<wire::ReadResponse>() + kListTagWords + reader.words() +
      found.size() * (capnp::sizeInWords<wire::ReadResult>() + 2 * kListTagWords);
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto out = message.initRoot<wire::ReadResponse>();
    out.setFormatVersion(kRequestFormatVersion);
    out.setRevision(position.revision);
    out.setIndex(position.index.value);
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
      if (!from.leases.empty()) {
        Fill(from.leases, results[i].initLeases(static_cast<unsigned>(from.leases.size())));
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
                   std::size_t max_visited_bytes, std::uint64_t clock_ms) {
  constexpr auto kNoLimit = std::numeric_limits<std::size_t>::max();
  MessageBytes storage;
  std::vector<ParsedRead> reads;
  Status status = ParseReadRequest(request, kNoLimit, storage, reads);
  if (!status.ok()) return status;
  // A range in memory still may be a million keys: only gets are answered on the caller's thread.
  const bool gets_only = std::all_of(reads.begin(), reads.end(), [](const ParsedRead& read) {
    const bool visits_rows = read.leases_from.has_value() || (read.lease && !read.count_only);
    return read.range.kind == Range::Kind::kSingle && !visits_rows;
  });
  if (tier == ReadTier::kMemory && !gets_only) {
    return Status(Code::kUnavailable, "a range is read by a reader thread");
  }
  const std::unique_ptr<View> view = engine.NewView(tier);
  const auto position = PositionOf(*view);
  if (!position.ok()) return position.status();
  if (status = CheckRevisions(reads, *position); !status.ok()) return status;
  Reader reader(*view, max_bytes, max_visited_bytes, std::max(clock_ms, position->clock_ms));
  for (const ParsedRead& read : reads) {
    if (status = reader.Run(read); !status.ok()) return status;
  }
  return EncodeAnswer(reader, *position);
}

}  // namespace raftkv::kv
