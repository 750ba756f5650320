#include "lib/session/lease_reads.h"

#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "lib/kv/lease_table.h"

namespace raftkv::node {
namespace {

Status NoProgress() {
  return {Code::kCorruption, "an answer on leases says that more follow, and has none"};
}

struct LeaseRead : std::enable_shared_from_this<LeaseRead> {
  void AskFrom(std::string key) {
    kv::ReadOp read;
    read.range = {kv::Range::Kind::kUnbounded, std::move(key), {}};
    read.count_only = !with_keys;
    read.lease = id;
    if (!with_keys) read.range = {};
    ask({std::move(read)}, [self = shared_from_this()](auto answer) {
      if (!answer.ok()) return self->done(answer.status());
      self->OnPage(std::move(answer->front()));
    });
  }

  void OnPage(kv::ReadAnswer page) {
    if (page.leases.size() != 1) return done(NoProgress());
    LeaseInfo& info = page.leases.front();
    if (info.ttl.count() == 0) return done(kv::NoSuchLease(id));
    if (page.more && info.keys.empty()) return done(NoProgress());
    found.id = id;
    found.ttl = info.ttl;
    found.remaining = info.remaining;
    found.keys.insert(found.keys.end(), std::make_move_iterator(info.keys.begin()),
                      std::make_move_iterator(info.keys.end()));
    if (page.more) return AskFrom(found.keys.back() + '\0');
    done(std::move(found));
  }

  std::uint64_t id = 0;
  bool with_keys = false;
  MultiGet::Ask ask;
  Callback<LeaseInfo> done;
  LeaseInfo found;
};

struct LeaseList : std::enable_shared_from_this<LeaseList> {
  void AskFrom(std::uint64_t id) {
    kv::ReadOp read;
    read.leases_from = id;
    ask({std::move(read)}, [self = shared_from_this()](auto answer) {
      if (!answer.ok()) return self->done(answer.status());
      self->OnPage(std::move(answer->front()));
    });
  }

  void OnPage(kv::ReadAnswer page) {
    if (page.more && page.leases.empty()) return done(NoProgress());
    found.insert(found.end(), page.leases.begin(), page.leases.end());
    if (page.more) return AskFrom(found.back().id + 1);
    done(std::move(found));
  }

  MultiGet::Ask ask;
  Callback<std::vector<LeaseInfo>> done;
  std::vector<LeaseInfo> found;
};

}  // namespace

void ReadLease(std::uint64_t id, bool with_keys, MultiGet::Ask ask, Callback<LeaseInfo> done) {
  const auto read = std::make_shared<LeaseRead>();
  read->id = id;
  read->with_keys = with_keys;
  read->ask = std::move(ask);
  read->done = std::move(done);
  read->AskFrom({});
}

void ReadLeases(MultiGet::Ask ask, Callback<std::vector<LeaseInfo>> done) {
  const auto list = std::make_shared<LeaseList>();
  list->ask = std::move(ask);
  list->done = std::move(done);
  list->AskFrom(0);
}

}  // namespace raftkv::node
