// Clients that read ranges, page by page, in every order, now and in the past, and several keys at
// once; and that let the past go.
#include <algorithm>
#include <iterator>
#include <utility>

#include "tests/sim/clients/clients.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

/// Until the next page of a scan is asked for.
constexpr Nanos kLongestPage = 3 * kSecond;
/// What has to be sorted does not always fit into an answer that is smaller.
constexpr std::size_t kRoomToSort = 1 << 20;

}  // namespace

bool Clients::GotNoAnswer(Code code) {
  return code == Code::kUnavailable || code == Code::kDeadlineExceeded ||
         code == Code::kSessionExpired || code == Code::kNotLeader || code == Code::kCancelled ||
         code == Code::kNoSpace || code == Code::kUnknownOutcome;
}

void Clients::DrawOrder(ScanOptions& options) {
  Random& random = world_.chance().clients;
  options.reverse = random.Below(2) == 0;
  options.skip_count = random.Below(3) == 0;
  if (random.Below(4) == 0) options.page_bytes = 1 + static_cast<std::uint32_t>(random.Below(300));
  if (random.Below(3) == 0) options.order = static_cast<OrderBy>(random.Below(5));
  if (random.Below(3) != 0) return;
  // Around what there is now.
  const std::uint64_t revision = 1 + random.Below(write_floor_ + 2);
  std::uint64_t* const bounds[] = {&options.min_mod_revision, &options.max_mod_revision,
                                   &options.min_create_revision, &options.max_create_revision};
  *bounds[random.Below(4)] = revision;
  if (random.Below(3) == 0) *bounds[random.Below(4)] = 1 + random.Below(write_floor_ + 2);
}

void Clients::ScanPage(Client& client, const KeyRange& range, const ScanOptions& options,
                       const Reads::Shown& before) {
  Call call{&client, options.count_only ? OpKind::kCountKeys : OpKind::kScan, 0, {}, 0, false};
  call.pages_of = before.result.revision;
  call.past = call.pages_of != 0 ? call.pages_of : options.revision;
  if (call.past == 0 && options.consistency == Consistency::kLinearizable) {
    call.floor = write_floor_;
  }
  ++client.open;
  client.kv->ScanAsync(
      range, options, [this, call, range, options, before](Result<ScanResult> result) {
        EndScan(call, options, result.status(), result.ok() ? result->revision : 0);
        if (!result.ok() || stopped_) return;
        Reads::Shown shown = before;
        shown.client = "c" + std::to_string(call.client->id);
        shown.range = range;
        shown.options = options;
        std::vector<KeyValue> kvs = std::move(shown.result.kvs);
        std::move(result->kvs.begin(), result->kvs.end(), std::back_inserter(kvs));
        const std::string continuation = std::exchange(result->continuation, {});
        shown.result = *std::move(result);
        shown.result.kvs = std::move(kvs);
        if (options.skip_count && !options.count_only) shown.result.count = shown.result.kvs.size();
        world_.reads().OnShown(shown);
        if (continuation.empty() || ending_) return;
        ScanOptions next = options;
        next.continuation = continuation;
        const Nanos longest =
            world_.chance().clients.Below(4) == 0 ? kLongestPage : kLongestPage / 20;
        world_.At(Between(world_.chance().clients, 0, longest), [this, call, range, next, shown] {
          if (!ending_ && call.client->open < kMaxOpen) ScanPage(*call.client, range, next, shown);
        });
      });
}

/// It was there, so that it can only be gone; no member that is behind may say anything else.
bool Clients::PastIsRefused(const Call& call, const Status& status) {
  if (call.past == 0 || status.code() != Code::kCompacted) return false;
  if (call.past >= world_.checks().compacted()) {
    world_.Fail("the past", "revision " + std::to_string(call.past) +
                                " is refused, and no member has compacted it");
  }
  return true;
}

/// Up to somewhere; it is refused where another one was faster.
void Clients::Compact(Client& client) {
  const std::uint64_t revision = 1 + world_.chance().clients.Below(write_floor_);
  ++client.open;
  client.kv->CompactAsync(
      revision, {Timeout()}, [this, &client, revision](const Result<WriteResult>& result) {
        if (stopped_) return;
        if (result.ok()) world_.watched().OnCompacted(revision);
        const bool expected =
            result.ok() || result.code() == Code::kCompacted || GotNoAnswer(result.code());
        if (!expected) {
          world_.Fail("outcomes", "a compact ends with " + result.status().ToString());
        }
        --client.open;
      });
}

