#include "tests/support/maelstrom/maelstrom_workload.h"

#include <set>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test::maelstrom {
namespace {

/// It did not happen, and never will.
bool IsDefinite(std::int64_t code) {
  static const std::set<std::int64_t> kDefinite = {1, 10, 11, 12, 14, 20, 21, 22, 30};
  return kDefinite.count(code) != 0;
}

/// "not supported" and "malformed" are wrong for every request that is made here.
bool BlamesTheRequest(std::int64_t code) { return code == 10 || code == 12; }

class Echo : public Workload {
 public:
  Json Draw(Random& random) override {
    return {{"type", "echo"}, {"echo", DistinctValue(random.Below(1'000'000))}};
  }

 private:
  void OnOk(std::uint64_t request, const Json& answer) override {
    const Json& sent = body(request).at("echo");
    if (answer.contains("echo") && answer["echo"].dump() == sent.dump()) return;
    Report(sent.dump() + " was echoed as " + answer.dump());
  }
  Outcome OnError(std::uint64_t, std::int64_t, Outcome outcome) override { return outcome; }
  void OnGiveUp(std::uint64_t) override {}
};

class UniqueIds : public Workload {
 public:
  Json Draw(Random&) override { return {{"type", "generate"}}; }

 private:
  void OnOk(std::uint64_t, const Json& answer) override {
    if (!answer.contains("id")) return Report("generate_ok without an id: " + answer.dump());
    if (!ids_.insert(answer["id"].dump()).second) Report("given twice: " + answer.dump());
  }
  Outcome OnError(std::uint64_t, std::int64_t, Outcome outcome) override { return outcome; }
  void OnGiveUp(std::uint64_t) override {}

  std::set<std::string> ids_;
};

}  // namespace

std::uint64_t Workload::Ask(std::uint32_t client, std::uint64_t now_ms, Json body) {
  now_ms_ = now_ms;
  bodies_.push_back(std::move(body));
  OnAsk(bodies_.size() - 1, client);
  return bodies_.size() - 1;
}

Outcome Workload::Answer(std::uint64_t request, std::uint64_t now_ms, const Json& answer) {
  now_ms_ = now_ms;
  const std::string type = answer.at("type");
  if (type == body(request).at("type").get<std::string>() + "_ok") {
    OnOk(request, answer);
    return Outcome::kOk;
  }
  const bool is_error = type == "error" && answer.contains("code") &&
                        answer["code"].is_number_integer() && answer.contains("text") &&
                        answer["text"].is_string();
  if (!is_error) return Misanswered(request, answer);
  const auto code = answer["code"].get<std::int64_t>();
  if (BlamesTheRequest(code)) Misanswered(request, answer);
  return OnError(request, code, IsDefinite(code) ? Outcome::kFailed : Outcome::kUnknown);
}

Outcome Workload::Misanswered(std::uint64_t request, const Json& answer) {
  Report("the answer to " + body(request).dump() + " was " + answer.dump());
  return Outcome::kUnknown;
}

void Workload::GiveUp(std::uint64_t request, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  OnGiveUp(request);
}

std::vector<std::string> Workload::Judge() {
  OnJudge();
  return problems_;
}

void Workload::Report(std::string problem) {
  constexpr std::size_t kMost = 20;
  if (problems_.size() < kMost) problems_.push_back(std::move(problem));
}

std::unique_ptr<Workload> NewEcho() { return std::make_unique<Echo>(); }

std::unique_ptr<Workload> NewUniqueIds() { return std::make_unique<UniqueIds>(); }

std::unique_ptr<Workload> NewWorkload(const std::string& name) {
  if (name == "echo") return NewEcho();
  if (name == "lin-kv") return NewLinKv();
  if (name == "txn-rw-register") return NewTxnRegister();
  if (name == "txn-list-append") return NewTxnList();
  if (name == "g-counter") return NewCounter(false);
  if (name == "pn-counter") return NewCounter(true);
  if (name == "unique-ids") return NewUniqueIds();
  return nullptr;
}

Json DistinctValue(std::uint64_t number) {
  constexpr std::uint64_t kKinds = 7;
  constexpr std::uint64_t kBeyondDoubles = std::uint64_t{1} << 60;
  switch (number % kKinds) {
    case 0: return number;
    case 1: return "v" + std::to_string(number) + " \"\\\n\t\x01 \u00e9\u4e2d";
    case 2: return Json::array({number, nullptr, "x", Json::array(), false});
    case 3: return {{"n", number}, {"deep", {{"a", Json::array({true, 1.5})}, {"", nullptr}}}};
    case 4: return static_cast<double>(number) + 0.5;
    case 5: return -static_cast<std::int64_t>(number);
    default: return kBeyondDoubles + number;
  }
}

}  // namespace raftkv::test::maelstrom
