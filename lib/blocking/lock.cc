// The classes that a program sees: each is a place in a queue.
#include <utility>

#include <raftkv/lock.h>

#include "lib/blocking/queue_place.h"

namespace raftkv {

using std::chrono::milliseconds;

Lock::Lock(Session& session, std::string name)
    : place_(std::make_unique<QueuePlace>(session, std::move(name))) {}
Lock::~Lock() = default;

Status Lock::Acquire(milliseconds timeout) { return place_->Acquire("", timeout); }
Result<bool> Lock::TryAcquire(milliseconds timeout) { return place_->TryAcquire(timeout); }
Status Lock::Release(milliseconds timeout) { return place_->Leave(timeout); }
void Lock::Cancel() { place_->Cancel(); }
bool Lock::held() const { return place_->held(); }
std::uint64_t Lock::token() const { return place_->token(); }
const std::string& Lock::key() const { return place_->key(); }
Status Lock::WaitUntilLost(milliseconds timeout) { return place_->WaitUntilLost(timeout); }

Election::Election(Session& session, std::string name)
    : kv_(session.kv()),
      name_(std::move(name)),
      place_(std::make_unique<QueuePlace>(session, name_)) {}
Election::~Election() = default;

Status Election::Campaign(std::string value, milliseconds timeout) {
  return place_->Acquire(value, timeout);
}
Status Election::Proclaim(std::string value, milliseconds timeout) {
  return place_->Rewrite(std::move(value), timeout);
}
Status Election::Resign(milliseconds timeout) { return place_->Leave(timeout); }
void Election::Cancel() { place_->Cancel(); }
bool Election::leads() const { return place_->held(); }
std::uint64_t Election::token() const { return place_->token(); }
const std::string& Election::key() const { return place_->key(); }
Status Election::WaitUntilLost(milliseconds timeout) { return place_->WaitUntilLost(timeout); }

Result<KeyValue> Election::Leader(milliseconds timeout) { return Leader(kv_, name_, timeout); }

Result<KeyValue> Election::Leader(KV& kv, const std::string& name, milliseconds timeout) {
  ScanOptions options;
  options.timeout = timeout;
  options.limit = 1;
  options.skip_count = true;
  options.order = OrderBy::kCreateRevision;
  Result<ScanResult> found = kv.Scan(KeyRange::Prefix(name + "/"), options);
  if (!found.ok()) return found.status();
  if (found->kvs.empty()) return Status(Code::kNotFound, "nobody leads " + name);
  return std::move(found->kvs.front());
}

}  // namespace raftkv
