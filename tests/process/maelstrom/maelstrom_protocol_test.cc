// Does one node of Maelstrom keep to the protocol, whatever it is told?
#include <filesystem>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;

constexpr std::chrono::seconds kPatience(30);

/// A `raftkv maelstrom` that is fed line by line.
class MaelstromNode {
 public:
  /// Without a data folder it makes a temporary one in `folder`/tmp.
  explicit MaelstromNode(const TempFolder& folder, std::vector<std::string> arguments = {}) {
    std::filesystem::create_directories(folder / "tmp");
    std::vector<std::string> command{RAFTKV_BINARY, "maelstrom", "--election-timeout=100ms",
                                     "--heartbeat=30ms"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    process_ = std::make_unique<Process>(ProcessOptions{.command = std::move(command),
                                                        .environment = {{"TMPDIR", folder / "tmp"}},
                                                        .stdin_content = {},
                                                        .open_stdin = true,
                                                        .stdout_path = folder / "stdout",
                                                        .stderr_path = folder / "stderr"});
  }

  Process& process() { return *process_; }
  void Line(const std::string& line) { ASSERT_TRUE(process_->WriteStdin(line + "\n")); }
  /// Sends it as the next request of c1, and gives its number.
  int Send(Json body) {
    body["msg_id"] = ++last_id_;
    Line(Json{{"src", "c1"}, {"dest", "n1"}, {"body", body}}.dump());
    return last_id_;
  }
  /// The answer's body; null: none came.
  Json Answer(int msg_id) {
    Json answer;
    WaitFor(kPatience, [&] {
      for (const Json& message : Messages()) {
        if (message["body"].value("in_reply_to", -1) == msg_id) answer = message["body"];
      }
      return !answer.is_null();
    });
    return answer;
  }
  Json Ask(Json body) { return Answer(Send(std::move(body))); }
  Json Init(const std::vector<std::string>& nodes = {"n1"}) {
    return Ask({{"type", "init"}, {"node_id", "n1"}, {"node_ids", nodes}});
  }
  /// Everything on stdout; every line must be a message.
  std::vector<Json> Messages() {
    std::vector<Json> messages;
    std::istringstream lines(process_->Stdout());
    for (std::string line; std::getline(lines, line) && !lines.eof();) {
      Json message = Json::parse(line, nullptr, false);
      EXPECT_TRUE(message.is_object()) << "no message on stdout: " << line.substr(0, 200);
      if (!message.is_object()) continue;
      EXPECT_TRUE(message.contains("src") && message.contains("dest") && message.contains("body"))
          << line.substr(0, 200);
      messages.push_back(std::move(message));
    }
    return messages;
  }
  bool Logged(const std::string& text) { return process_->WaitForStderr(text, kPatience); }

 private:
  std::unique_ptr<Process> process_;
  int last_id_ = 0;
};

void ExpectError(const Json& answer, int code) {
  ASSERT_TRUE(answer.is_object());
  EXPECT_EQ(answer.value("type", ""), "error") << answer;
  EXPECT_EQ(answer.value("code", -1), code) << answer;
  EXPECT_FALSE(answer.value("text", "").empty()) << answer;
}

bool IsEmpty(const std::string& folder) { return std::filesystem::is_empty(folder); }

TEST(MaelstromProtocol, ANodeOfOneServesEveryWorkload) {
  const TempFolder folder;
  MaelstromNode node(folder);
  EXPECT_EQ(node.Init()["type"], "init_ok");
  EXPECT_EQ(node.Ask({{"type", "echo"}, {"echo", "Please echo 35"}})["echo"], "Please echo 35");

  ExpectError(node.Ask({{"type", "read"}, {"key", 1}}), 20);
  ExpectError(node.Ask({{"type", "cas"}, {"key", 1}, {"from", 1}, {"to", 2}}), 20);
  EXPECT_EQ(node.Ask({{"type", "write"}, {"key", 1}, {"value", 3}})["type"], "write_ok");
  ExpectError(node.Ask({{"type", "cas"}, {"key", 1}, {"from", 1}, {"to", 2}}), 22);
  EXPECT_EQ(node.Ask({{"type", "cas"}, {"key", 1}, {"from", 3}, {"to", 4}})["type"], "cas_ok");
  const Json read = node.Ask({{"type", "read"}, {"key", 1}});
  EXPECT_EQ(read["type"], "read_ok");
  EXPECT_EQ(read["value"], 4);

  EXPECT_EQ(node.Ask({{"type", "read"}})["value"], 0) << "a counter begins with 0";
  EXPECT_EQ(node.Ask({{"type", "add"}, {"delta", 5}})["type"], "add_ok");
  EXPECT_EQ(node.Ask({{"type", "add"}, {"delta", -7}})["type"], "add_ok");
  EXPECT_EQ(node.Ask({{"type", "read"}})["value"], -2);

  const Json first = node.Ask({{"type", "generate"}});
  EXPECT_EQ(first["type"], "generate_ok");
  EXPECT_NE(first["id"], node.Ask({{"type", "generate"}})["id"]);

  node.process().CloseStdin();
  EXPECT_EQ(node.process().WaitForExit(kPatience), 0);
  EXPECT_TRUE(IsEmpty(folder / "tmp")) << "the temporary folder is gone";
}

/// A transaction, and what it is answered.
Json Txn(const std::string& operations) {
  return {{"type", "txn"}, {"txn", Json::parse(operations)}};
}

void ExpectTxn(MaelstromNode& node, const std::string& asked, const std::string& told) {
  const Json answer = node.Ask(Txn(asked));
  EXPECT_EQ(answer["type"], "txn_ok") << answer;
  EXPECT_EQ(answer["txn"], Json::parse(told)) << answer;
}

TEST(MaelstromProtocol, ATransactionReadsAndWritesInOrder) {
  const TempFolder folder;
  MaelstromNode node(folder);
  node.Init();
  ExpectTxn(node, "[]", "[]");
  ExpectTxn(node, R"([["r",1,null]])", R"([["r",1,null]])");
  ExpectTxn(node, R"([["r",1,null],["w",1,"a"],["r",1,null],["w",1,"b"],["r",1,null]])",
            R"([["r",1,null],["w",1,"a"],["r",1,"a"],["w",1,"b"],["r",1,"b"]])");
  ExpectTxn(node, R"([["w",2,{"any":["JSON",null]}],["r",1,null],["r",3,null],["r",2,null]])",
            R"([["w",2,{"any":["JSON",null]}],["r",1,"b"],["r",3,null],
                ["r",2,{"any":["JSON",null]}]])");
  // Keys are any JSON, and those of lin-kv.
  ExpectTxn(node, R"([["w",[{"b":1,"a":2}],0],["r",[{"a":2,"b":1}],null],["w",null,null]])",
            R"([["w",[{"b":1,"a":2}],0],["r",[{"a":2,"b":1}],0],["w",null,null]])");
  EXPECT_EQ(node.Ask({{"type", "read"}, {"key", 1}})["value"], "b");
  EXPECT_EQ(node.Ask({{"type", "read"}, {"key", nullptr}})["value"], nullptr);
}