/// Those that raw clients grant (raw_client.cc): looks at them, or keeps one alive. What is shown
/// is judged where a member answers.
void Clients::UseLeases(Client& client) {
  Random& random = world_.chance().clients;
  const std::uint64_t id = 1 + random.Below(3);
  const auto end = [this, &client](const char* what, const Status& status) {
    if (stopped_) return;
    --client.open;
    const bool expected =
        status.ok() || status.code() == Code::kNotFound || GotNoAnswer(status.code());
    if (!expected) world_.Fail("outcomes", std::string(what) + " ends with " + status.ToString());
  };
  ++client.open;
  LeaseReadOptions options;
  options.timeout = Timeout();
  options.with_keys = random.Below(3) != 0;
  if (random.Below(3) == 0) options.consistency = Consistency::kLocal;
  switch (random.Below(4)) {
    case 0:
      client.kv->KeepAliveAsync({id}, {Timeout()}, [end](const Result<std::vector<LeaseInfo>>& r) {
        end("a keep-alive", r.status());
      });
      break;
    case 1:
      client.kv->ListLeasesAsync(options, [end](const Result<std::vector<LeaseInfo>>& r) {
        end("a list of leases", r.status());
      });
      break;
    default:
      client.kv->GetLeaseAsync(
          id, options, [end](const Result<LeaseInfo>& r) { end("a read of a lease", r.status()); });
  }
}

/// What each answer shows is judged where it was given, and all of them together at the end
/// (judges/reads.h).
void Clients::EndScan(const Call& call, const ScanOptions& options, const Status& status,
                      std::uint64_t revision) {
  if (stopped_) return;
  if (status.ok() && revision < call.floor) {
    world_.Fail("reads", "a stale scan: revision " + std::to_string(revision) + ", but " +
                             std::to_string(call.floor) + " was acknowledged before");
  }
  if (status.ok() && call.pages_of != 0 && revision != call.pages_of) {
    world_.Fail("one state", "a page of a scan of revision " + std::to_string(call.pages_of) +
                                 " shows revision " + std::to_string(revision));
  }
  const bool too_large = options.order != OrderBy::kKey &&
                         world_.plan().disk.max_answer_bytes < kRoomToSort &&
                         status.code() == Code::kInvalidArgument;
  if (!status.ok() && !too_large && !PastIsRefused(call, status) && !GotNoAnswer(status.code())) {
    world_.Fail("outcomes", "a scan ends with " + status.ToString());
  }
  End(call, status.ok() ? OpOutcome::kOk : OpOutcome::kFailed);
}

void Clients::GetMany(Client& client) {
  Random& random = world_.chance().clients;
  std::vector<std::string> keys;
  const std::uint64_t count = 1 + random.Below(6);
  for (std::uint64_t i = 0; i < count; ++i) {
    keys.push_back(random.Below(4) == 0 ? DrawCounter() : DrawKey());
  }
  ReadOptions options;
  options.timeout = Timeout();
  if (random.Below(3) == 0) options.consistency = Consistency::kLocal;
  if (random.Below(3) == 0 && write_floor_ > 0) options.revision = 1 + random.Below(write_floor_);
  Call call{&client, OpKind::kGetMany, 0, {}, 0, false};
  call.past = options.revision;
  if (call.past == 0 && options.consistency == Consistency::kLinearizable) {
    call.floor = write_floor_;
  }
  ++client.open;
  client.kv->GetManyAsync(keys, options,
                          [this, call, keys, options](const Result<GetManyResult>& result) {
                            EndGetMany(call, keys, options, result);
                          });
}

void Clients::EndGetMany(const Call& call, const std::vector<std::string>& keys,
                         const ReadOptions& options, const Result<GetManyResult>& result) {
  if (stopped_) return;
  // Where the answer has little room it takes several, and the state may be gone meanwhile.
  const bool gone =
      call.past == 0 ? result.code() == Code::kCompacted : PastIsRefused(call, result.status());
  if (!result.ok() && !gone && !GotNoAnswer(result.code())) {
    world_.Fail("outcomes", "a multi-get ends with " + result.status().ToString());
  }
  if (result.ok() && result->kvs.size() != keys.size()) {
    world_.Fail("reads", "a multi-get answers " + std::to_string(result->kvs.size()) + " of " +
                             std::to_string(keys.size()) + " keys");
  } else if (result.ok()) {
    if (result->revision < call.floor) {
      world_.Fail("reads", "a stale multi-get: revision " + std::to_string(result->revision) +
                               ", but " + std::to_string(call.floor) + " was acknowledged before");
    }
    Reads::Shown shown;
    shown.client = "c" + std::to_string(call.client->id);
    shown.keys = keys;
    shown.options.revision = options.revision;
    shown.result.revision = result->revision;
    for (const auto& kv : result->kvs) {
      if (kv.has_value()) shown.result.kvs.push_back(*kv);
    }
    world_.reads().OnShown(std::move(shown));
  }
  End(call, result.ok() ? OpOutcome::kOk : OpOutcome::kFailed);
}

}  // namespace raftkv::sim
