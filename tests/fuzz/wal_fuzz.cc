// Write-ahead logs as they are found on the disk: whatever the bytes, the scan ends, reads nothing
// beyond them, and its verdict holds together.
#include <string>
#include <vector>

#include "storage/disk/log_file.h"
#include "storage/log/wal_scan.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckScan(const std::vector<storage::WalFile>& files) {
  const storage::WalScan scan = storage::ScanWal(files);
  RAFTKV_CHECK(scan.first_batch <= scan.last_batch, scan.first_batch, scan.last_batch);
  RAFTKV_CHECK((scan.state == storage::WalState::kWhole) == scan.where.empty(), scan.where);
  if (!scan.broken.has_value()) return;
  RAFTKV_CHECK(scan.state != storage::WalState::kWhole);
  RAFTKV_CHECK(scan.broken->begin <= scan.broken->end, scan.broken->begin, scan.broken->end);
}

void CheckFragments(std::string_view bytes) {
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    const storage::Fragment fragment = storage::ReadFragment(bytes, at);
    RAFTKV_CHECK(fragment.kind != storage::Fragment::Kind::kIntact || fragment.size > 0);
    RAFTKV_CHECK(fragment.payload.size() <= bytes.size() - at, fragment.payload.size(), at);
  }
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(wal) {
  CheckFragments(input);
  CheckScan({{"000001.log", std::string(input)}});
  const std::size_t middle = input.size() / 2;
  CheckScan({{"000001.log", std::string(input.substr(0, middle))},
             {"000002.log", std::string(input.substr(middle))}});
  static_cast<void>(storage::BatchMarkOf(input));
}
