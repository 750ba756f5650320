// Configurations, as entries of the log and parts of snapshots have them: what is taken obeys the
// rules, and encodes again to the same one.
#include "lib/raft/configuration.h"
#include "tests/fuzz/fuzz.h"

RAFTKV_FUZZ_TARGET(configuration) {
  const Result<raft::Configuration> configuration = raft::DecodeConfiguration(input);
  if (!configuration.ok()) {
    return CheckRefusal(configuration.status(), {Code::kCorruption, Code::kVersionMismatch});
  }
  const Status obeys = raft::CheckConfiguration(*configuration);
  RAFTKV_CHECK(obeys.ok(), obeys.ToString());
  const Bytes encoded = raft::EncodeConfiguration(*configuration);
  const Result<raft::Configuration> again = raft::DecodeConfiguration(encoded.view());
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(*again == *configuration);
}
