// What is measured about TLS? (docs/metrics.md names every metric)
#pragma once

#include <array>
#include <map>
#include <string>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include "rpc/tls/tls_source.h"

namespace raftkv::rpc {

/// Taken on the loop at each scrape.
struct TlsSnapshot {
  TlsCounts counts = {};
  /// Days until what is presented, or its CA, expires, by whom it is shown to: "clients",
  /// "members". Empty without TLS.
  std::map<std::string, double> expiry_days = {};
};

/// Used on the loop only.
class TlsMetrics {
 public:
  explicit TlsMetrics(prometheus::Registry& registry);
  TlsMetrics(const TlsMetrics&) = delete;
  TlsMetrics& operator=(const TlsMetrics&) = delete;

  void Show(const TlsSnapshot& snapshot);

 private:
  prometheus::Counter& handshakes_;
  std::array<prometheus::Counter*, kTlsFaults> refused_{};
  prometheus::Counter* reloads_ = nullptr;
  prometheus::Counter* failed_reloads_ = nullptr;
  prometheus::Family<prometheus::Gauge>& expiry_days_;
  std::map<std::string, prometheus::Gauge*> expiry_gauges_;
};

}  // namespace raftkv::rpc
