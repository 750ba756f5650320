#include "storage/snapshots.h"

#include "lib/base/check.h"

namespace raftkv::storage {

void Snapshots::Compact(Index through) {
  // KNOWN_BUGS 21: a crash takes back what is applied and not flushed; only the log has it then.
  const Index flushed = machine_.engine()->flushed();
  RAFTKV_CHECK(through <= flushed, through.value, flushed.value);
  log_.Compact(through);
}

}  // namespace raftkv::storage
