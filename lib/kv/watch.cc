#include "lib/kv/watch.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/command.capnp.h"
#include "lib/kv/message_reader.h"

namespace raftkv::kv {
namespace {

/// What an event costs besides its bytes.
constexpr std::size_t kEventBytes =
    (capnp::sizeInWords<wire::WatchEvent>() + capnp::sizeInWords<wire::KeyValue>()) * kWordBytes;

std::size_t PairWords(std::string_view key, std::string_view value) {
  return capnp::sizeInWords<wire::KeyValue>() + DataWords(key.size()) + DataWords(value.size());
}

std::size_t WordsOf(const WatchEventView& event) {
  std::size_t words = capnp::sizeInWords<wire::WatchEvent>() + PairWords(event.key, event.value);
  if (event.previous.has_value()) words += PairWords(event.key, event.previous->value);
  return words;
}

void FillPair(std::string_view key, std::string_view value, const Counts& counts,
              wire::KeyValue::Builder out) {
  out.setKey(ToData(key));
  out.setValue(ToData(value));
  out.setModRevision(counts.mod_revision);
  out.setCreateRevision(counts.create_revision);
  out.setVersion(counts.version);
  out.setLease(counts.lease);
}

KeyValue FromPair(wire::KeyValue::Reader kv) {
  return {std::string(FromData(kv.getKey())),
          std::string(FromData(kv.getValue())),
          kv.getModRevision(),
          kv.getCreateRevision(),
          kv.getVersion(),
          kv.getLease()};
}

Status CheckVersion(std::uint16_t version) {
  if (version == kRequestFormatVersion) return Status::Ok();
  return {Code::kVersionMismatch, "the message of a watch has format version " +
                                      std::to_string(version) + ", this version speaks " +
                                      std::to_string(kRequestFormatVersion)};
}

Status ReadRange(wire::KeyRange::Reader range, Range& out) {
  out.begin = FromData(range.getBegin());
  switch (range.which()) {
    case wire::KeyRange::SINGLE: out.kind = Range::Kind::kSingle; return Status::Ok();
    case wire::KeyRange::END:
      out.kind = Range::Kind::kBounded;
      out.end = FromData(range.getEnd());
      return Status::Ok();
    case wire::KeyRange::UNBOUNDED: out.kind = Range::Kind::kUnbounded; return Status::Ok();
  }
  return {Code::kVersionMismatch, "a kind of range that this version does not know: upgrade it"};
}

Status ReadRequest(wire::WatchRequest::Reader in, WatchOp& op) {
  if (Status status = CheckVersion(in.getFormatVersion()); !status.ok()) return status;
  if (Status status = ReadRange(in.getRange(), op.range); !status.ok()) return status;
  op.position = {.next = in.getNext(), .delivered = in.getDelivered()};
  op.resumes = in.getResumes() && op.position.next != 0;
  op.puts = !in.getNoPuts();
  op.deletes = !in.getNoDeletes();
  op.previous = in.getPrevious();
  const std::uint32_t asked = in.getMaxBytes();
  op.max_bytes = asked == 0 ? kWatchPageBytes : std::min(asked, kWatchPageBytes);
  return Status::Ok();
}

Status NoAnswer(const char* why) {
  return {Code::kCorruption, std::string("the answer to a watch is wrong: ") + why};
}

/// What is handed out as "each event once, in order" is not taken on trust.
Status CheckPage(const WatchPage& page, const WatchOp& op) {
  const std::uint64_t asked = op.position.next;
  if (page.position.next < std::max(asked, kFirstRevision))
    return NoAnswer("its position goes back");
  std::uint64_t revision = asked;
  for (const WatchEvent& event : page.events) {
    if (event.kv.mod_revision < revision) return NoAnswer("its events are not in order");
    revision = event.kv.mod_revision;
  }
  const bool is_beyond = revision > page.position.next ||
                         (revision == page.position.next && page.position.delivered == 0);
  if (!page.events.empty() && is_beyond) return NoAnswer("its events are beyond its position");
  return Status::Ok();
}

}  // namespace

WatchOp WatchOp::From(const KeyRange& keys, const WatchPageOptions& options) {
  WatchOp op;
  op.range = Range::From(keys);
  // Just one key, as KeyRange::Single() has it: members find its watchers without a search.
  if (keys.end == keys.begin + '\0') op.range = Range::Single(keys.begin);
  op.position = options.position;
  op.resumes = options.resumes;
  op.puts = options.puts;
  op.deletes = options.deletes;
  op.previous = options.previous;
  if (options.page_bytes != 0) op.max_bytes = options.page_bytes;
  return op;
}

Status CheckWatch(const WatchOp& op, const Limits& limits) {
  if (!op.puts && !op.deletes) {
    return {Code::kInvalidArgument, "a watch of neither puts nor deletes has no events"};
  }
  kv::ReadOp read;
  read.range = op.range;
  return CheckRead(read, limits);
}

Bytes EncodeWatchRequest(const WatchOp& op) {
  const std::size_t words = capnp::sizeInWords<wire::WatchRequest>() +
                            capnp::sizeInWords<wire::KeyRange>() +
                            DataWords(op.range.begin.size()) + DataWords(op.range.end.size());
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto out = message.initRoot<wire::WatchRequest>();
    out.setFormatVersion(kRequestFormatVersion);
    auto range = out.initRange();
    range.setBegin(ToData(op.range.begin));
    switch (op.range.kind) {
      case Range::Kind::kSingle: range.setSingle(); break;
      case Range::Kind::kBounded: range.setEnd(ToData(op.range.end)); break;
      case Range::Kind::kUnbounded: range.setUnbounded(); break;
    }
    out.setNext(op.position.next);
    out.setDelivered(op.position.delivered);
    out.setResumes(op.resumes);
    out.setNoPuts(!op.puts);
    out.setNoDeletes(!op.deletes);
    out.setPrevious(op.previous);
    out.setMaxBytes(op.max_bytes);
  });
}

