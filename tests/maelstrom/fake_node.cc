// raftkv_maelstrom_fake: a node that speaks the protocol of Maelstrom and replicates nothing. The
// first node keeps everything, the others ask it: right in every run, as slow links and partitions
// cost answers only. `--fault NAME` makes it wrong, in one of the ways that
// tests/support/maelstrom_* must find (tests/process/maelstrom/maelstrom_harness_test.cc).
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

namespace raftkv::test {
namespace {

using Json = nlohmann::json;

constexpr int kEach = 20;  ///< one of so many goes wrong

class FakeNode {
 public:
  FakeNode(std::string fault, std::string data_dir)
      : fault_(std::move(fault)), file_(data_dir.empty() ? "" : data_dir + "/state") {
    if (file_.empty()) return;
    std::filesystem::create_directories(data_dir);
    if (fault_ == "forgets" || !std::filesystem::exists(file_)) return;
    Json saved = Json::parse(std::ifstream(file_));
    values_ = saved.at("values").get<std::map<std::string, Json>>();
    counter_ = saved.at("counter");
  }

  void Receive(const Json& message) {
    const Json& body = message.at("body");
    const std::string type = body.at("type");
    if (type == "init") {
      name_ = body.at("node_id");
      home_ = body.at("node_ids").at(0);
      Answer(message.at("src"), body, {{"type", "init_ok"}});
    } else if (name_.empty()) {
      return;  // a peer that was told earlier
    } else if (type == "ask") {
      Send(message.at("src"), {{"type", "told"},
                               {"client", body.at("client")},
                               {"request", body.at("request")},
                               {"answer", Do(body.at("request"))}});
    } else if (type == "told") {
      Note(body.at("request"), body.at("answer"));
      Answer(body.at("client"), body.at("request"), body.at("answer"));
    } else {
      FromClient(message.at("src"), body);
    }
  }

 private:
  void FromClient(const std::string& client, const Json& request) {
    if (fault_ == "silent") return;
    ++asked_;
    if (fault_ == "dies" && asked_ == kEach) std::exit(3);
    if (fault_ == "noise" && asked_ == kEach) std::cout << "I was asked " << asked_ << " times\n";
    if (fault_ == "stray" && asked_ == kEach) Answer("c999", request, {{"type", "read_ok"}});
    if (fault_ == "impostor" && asked_ == kEach) name_ = "n9";
    const std::string key = request.contains("key") ? request.at("key").dump() : "";
    if (name_ == home_) {
      Answer(client, request, Do(request));
    } else if (fault_ == "stale" && request.at("type") == "read" && seen_.count(key) != 0) {
      Answer(client, request, {{"type", "read_ok"}, {"value", seen_[key]}});
    } else {
      Send(home_, {{"type", "ask"}, {"client", client}, {"request", request}});
    }
  }

  /// Carries it out, at home.
  Json Do(const Json& request) {
    const bool wrong = ++done_ % kEach == 0;
    const Json answer = Carry(request, wrong);
    if (!file_.empty()) Save();
    // Only what adds something, so that what is wrong does not come to nothing in the end.
    const bool more = request.at("type") == "write" || request.at("type") == "txn" ||
                      request.value("delta", 0) > 0;
    if (fault_ == "definite" && more && ++refusable_ % kEach == 0) return Error(11);
    if (fault_ == "blames" && wrong) return Error(12);
    return answer;
  }

  Json Carry(const Json& request, bool wrong) {
    const std::string type = request.at("type");
    if (type == "echo") {
      return {{"type", "echo_ok"},
              {"echo", fault_ == "deaf" && wrong ? Json(0) : request.at("echo")}};
    }
    if (type == "generate") {
      return {{"type", "generate_ok"}, {"id", fault_ == "repeats" && wrong ? 7 : done_ + 100}};
    }
    if (type == "add") {
      const std::int64_t delta = request.at("delta");
      const bool miscounts = fault_ == "miscounts" && ++added_ % kEach == 0;
      counter_ += miscounts ? delta + std::abs(delta) + 1 : delta;
      return {{"type", "add_ok"}};
    }
    if (type == "txn") return Transact(request.at("txn"), wrong);
    if (!request.contains("key")) return {{"type", "read_ok"}, {"value", counter_}};
    const std::string key = request.at("key").dump();
    const bool there = values_.count(key) != 0;
    if (type == "read") {
      if (!there) return Error(20);
      return {{"type", "read_ok"},
              {"value", fault_ == "changes" && wrong ? Json(1.5) : values_[key]}};
    }
    if (type == "write") {
      if (fault_ != "loses" || !wrong) values_[key] = request.at("value");
      return {{"type", "write_ok"}};
    }
    if (!there) return Error(20);
    if (values_[key] != request.at("from") && fault_ != "swaps") return Error(22);
    values_[key] = request.at("to");
    return {{"type", "cas_ok"}};
  }

  /// What "loses" forgets all of its writes, what "halves" all but the first.
  Json Transact(Json operations, bool wrong) {
    std::map<std::string, Json> after = values_;
    bool first = true;
    for (Json& operation : operations) {
      Json& value = after[operation.at(1).dump()];
      if (operation.at(0) == "r") {
        operation.at(2) = value;
        continue;
      }
      if (operation.at(0) == "w") value = operation.at(2);
      if (operation.at(0) == "append") value.push_back(operation.at(2));
      if (fault_ == "halves" && wrong && std::exchange(first, false)) {
        values_[operation.at(1).dump()] = value;
      }
    }
    if (!wrong || (fault_ != "loses" && fault_ != "halves")) values_ = std::move(after);
    return {{"type", "txn_ok"}, {"txn", std::move(operations)}};
  }

  void Save() {
    {
      std::ofstream out(file_ + ".new", std::ios::trunc);
      out << Json({{"values", values_}, {"counter", counter_}});
    }
    std::filesystem::rename(file_ + ".new", file_);
  }

  /// What a client of this node was told.
  void Note(const Json& request, const Json& answer) {
    if (request.at("type") == "read" && answer.contains("value") && request.contains("key")) {
      seen_[request.at("key").dump()] = answer.at("value");
    }
  }

  static Json Error(int code) { return {{"type", "error"}, {"code", code}, {"text", "no"}}; }

  void Answer(const std::string& client, const Json& request, Json answer) {
    answer["in_reply_to"] = request.at("msg_id");
    Send(client, answer);
    if (fault_ == "twice" && answer.at("type") == "write_ok") Send(client, answer);
  }

  void Send(const std::string& to, const Json& body) {
    std::cout << Json({{"src", name_}, {"dest", to}, {"body", body}}) << std::endl;
  }

  const std::string fault_;
  const std::string file_;
  std::string name_;
  std::string home_;
  int asked_ = 0;
  int done_ = 0;
  int refusable_ = 0;
  int added_ = 0;
  std::int64_t counter_ = 0;
  std::map<std::string, Json> values_;
  std::map<std::string, Json> seen_;
};

int Main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  const std::string fault = flags["--fault"];
  if (fault == "litters") {
    std::ofstream(std::filesystem::temp_directory_path() / "litter") << "left behind\n";
  }
  if (fault == "early") std::cout << R"({"src":"n1","dest":"n2","body":{"type":"x"}})" << std::endl;
  FakeNode node(fault, flags["--data-dir"]);
  for (std::string line; std::getline(std::cin, line);) node.Receive(Json::parse(line));
  return fault == "fails" ? 1 : 0;
}

}  // namespace
}  // namespace raftkv::test

int main(int argc, char** argv) { return raftkv::test::Main(argc, argv); }