TEST(MaelstromProtocol, ATransactionAppendsToLists) {
  const TempFolder folder;
  MaelstromNode node(folder);
  node.Init();
  ExpectTxn(node, R"([["append",1,5],["r",1,null],["append",1,[6]],["r",1,null]])",
            R"([["append",1,5],["r",1,[5]],["append",1,[6]],["r",1,[5,[6]]]])");
  ExpectTxn(node, R"([["r",1,null],["r",2,null],["append",2,"]"],["append",1,7],["r",2,null]])",
            R"([["r",1,[5,[6]]],["r",2,null],["append",2,"]"],["append",1,7],["r",2,["]"]]])");
  ExpectTxn(node, R"([["r",1,null],["r",2,null]])", R"([["r",1,[5,[6],7]],["r",2,["]"]]])");
  // To what it has written itself, and to an empty list.
  ExpectTxn(node, R"([["w",1,[]],["append",1,1],["r",1,null],["w",3,[]]])",
            R"([["w",1,[]],["append",1,1],["r",1,[1]],["w",3,[]]])");
  ExpectTxn(node, R"([["append",3,1],["r",3,null]])", R"([["append",3,1],["r",3,[1]]])");

  // To what is no list: nothing at all is written.
  for (const char* const value : {"1", "null", "\"[]\"", R"({"a":[]})"}) {
    const Json write = {{"type", "write"}, {"key", "x"}, {"value", Json::parse(value)}};
    EXPECT_EQ(node.Ask(write)["type"], "write_ok");
    const Json answer = node.Ask(Txn(R"([["append",1,2],["w",2,0],["append","x",1]])"));
    ExpectError(answer, 12);
    EXPECT_NE(answer["text"].dump().find("is not a list"), std::string::npos) << answer;
  }
  ExpectError(node.Ask(Txn(R"([["append",1,2],["w","x",0],["append","x",1]])")), 12);
  ExpectTxn(node, R"([["r",1,null],["r",2,null],["r","x",null]])",
            R"([["r",1,[1]],["r",2,["]"]],["r","x",{"a":[]}]])");
}

