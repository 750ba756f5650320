// How are many keys read from one state, also where they do not fit into one answer?
//
// What the first answer left out is asked for at its revision. If that is gone by then it all
// begins again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/kv.h>

#include "lib/kv/request.h"
#include "lib/session/session_call.h"

namespace raftkv::node {

class MultiGet : public std::enable_shared_from_this<MultiGet> {
 public:
  /// Makes one call of these reads.
  using Ask = std::function<void(std::vector<kv::ReadOp>, ReadCall::Finish)>;

  /// `revision`: 0 is the latest. `ask` may be called until `done` is.
  static void Begin(std::vector<std::string> keys, std::uint64_t revision, Ask ask,
                    Callback<GetManyResult> done);

 private:
  MultiGet(std::vector<std::string> keys, std::uint64_t revision, Ask ask,
           Callback<GetManyResult> done);
  void AskForAll();
  void AskForRest();
  void OnAnswer(Result<std::vector<kv::ReadAnswer>> answer);

  const std::vector<std::string> keys_;
  const std::uint64_t revision_;
  const Ask ask_;
  const Callback<GetManyResult> done_;
  int attempts_ = 0;
  GetManyResult result_;
  /// Indexes of the keys that are not answered yet.
  std::vector<std::size_t> rest_;
};

}  // namespace raftkv::node
