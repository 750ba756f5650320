// The network of <raftkv/in_process_network.h>: one thread that delivers frames when they are due.
#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <raftkv/in_process_network.h>

#include "lib/base/mutex.h"
#include "lib/base/random.h"
#include "lib/base/thread.h"
#include "lib/base/time.h"

namespace raftkv {

namespace {

using SteadyClock = std::chrono::steady_clock;

}  // namespace

class InProcessNetwork::Body {
 public:
  /// Where a member receives its frames.
  class Mailbox {
   public:
    void Open(Transport::Receiver receiver) {
      const MutexLock lock(mutex_);
      receiver_ = std::move(receiver);
    }
    /// Waits for a running call.
    void Close() {
      const MutexLock lock(mutex_);
      receiver_ = nullptr;
    }
    void Deliver(const std::string& from, std::string frame) {
      const MutexLock lock(mutex_);
      if (receiver_) receiver_(from, std::move(frame));
    }

   private:
    Mutex mutex_;
    Transport::Receiver receiver_ RAFTKV_GUARDED_BY(mutex_);
  };

  explicit Body(const InProcessNetworkOptions& options)
      : options_(Bounded(options)), random_(options.seed) {
    const MutexLock lock(mutex_);
    StartIfNeeded();
  }

  void Stop() {
    {
      const MutexLock lock(mutex_);
      stopped_ = true;
    }
    changed_.NotifyAll();
    if (thread_.joinable()) thread_.join();
  }

  void Attach(const std::string& address, std::shared_ptr<Mailbox> mailbox) {
    const MutexLock lock(mutex_);
    mailboxes_[address] = std::move(mailbox);
  }
  void Detach(const std::string& address, const std::shared_ptr<Mailbox>& mailbox) {
    const MutexLock lock(mutex_);
    const auto found = mailboxes_.find(address);
    if (found != mailboxes_.end() && found->second == mailbox) mailboxes_.erase(found);
  }

  void Send(const std::string& from, const std::string& to, std::string frame) {
    const MutexLock lock(mutex_);
    if (stopped_ || cut_.contains({from, to}) || Happens(options_.loss_percent)) return;
    StartIfNeeded();
    if (Happens(options_.duplicate_percent)) Queue(from, to, frame);
    Queue(from, to, std::move(frame));
    changed_.NotifyOne();
  }

  void Cut(const std::string& from, const std::string& to) {
    const MutexLock lock(mutex_);
    cut_.insert({from, to});
  }
  void Heal(const std::string& from, const std::string& to) {
    const MutexLock lock(mutex_);
    cut_.erase({from, to});
  }
  void HealAll() {
    const MutexLock lock(mutex_);
    cut_.clear();
  }

 private:
  struct Flight {
    SteadyClock::time_point at;
    std::uint64_t order;
    std::string from;
    std::string to;
    std::string frame;
  };
  /// For a heap with the earliest at the front.
  static bool Later(const Flight& a, const Flight& b) {
    return std::tie(b.at, b.order) < std::tie(a.at, a.order);
  }

  static InProcessNetworkOptions Bounded(InProcessNetworkOptions options) {
    options.min_delay = BoundedTimeout(options.min_delay);
    options.max_delay = BoundedTimeout(options.max_delay);
    return options;
  }

  /// While the system has no thread left, frames wait, and are lost beyond max_bytes.
  void StartIfNeeded() RAFTKV_REQUIRES(mutex_) {
    if (thread_.joinable()) return;
    if (auto thread = StartThread("raftkv-network", [this] { Run(); }); thread.ok()) {
      thread_ = *std::move(thread);
    }
  }
  bool Happens(unsigned percent) RAFTKV_REQUIRES(mutex_) { return random_.Below(100) < percent; }
  void Queue(const std::string& from, const std::string& to, std::string frame)
      RAFTKV_REQUIRES(mutex_) {
    if (bytes_ + frame.size() > options_.max_bytes) return;
    bytes_ += frame.size();
    const auto span = options_.max_delay - std::min(options_.min_delay, options_.max_delay);
    const auto drawn = random_.Below(static_cast<std::uint64_t>(span.count()) + 1);
    const auto delay = options_.min_delay + std::chrono::microseconds(drawn);
    flights_.push_back({SteadyClock::now() + delay, order_++, from, to, std::move(frame)});
    std::push_heap(flights_.begin(), flights_.end(), Later);
  }

  void Run() {
    MutexLock lock(mutex_);
    while (!stopped_) {
      if (flights_.empty()) {
        changed_.Wait(lock);
        continue;
      }
      const auto next = flights_.front().at;
      if (next > SteadyClock::now()) {
        changed_.WaitUntil(lock, next);
        continue;
      }
      std::pop_heap(flights_.begin(), flights_.end(), Later);
      Flight flight = std::move(flights_.back());
      flights_.pop_back();
      bytes_ -= flight.frame.size();
      const auto found = mailboxes_.find(flight.to);
      if (found == mailboxes_.end() || cut_.contains({flight.from, flight.to})) continue;
      const std::shared_ptr<Mailbox> mailbox = found->second;
      lock.Unlock();  // the receiver may send
      mailbox->Deliver(flight.from, std::move(flight.frame));
      lock.Lock();
    }
  }

  const InProcessNetworkOptions options_;

  Mutex mutex_;
  Condition changed_;
  Random random_ RAFTKV_GUARDED_BY(mutex_);
  bool stopped_ RAFTKV_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<Mailbox>> mailboxes_ RAFTKV_GUARDED_BY(mutex_);
  std::set<std::pair<std::string, std::string>> cut_ RAFTKV_GUARDED_BY(mutex_);
  std::vector<Flight> flights_ RAFTKV_GUARDED_BY(mutex_);
  std::size_t bytes_ RAFTKV_GUARDED_BY(mutex_) = 0;
  std::uint64_t order_ RAFTKV_GUARDED_BY(mutex_) = 0;

  /// Created with mutex_ held; once stopped, owned by the thread that stops it.
  std::thread thread_;

  friend class InProcessNetwork;
  class Port;
};

class InProcessNetwork::Body::Port final : public Transport {
 public:
  Port(std::shared_ptr<Body> body, std::string address)
      : body_(std::move(body)), address_(std::move(address)) {}
  ~Port() override { Stop(); }

  void Start(Receiver receiver) override {
    mailbox_->Open(std::move(receiver));
    body_->Attach(address_, mailbox_);
  }
  void Send(const std::string& to, std::string frame) override {
    body_->Send(address_, to, std::move(frame));
  }
  void Stop() override {
    body_->Detach(address_, mailbox_);
    mailbox_->Close();
  }

 private:
  const std::shared_ptr<Body> body_;
  const std::string address_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
};

InProcessNetwork::InProcessNetwork(const InProcessNetworkOptions& options)
    : body_(std::make_shared<Body>(options)) {}

InProcessNetwork::~InProcessNetwork() { body_->Stop(); }

std::shared_ptr<Transport> InProcessNetwork::NewTransport(std::string address) {
  return std::make_shared<Body::Port>(body_, std::move(address));
}

void InProcessNetwork::Cut(const std::string& from, const std::string& to) { body_->Cut(from, to); }
void InProcessNetwork::Heal(const std::string& from, const std::string& to) {
  body_->Heal(from, to);
}
void InProcessNetwork::HealAll() { body_->HealAll(); }

}  // namespace raftkv
