#include "rpc/etcd/watch_page.h"

#include <memory>
#include <utility>

namespace raftkv::etcd {

void AskPage(Backend& backend, KeyRange range, const WatchPageOptions& options,
             OnceFunction<void(Result<WatchPage>)> done) {
  const auto inside = std::make_shared<bool>(true);
  // A Callback is copied, what it holds is not.
  const auto kept = std::make_shared<OnceFunction<void(Result<WatchPage>)>>(std::move(done));
  rpc::EventLoop& loop = backend.loop;
  backend.kv.WatchPageAsync(
      std::move(range), options, [&loop, inside, kept](Result<WatchPage> page) {
        if (!*inside) return (*kept)(std::move(page));
        loop.RunLater([kept, page = std::move(page)]() mutable { (*kept)(std::move(page)); });
      });
  *inside = false;
}

}  // namespace raftkv::etcd
