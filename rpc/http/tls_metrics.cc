#include "rpc/http/tls_metrics.h"

#include <cstdint>

namespace raftkv::rpc {

TlsMetrics::TlsMetrics(prometheus::Registry& registry)
    : handshakes_(prometheus::BuildCounter()
                      .Name("raftkv_tls_handshakes_total")
                      .Help("TLS handshakes completed on all ports")
                      .Register(registry)
                      .Add({})),
      expiry_days_(prometheus::BuildGauge()
                       .Name("raftkv_tls_certificate_expiry_days")
                       .Help("Days until the certificate shown to clients or members, or its CA, "
                             "expires")
                       .Register(registry)) {
  auto& refused = prometheus::BuildCounter()
                      .Name("raftkv_tls_refused_total")
                      .Help("TLS connections that were refused, by reason")
                      .Register(registry);
  for (std::size_t i = 1; i < kTlsFaults; ++i) {
    refused_[i] = &refused.Add({{"reason", TlsFaultName(static_cast<TlsFault>(i))}});
  }
  auto& reloads = prometheus::BuildCounter()
                      .Name("raftkv_tls_reloads_total")
                      .Help("How often the TLS files were read again, by outcome")
                      .Register(registry);
  reloads_ = &reloads.Add({{"outcome", "ok"}});
  failed_reloads_ = &reloads.Add({{"outcome", "failed"}});
}

void TlsMetrics::Show(const TlsSnapshot& snapshot) {
  const auto raise = [](prometheus::Counter& counter, std::uint64_t to) {
    counter.Increment(static_cast<double>(to) - counter.Value());
  };
  raise(handshakes_, snapshot.counts.handshakes);
  for (std::size_t i = 1; i < kTlsFaults; ++i) raise(*refused_[i], snapshot.counts.refused[i]);
  raise(*reloads_, snapshot.counts.reloads);
  raise(*failed_reloads_, snapshot.counts.failed_reloads);
  for (const auto& [whom, days] : snapshot.expiry_days) {
    prometheus::Gauge*& gauge = expiry_gauges_[whom];
    if (gauge == nullptr) gauge = &expiry_days_.Add({{"shown_to", whom}});
    gauge->Set(days);
  }
}

}  // namespace raftkv::rpc
