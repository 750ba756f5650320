#include "rpc/etcd/kv_hash.h"

#include <string_view>
#include <utility>

#include <raftkv/kv.h>

#include "lib/base/xxh3.h"

namespace raftkv::etcd {

namespace {

/// Small, so that the loop has time for everything else between two pages.
constexpr std::uint32_t kHashPageBytes = 256 << 10;

class HashCall : public std::enable_shared_from_this<HashCall> {
 public:
  HashCall(Backend& backend, const ServiceLife& life, std::uint64_t revision,
           OnceFunction<void(const Result<KvHash>&)> done)
      : backend_(backend),
        life_(life),
        done_(std::move(done)),
        state_(XXH3_createState(), &XXH3_freeState) {
    options_.consistency = Consistency::kLocal;
    options_.revision = revision;
    options_.skip_count = true;
    options_.page_bytes = kHashPageBytes;
    XXH3_64bits_reset(state_.get());
  }

  void Next() {
    backend_.kv.ScanAsync(KeyRange::Prefix(""), options_,
                          life_.Guard([weak = weak_from_this()](const Result<ScanResult>& page) {
                            if (const auto self = weak.lock()) self->OnPage(page);
                          }));
  }

 private:
  void OnPage(const Result<ScanResult>& page) {
    if (!page.ok()) return std::exchange(done_, nullptr)(page.status());
    for (const raftkv::KeyValue& kv : page->kvs) {
      // With the sizes, so that no two contents run together to the same bytes.
      Add(kv.key);
      Add(kv.value);
      const std::uint64_t counts[] = {kv.mod_revision, kv.create_revision, kv.version, kv.lease};
      XXH3_64bits_update(state_.get(), counts, sizeof counts);
    }
    if (!page->continuation.empty()) {
      options_.continuation = page->continuation;
      return Next();
    }
    const std::uint64_t hash = XXH3_64bits_digest(state_.get());
    std::exchange(done_, nullptr)(
        KvHash{.hash = static_cast<std::uint32_t>(hash ^ hash >> 32), .revision = page->revision});
  }

  void Add(std::string_view bytes) {
    const std::uint64_t size = bytes.size();
    XXH3_64bits_update(state_.get(), &size, sizeof size);
    XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
  }

  Backend& backend_;
  const ServiceLife& life_;
  OnceFunction<void(const Result<KvHash>&)> done_;
  ScanOptions options_;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

}  // namespace

std::shared_ptr<void> HashKeys(Backend& backend, const ServiceLife& life, std::uint64_t revision,
                               OnceFunction<void(const Result<KvHash>&)> done) {
  auto call = std::make_shared<HashCall>(backend, life, revision, std::move(done));
  call->Next();
  return call;
}

}  // namespace raftkv::etcd
