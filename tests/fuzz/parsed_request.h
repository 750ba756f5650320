// What did a request say? As text that two equal requests share, and as what encodes it again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"

namespace raftkv::fuzz {

/// All that is carried out: fields that mean nothing where they stand are left out.
std::string Describe(const kv::ParsedRequest& request);
std::string Describe(const std::vector<kv::ParsedRead>& reads);

struct Rebuilt {
  std::vector<kv::Operation> operations;
  std::vector<std::size_t> call_sizes;
};
/// nullopt: a transaction in it has a range that ends before the first key, which the public types
/// have no words for.
std::optional<Rebuilt> Rebuild(const kv::ParsedRequest& request);
std::vector<kv::ReadOp> Rebuild(const std::vector<kv::ParsedRead>& reads);

}  // namespace raftkv::fuzz
