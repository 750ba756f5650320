#include "rpc/etcd/lock_service.h"

#include <utility>

#include "rpc/etcd/errors.h"

namespace raftkv::etcd {

namespace {

constexpr char kLockService[] = "v3lockpb.Lock";

}  // namespace

void LockService::Register(Methods& methods) {
  methods.AddHeldUnary<LockRequest, LockResponse>(
      kLockService, "Lock", "lock/lock",
      [this](const CallContext&, LockRequest request, Replier<LockResponse> reply) {
        return Lock(std::move(request), std::move(reply));
      });
  methods.AddUnary<UnlockRequest, UnlockResponse>(
      kLockService, "Unlock", "lock/unlock",
      [this](const CallContext& context, UnlockRequest request, Replier<UnlockResponse> reply) {
        Unlock(context, std::move(request), std::move(reply));
      });
}

std::shared_ptr<void> LockService::Lock(LockRequest request, Replier<LockResponse> reply) {
  ContenderRequest contender;
  contender.name = std::move(request.name);
  contender.lease = request.lease;
  contender.lost = "mutex: session is expired";
  Backend& backend = recipes_.backend;
  return Contend(recipes_, std::move(contender),
                 [&backend, reply = std::move(reply)](const Outcome& outcome, const Turn& turn) {
                   if (!outcome.ok()) return reply(outcome);
                   LockResponse response;
                   response.header = MakeHeader(backend, turn.revision);
                   response.key = turn.key;
                   reply(response);
                 });
}

void LockService::Unlock(const CallContext& context, UnlockRequest request,
                         Replier<UnlockResponse> reply) {
  if (request.key.empty()) return reply(kEmptyKey);
  WriteOptions options;
  options.timeout = TimeoutOf(recipes_.backend, context);
  recipes_.backend.kv.DeleteAsync(
      std::move(request.key), options,
      recipes_.life.Guard([this, reply](const Result<DeleteResult>& deleted) {
        if (!deleted.ok()) return reply(RecipeOutcome(deleted.status()));
        UnlockResponse response;
        response.header = MakeHeader(recipes_.backend, deleted->revision);
        reply(response);
      }));
}

}  // namespace raftkv::etcd
