// How does the member queue up for a lock or an election on behalf of a client?
//
// The recipe of etcd's clients, with their keys: the contender's key is NAME/ and its lease in
// hexadecimal digits, attached to the lease, and whoever has the lowest create_revision below NAME/
// is the owner. Each contender waits for the key just before its own to be deleted, and then looks
// again. So clients that contend by themselves and those that let a member do it see one queue.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "lib/base/once_function.h"
#include "rpc/etcd/backend.h"
#include "rpc/etcd/outcome.h"
#include "rpc/etcd/service_life.h"
#include "rpc/etcd/watch_budget.h"

namespace raftkv::etcd {

struct RecipeOptions {
  /// Of the lease that a contender without one gets, which nobody keeps alive: as etcd.
  std::chrono::milliseconds lease_ttl = std::chrono::seconds(60);
  /// Contenders and observers that wait at this member.
  std::size_t max_waiting = 4096;
  /// Of a single read or write of the store.
  std::chrono::milliseconds call_timeout{5000};
  /// How long a call for a page of events waits at the member.
  std::chrono::milliseconds page_timeout{10'000};
  /// After one that failed.
  Duration between_attempts = std::chrono::milliseconds(100);
};

/// What the recipes share.
struct Recipes {
  Recipes(Backend& of, const RecipeOptions& chosen)
      : backend(of), options(chosen), places(chosen.max_waiting, 0) {}

  Backend& backend;
  const RecipeOptions options;
  WatchPlaces places;
  const ServiceLife life;
};

/// What a recipe of etcd answers if the store fails: its server passes on its client's error, whose
/// code gets lost. Clients match on the text.
Outcome RecipeOutcome(const Status& status);

/// Calls `then` with `lease` or, if it is 0, with a new one.
void WithLease(Recipes& recipes, std::int64_t lease,
               OnceFunction<void(Result<std::uint64_t>)> then);

/// The keys of all contenders for `name`.
std::string PrefixOf(const std::string& name);
/// The key of the contender with `lease`.
std::string ContenderKey(const std::string& name, std::uint64_t lease);

struct ContenderRequest {
  std::string name;
  std::int64_t lease = 0;
  std::string value;
  /// A contender that is in the queue already takes `value` over.
  bool proclaims = false;
  /// What is said where the key is gone by the time it is its turn.
  const char* lost = "";
};

/// It is its turn.
struct Turn {
  std::string key;
  std::uint64_t created = 0;  ///< create_revision of the key
  std::uint64_t lease = 0;
  std::uint64_t queued = 0;    ///< of the state after it had queued up
  std::uint64_t revision = 0;  ///< of the state that shows its turn
};

/// Queues up, and calls `done` later: when it is its turn or something went wrong. When the
/// returned object is released before, the place in the queue is given up: the key is deleted. On
/// the loop; `recipes` outlives the call.
std::shared_ptr<void> Contend(Recipes& recipes, ContenderRequest request,
                              OnceFunction<void(const Outcome&, const Turn&)> done);

}  // namespace raftkv::etcd