Result<WatchOp> DecodeWatchRequest(std::string_view bytes, const Limits& limits) {
  WatchOp op;
  MessageBytes storage;
  Status status = ReadMessage<wire::WatchRequest>(
      bytes, storage, "watch request",
      [&](wire::WatchRequest::Reader in) { return ReadRequest(in, op); });
  if (status.ok()) status = CheckWatch(op, limits);
  if (!status.ok()) return status;
  return op;
}

Bytes EncodeWatchResponse(const std::vector<WatchEventView>& events, const WatchPosition& position,
                          std::uint64_t revision) {
  std::size_t words = capnp::sizeInWords<wire::WatchResponse>() + ListWords(events.size());
  for (const WatchEventView& event : events) words += WordsOf(event);
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto out = message.initRoot<wire::WatchResponse>();
    out.setFormatVersion(kRequestFormatVersion);
    out.setNext(position.next);
    out.setDelivered(position.delivered);
    out.setRevision(revision);
    if (events.empty()) return;
    auto list = out.initEvents(static_cast<unsigned>(events.size()));
    for (unsigned i = 0; i < list.size(); ++i) {
      const WatchEventView& event = events[i];
      const bool deleted = event.kind == ChangeKind::kDelete;
      const Counts of_delete{.mod_revision = event.revision};
      list[i].setDeleted(deleted);
      FillPair(event.key, event.value, deleted ? of_delete : event.counts, list[i].initKv());
      if (!event.previous.has_value()) continue;
      FillPair(event.key, event.previous->value, event.previous->counts, list[i].initPrevious());
    }
  });
}

Result<WatchPage> DecodeWatchResponse(std::string_view bytes, const WatchOp& op) {
  WatchPage page;
  MessageBytes storage;
  const auto visit = [&](wire::WatchResponse::Reader in) {
    if (Status status = CheckVersion(in.getFormatVersion()); !status.ok()) return status;
    page.position = {.next = in.getNext(), .delivered = in.getDelivered()};
    page.revision = in.getRevision();
    const auto events = in.getEvents();
    page.events.reserve(events.size());
    for (const auto from : events) {
      WatchEvent& event = page.events.emplace_back();
      event.kind = from.getDeleted() ? WatchEvent::Kind::kDelete : WatchEvent::Kind::kPut;
      event.kv = FromPair(from.getKv());
      if (from.hasPrevious()) event.previous = FromPair(from.getPrevious());
    }
    return CheckPage(page, op);
  };
  Status status = ReadMessage<wire::WatchResponse>(bytes, storage, "answer to a watch", visit);
  if (status.code() == Code::kInvalidArgument) return Status(Code::kCorruption, status.message());
  if (!status.ok()) return status;
  return page;
}

WatchPageBuilder::WatchPageBuilder(const WatchOp& op) : op_(op), position_(op.position) {
  if (RAFTKV_MUTANT(kResumeRepeatsRevision)) position_.delivered = 0;
}

bool WatchPageBuilder::Wants(std::uint64_t revision, ChangeKind kind, std::string_view key) {
  RAFTKV_CHECK(revision >= position_.next, revision, position_.next);
  if (revision > position_.next) {
    position_ = {.next = revision, .delivered = 0};
    seen_ = 0;
  }
  if (!op_.Passes(kind, key)) return false;
  ++seen_;
  return seen_ > position_.delivered;
}

bool WatchPageBuilder::Add(const WatchEventView& event) {
  RAFTKV_CHECK(event.revision == position_.next, event.revision, position_.next);
  RAFTKV_CHECK(seen_ == position_.delivered + 1, seen_, position_.delivered);
  std::size_t bytes = kEventBytes + event.key.size() + event.value.size();
  if (event.previous.has_value()) bytes += event.key.size() + event.previous->value.size();
  if (!events_.empty() && size_bytes_ + bytes > op_.max_bytes) return false;
  size_bytes_ += bytes;
  position_.delivered = seen_;
  events_.push_back(event);
  return true;
}

void WatchPageBuilder::CompleteThrough(std::uint64_t revision) {
  if (revision < position_.next) return;
  position_ = {.next = revision + 1, .delivered = 0};
  seen_ = 0;
}

}  // namespace raftkv::kv
