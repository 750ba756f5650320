// Was what a client was shown over several answers a state that was there?
#include <utility>

#include "lib/kv/parse.h"
#include "tests/sim/judges/model.h"
#include "tests/sim/judges/reads.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

kv::ParsedRead AsRead(const KeyRange& range, const ScanOptions& options) {
  kv::ParsedRead read;
  read.range = {range.end.empty() ? kv::Range::Kind::kUnbounded : kv::Range::Kind::kBounded,
                range.begin, range.end};
  read.limit = options.limit;
  read.keys_only = options.keys_only;
  read.count_only = options.count_only;
  read.uncounted = options.skip_count;
  read.max_bytes = options.page_bytes;
  read.revision = options.revision;
  read.order = {.by = options.order,
                .descending = options.reverse,
                .min_mod_revision = options.min_mod_revision,
                .max_mod_revision = options.max_mod_revision,
                .min_create_revision = options.min_create_revision,
                .max_create_revision = options.max_create_revision};
  return read;
}

}  // namespace

void Reads::OnShown(Shown shown) {
  const std::uint64_t revision = shown.result.revision;
  shown_to_clients_.emplace(revision, std::move(shown));
}

std::string Reads::CompareShown(const Model& model, const Shown& shown) {
  if (shown.keys.empty()) {
    kv::ParsedRead asked = AsRead(shown.range, shown.options);
    // Each page has the limit.
    asked.limit = 0;
    ScanResult result = shown.result;
    result.revision = model.revision();
    return model.Compare(asked, result);
  }
  auto found = shown.result.kvs.begin();
  for (const std::string& key : shown.keys) {
    kv::ParsedRead asked;
    asked.range.begin = key;
    asked.revision = shown.options.revision;
    ScanResult one;
    one.revision = model.revision();
    if (found != shown.result.kvs.end() && found->key == key) one.kvs.push_back(*found++);
    one.count = one.kvs.size();
    std::string wrong = model.Compare(asked, one);
    if (!wrong.empty()) return wrong;
  }
  return found == shown.result.kvs.end() ? "" : "it shows '" + found->key + "'";
}

void Reads::CompareAllShown(const Model& model) {
  while (!shown_to_clients_.empty() && shown_to_clients_.begin()->first <= model.revision()) {
    const Shown shown = std::move(shown_to_clients_.begin()->second);
    shown_to_clients_.erase(shown_to_clients_.begin());
    // No read sees the middle of an entry, unless it asks for that revision.
    const bool latest = shown.options.revision == 0;
    const std::string wrong = latest && shown.result.revision < model.revision()
                                  ? "no entry left the store at this revision"
                                  : CompareShown(model, shown);
    if (wrong.empty()) continue;
    world_.Fail("states that were", shown.client + " was shown revision " +
                                        std::to_string(shown.result.revision) +
                                        " over several answers: " + wrong);
  }
}

}  // namespace raftkv::sim