TEST(MaelstromProtocol, AMalformedTransactionIsAnsweredByWhatIsWrong) {
  const TempFolder folder;
  MaelstromNode node(folder);
  node.Init();
  const auto refused = [&node](const Json& request, const std::string& why) {
    const Json answer = node.Ask(request);
    ExpectError(answer, 12);
    EXPECT_NE(answer.value("text", "").find(why), std::string::npos) << answer;
  };
  refused({{"type", "txn"}}, "no field 'txn'");
  for (const char* const value : {"null", "1", "\"r\"", R"({"r":1})"}) {
    refused(Txn(value), "'txn' is not a list");
  }
  for (const char* const value : {"[1]", "[null]", "[[]]", R"([["r"]])", R"([["r",1]])",
                                  R"([["w",1,2,3]])", R"([{"f":"r"}])", R"(["abc"])"}) {
    refused(Txn(value), "operation 1 is not a list of function, key and value");
  }
  for (const char* const function : {"\"cas\"", "\"R\"", "\"\"", "1", "null", "[\"r\"]"}) {
    refused(Txn(std::string(R"([["w",1,1],[)") + function + ",1,null]]"),
            "operation 2 has an unknown function");
  }
  refused(Txn(R"([["w",1,1],["w",2,2],["r",1,1]])"), "operation 3 is a read with a value");
  const auto write = [](const Json& key, const Json& value) {
    return Txn(Json::array({Json::array({"w", key, value})}).dump());
  };
  refused(write(std::string(70'000, 'k'), 1), "key");
  refused(write(1, std::string(2'000'000, 'v')), "value");

  // As many as there may be, of as many keys, are carried out; one more is not.
  Json many = Json::array();
  for (int i = 0; i < 1024; ++i) many.push_back(Json::array({"append", i, "v"}));
  EXPECT_EQ(node.Ask({{"type", "txn"}, {"txn", many}})["type"], "txn_ok");
  many.push_back(Json::array({"r", 1, nullptr}));
  refused({{"type", "txn"}, {"txn", many}}, "1025 operations are too many");
  ExpectTxn(node, R"([["r",0,null],["r",1023,null]])", R"([["r",0,["v"]],["r",1023,["v"]]])");
}

TEST(MaelstromProtocol, AnyJsonValueIsAKeyAndAValueAndComesBackEqual) {
  const TempFolder folder;
  MaelstromNode node(folder);
  node.Init();
  const std::string values[] = {"null",
                                "true",
                                "0",
                                "-1",
                                "1.5",
                                "1e300",
                                "-0.0",
                                "18446744073709551615",
                                "\"\"",
                                R"("quote \" back \\ slash \u0000 \ud83d\ude00 ü")",
                                "[]",
                                "{}",
                                R"([1,[2,{"a":null}],"3"])",
                                R"({"b":[1,2],"a":{"":0}})"};
  for (const std::string& text : values) {
    const Json value = Json::parse(text);
    EXPECT_EQ(node.Ask({{"type", "echo"}, {"echo", value}})["echo"], value) << text;
    EXPECT_EQ(node.Ask({{"type", "write"}, {"key", value}, {"value", value}})["type"], "write_ok");
    EXPECT_EQ(node.Ask({{"type", "read"}, {"key", value}})["value"], value) << text;
  }
  // One and the same, though not written alike.
  node.Line(R"({"src":"c1","dest":"n1","body":{"type":"cas","msg_id":1000,"key":[{"x":1,"y":2}],)"
            R"("from":1,"to":2}})");
  ExpectError(node.Answer(1000), 20);
  node.Ask({{"type", "write"}, {"key", Json::parse(R"([{"x":1,"y":2}])")}, {"value", 1}});
  node.Line(
      R"({"body":{"to":2,"from":1,"key": [ {"y":2, "\u0078":1} ],"msg_id":1001,"type":"cas"},)"
      R"("dest":"n1", "src":"c1", "id":7})");
  EXPECT_EQ(node.Answer(1001)["type"], "cas_ok");
  // Not the same: an integer and a fraction; integers beyond 64 bits keep their digits.
  ExpectError(node.Ask({{"type", "read"}, {"key", 1}}), 20);
  EXPECT_EQ(node.Ask({{"type", "write"}, {"key", 1}, {"value", 1.0}})["type"], "write_ok");
  ExpectError(node.Ask({{"type", "cas"}, {"key", 1}, {"from", 1}, {"to", 2}}), 22);
  const std::string huge = "123456789012345678901234567890";
  node.Line(R"({"src":"c1","dest":"n1","body":{"type":"echo","msg_id":1002,"echo":)" + huge + "}}");
  node.Answer(1002);
  EXPECT_NE(node.process().Stdout().find("\"echo\":" + huge + "}"), std::string::npos);
}

TEST(MaelstromProtocol, WhatCannotBeARequestIsLoggedAndTheNodeGoesOn) {
  const TempFolder folder;
  MaelstromNode node(folder);
  // Before init a node says nothing at all.
  node.Send({{"type", "write"}, {"key", 1}, {"value", 1}});
  EXPECT_TRUE(node.Logged("a request before 'init'"));
  node.Line(R"({"src":"n2","dest":"n1","body":{"type":"raftkv_frame","frame":"AAAA"}})");
  node.Line("invalid JSON");
  EXPECT_TRUE(node.Logged("invalid JSON at byte"));
  EXPECT_EQ(node.process().Stdout(), "");
  EXPECT_EQ(node.Init()["type"], "init_ok");

  const std::string head = R"({"src":"c1","dest":"n1","body":)";
  const std::string bad[] = {
      "",
      "   ",
      "{",
      "[]",
      "null",
      "\"text\"",
      "{}",
      R"({"src":1,"dest":"n1","body":{}})",
      R"({"src":"c1","body":{}})",
      head + "[]}",
      head + R"({"type":"echo","echo":1}})",
      head + R"({"type":"echo","echo":1,"msg_id":"1"}})",
      head + R"({"type":"echo","echo":1,"msg_id":1.5}})",
      head + R"({"type":"echo","echo":1,"msg_id":99999999999999999999}})",
      head + R"({"type":"read_ok","value":1,"in_reply_to":4,"msg_id":1}})",
      head + R"({"type":"echo","msg_id":77,"echo":NaN}})",
      head + R"({"type":"echo","msg_id":77,"echo":1e999}})",
      head + "{\"type\":\"echo\",\"msg_id\":77,\"echo\":\"\xff\xfe\"}}",
      head + R"({"type":"echo","msg_id":77,"echo":"\ud800"}})",
      head + R"({"type":"echo","msg_id":77,"echo":)" + std::string(100'000, '[') +
          std::string(100'000, ']') + "}}",
      head + R"({"type":"raftkv_frame","frame":"not base64!"}})",
      head + R"({"type":"raftkv_frame","frame":"AAAA"}})",
      head + R"({"type":"raftkv_frame"}})",
      R"({"src":"c1","dest":"n9","body":{"type":"echo","msg_id":77,"echo":1}})"};
  const std::size_t before = node.Messages().size();
  for (const std::string& line : bad) node.Line(line);
  EXPECT_EQ(node.Ask({{"type", "echo"}, {"echo", "still here"}})["echo"], "still here");
  EXPECT_EQ(node.Messages().size(), before + 1) << "nothing else was answered";
}

TEST(MaelstromProtocol, AMalformedRequestIsAnsweredByADefiniteError) {
  const TempFolder folder;
  MaelstromNode node(folder);
  ExpectError(node.Ask({{"type", "init"}, {"node_ids", {"n1"}}}), 12);
  ExpectError(node.Ask({{"type", "init"}, {"node_id", "n1"}}), 12);
  ExpectError(node.Ask({{"type", "init"}, {"node_id", "n1"}, {"node_ids", {"n1", 2}}}), 12);
  ExpectError(node.Ask({{"type", "init"}, {"node_id", "n1"}, {"node_ids", {"n2"}}}), 12);
  EXPECT_EQ(node.Init()["type"], "init_ok");
  ExpectError(node.Init(), 12);

  ExpectError(node.Ask({{"type", "fly"}}), 10);
  ExpectError(node.Ask({{"kind", "read"}}), 12);
  ExpectError(node.Ask({{"type", 3}}), 12);
  ExpectError(node.Ask({{"type", "echo"}}), 12);
  ExpectError(node.Ask({{"type", "write"}, {"key", 1}}), 12);
  ExpectError(node.Ask({{"type", "write"}, {"value", 1}}), 12);
  ExpectError(node.Ask({{"type", "cas"}, {"key", 1}, {"from", 1}}), 12);
  ExpectError(node.Ask({{"type", "cas"}, {"key", 1}, {"to", 1}}), 12);
  ExpectError(node.Ask({{"type", "cas"}, {"from", 1}, {"to", 1}}), 12);
  ExpectError(node.Ask({{"type", "add"}}), 12);
  ExpectError(node.Ask({{"type", "add"}, {"delta", "1"}}), 12);
  ExpectError(node.Ask({{"type", "add"}, {"delta", 1.5}}), 12);
  ExpectError(node.Ask({{"type", "add"}, {"delta", UINT64_MAX}}), 12);
  EXPECT_EQ(node.Ask({{"type", "add"}, {"delta", INT64_MAX}})["type"], "add_ok");
  ExpectError(node.Ask({{"type", "add"}, {"delta", 1}}), 12);
  EXPECT_EQ(node.Ask({{"type", "read"}})["value"], INT64_MAX) << "it stays what it was";

  ExpectError(node.Ask({{"type", "write"}, {"key", std::string(70'000, 'k')}, {"value", 1}}), 12);
  ExpectError(node.Ask({{"type", "write"}, {"key", 1}, {"value", std::string(2'000'000, 'v')}}),
              12);
  ExpectError(node.Ask({{"type", "read"}, {"key", 1}}), 20);
}

TEST(MaelstromProtocol, ALineWithoutEndIsSkipped) {
  const TempFolder folder;
  MaelstromNode node(folder);
  node.Init();
  node.Line(Json{{"src", "c1"},
                 {"dest", "n1"},
                 {"body", {{"type", "echo"}, {"msg_id", 5}, {"echo", std::string(10 << 20, 'x')}}}}
                .dump());
  EXPECT_TRUE(node.Logged("its line is longer than"));
  EXPECT_EQ(node.Ask({{"type", "echo"}, {"echo", 1}})["echo"], 1);
  // What is just within the bound is served.
  const std::string large(7 << 20, 'y');
  EXPECT_EQ(node.Ask({{"type", "echo"}, {"echo", large}})["echo"], large);
}

TEST(MaelstromProtocol, StdinMayCloseWhileRequestsAreOpen) {
  const TempFolder folder;
  MaelstromNode node(folder);
  // Nobody else is there, so this can never be carried out; and that is not known.
  node.Init({"n1", "n2", "n3"});
  const int write = node.Send({{"type", "write"}, {"key", 1}, {"value", 1}});
  node.process().CloseStdin();
  EXPECT_EQ(node.process().WaitForExit(kPatience), 0);
  for (const Json& message : node.Messages()) {
    if (message["body"].value("in_reply_to", -1) != write) continue;
    EXPECT_EQ(message["body"]["type"], "error");
  }
  EXPECT_TRUE(IsEmpty(folder / "tmp"));
}

TEST(MaelstromProtocol, WithoutAMajorityRequestsAreRefusedForSureWithinTheirTimeout) {
  const TempFolder folder;
  MaelstromNode node(folder, {"--request-timeout=300ms"});
  node.Init({"n1", "n2", "n3"});
  ExpectError(node.Ask({{"type", "write"}, {"key", 1}, {"value", 1}}), 11);
  ExpectError(node.Ask({{"type", "cas"}, {"key", 1}, {"from", 1}, {"to", 2}}), 11);
  ExpectError(node.Ask({{"type", "read"}, {"key", 1}}), 11);
  ExpectError(node.Ask({{"type", "add"}, {"delta", 1}}), 11);
  ExpectError(node.Ask(Txn(R"([["w",1,1],["r",1,null]])")), 11);
  ExpectError(node.Ask(Txn(R"([["append",1,1]])")), 11);
  // These ask nobody.
  EXPECT_EQ(node.Ask({{"type", "echo"}, {"echo", 1}})["type"], "echo_ok");
  EXPECT_EQ(node.Ask({{"type", "generate"}})["type"], "generate_ok");
}

TEST(MaelstromProtocol, OpenRequestsAreBounded) {
  const TempFolder folder;
  MaelstromNode node(folder, {"--request-timeout=1h"});
  node.Init({"n1", "n2", "n3"});
  constexpr int kBound = 4096;
  std::string lines;
  for (int i = 0; i <= kBound; ++i) {
    lines += R"({"src":"c1","dest":"n1","body":{"type":"add","delta":1,"msg_id":)" +
             std::to_string(1000 + i) + "}}\n";
  }
  ASSERT_TRUE(node.process().WriteStdin(lines));
  ExpectError(node.Answer(1000 + kBound), 11);
  int answers = 0;
  for (const Json& message : node.Messages()) {
    answers += message["body"].value("in_reply_to", -1) >= 1000 ? 1 : 0;
  }
  EXPECT_EQ(answers, 1) << "the others wait";
}

TEST(MaelstromProtocol, AFewLinesThroughAPipeAreAllAnswered) {
  std::string lines =
      R"({"src":"c0","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}})"
      "\n";
  for (int i = 2; i < 50; ++i) {
    lines += R"({"src":"c1","dest":"n1","body":{"type":"add","delta":1,"msg_id":)" +
             std::to_string(i) + "}}\n";
  }
  RunOptions options;
  options.stdin_content = lines;
  const RunResult run = RunRaftkv(
      {"maelstrom", "--election-timeout=50ms", "--heartbeat=20ms", "--log-level=off"}, options);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  std::size_t added = 0;
  std::istringstream out(run.out);
  for (std::string line; std::getline(out, line);) {
    added += Json::parse(line)["body"]["type"] == "add_ok" ? 1 : 0;
  }
  EXPECT_EQ(added, 48U);
}

TEST(MaelstromProtocol, SigtermEndsItAndTakesTheTemporaryFolderAlong) {
  const TempFolder folder;
  MaelstromNode node(folder);
  node.Init();
  EXPECT_FALSE(IsEmpty(folder / "tmp"));
  node.process().Signal(SIGTERM);
  EXPECT_EQ(node.process().WaitForExit(kPatience), 0);
  EXPECT_TRUE(IsEmpty(folder / "tmp"));
}

TEST(MaelstromProtocol, ASignalWhileItEndsChangesNothing) {
  const TempFolder folder;
  MaelstromNode node(folder);
  node.Init({"n1", "n2", "n3"});
  // Open for as long as may be.
  node.Send({{"type", "write"}, {"key", 1}, {"value", 1}});
  node.process().CloseStdin();
  for (int i = 0; i < 1500 && !node.process().WaitForExit(20ms); ++i) {
    node.process().Signal(SIGTERM);
  }
  EXPECT_EQ(node.process().WaitForExit(0ms), 0);
  EXPECT_TRUE(IsEmpty(folder / "tmp"));
}

TEST(MaelstromProtocol, ItEndsWhenNobodyReadsWhatItSays) {
  const TempFolder folder;
  std::filesystem::create_directories(folder / "tmp");
  Process pipeline(
      {.command = {"/bin/bash", "-c",
                   std::string("set -o pipefail; ") + RAFTKV_BINARY + " maelstrom | head -n 1"},
       .environment = {{"TMPDIR", folder / "tmp"}},
       .stdin_content = {},
       .open_stdin = true,
       .stdout_path = folder / "stdout",
       .stderr_path = folder / "stderr"});
  ASSERT_TRUE(pipeline.WriteStdin(
      R"({"src":"c0","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}})"
      "\n"));
  EXPECT_EQ(pipeline.WaitForExit(kPatience), 0) << pipeline.Stderr();
  EXPECT_NE(pipeline.Stdout().find("init_ok"), std::string::npos);
  EXPECT_TRUE(IsEmpty(folder / "tmp"));
}

TEST(MaelstromProtocol, AKeptFolderIsThereAfterAKillAndIdsStayUnique) {
  const TempFolder folder;
  const std::vector<std::string> arguments{"--data-dir", folder / "data"};
  Json id;
  {
    MaelstromNode node(folder, arguments);
    node.Init();
    EXPECT_EQ(node.Ask({{"type", "write"}, {"key", "k"}, {"value", "kept"}})["type"], "write_ok");
    id = node.Ask({{"type", "generate"}})["id"];
    node.process().Kill();
  }
  {
    MaelstromNode node(folder, arguments);
    EXPECT_EQ(node.Init()["type"], "init_ok");
    EXPECT_EQ(node.Ask({{"type", "read"}, {"key", "k"}})["value"], "kept");
    EXPECT_NE(node.Ask({{"type", "generate"}})["id"], id);
    node.process().CloseStdin();
    EXPECT_EQ(node.process().WaitForExit(kPatience), 0);
  }
  EXPECT_TRUE(std::filesystem::exists(folder / "data"));
  // Of another name: that is no node that could go on.
  MaelstromNode other(folder, arguments);
  ExpectError(other.Ask({{"type", "init"}, {"node_id", "n2"}, {"node_ids", {"n2"}}}), 13);
  EXPECT_EQ(other.process().WaitForExit(kPatience), 1);
}

}  // namespace
}  // namespace raftkv::test
