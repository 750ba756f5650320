// The verb that reads a transaction: txn.
#include <unistd.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "cmd/flags.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "cmd/txn_text.h"

namespace raftkv::cmd {
namespace {

/// Of the text: a byte may take four characters in it.
constexpr std::size_t kMaxTextBytes = 4 * (16 << 20);

Json PairsJson(const std::vector<KeyValue>& kvs, const ClientFlags& flags) {
  Json json = Json::array();
  for (const KeyValue& kv : kvs) json.push_back(PairJson(kv, flags));
  return json;
}

Json ResultJson(const Op& op, const OpResult& result, const ClientFlags& flags) {
  switch (op.kind) {
    case Op::Kind::kPut: {
      Json put = Json::object();
      if (!result.previous.empty()) put["prev_kv"] = PairJson(result.previous.front(), flags);
      return {{"response_put", put}};
    }
    case Op::Kind::kDelete:
    case Op::Kind::kDeleteRange: {
      Json deletion = {{"deleted", result.number}};
      if (op.return_previous) deletion["prev_kvs"] = PairsJson(result.previous, flags);
      return {{"response_delete_range", deletion}};
    }
    case Op::Kind::kIncrement: return {{"response_increment", {{"value", result.number}}}};
    default: break;
  }
  return {{"response_range",
           {{"kvs", PairsJson(result.found.kvs, flags)},
            {"count", result.found.count},
            {"more", result.found.more}}}};
}

/// As the verb of the operation prints it.
std::vector<std::string> ResultLines(const Op& op, const OpResult& result,
                                     const ClientFlags& flags) {
  std::vector<std::string> lines;
  const auto add = [&](const std::vector<KeyValue>& kvs) {
    for (const KeyValue& kv : kvs) {
      lines.push_back(ShowBytes(kv.key, flags));
      if (!op.options.keys_only) lines.push_back(ShowBytes(kv.value, flags));
    }
  };
  switch (op.kind) {
    case Op::Kind::kPut: lines.emplace_back("OK"); break;
    case Op::Kind::kDelete:
    case Op::Kind::kDeleteRange:
    case Op::Kind::kIncrement: lines.push_back(std::to_string(result.number)); break;
    default:
      if (op.options.count_only) lines.push_back(std::to_string(result.found.count));
      add(result.found.kvs);
      break;
  }
  add(result.previous);
  return lines;
}

void PrintResult(const TxnRequest& txn, const TxnResult& result, const Client::Header& header,
                 const ClientFlags& flags) {
  const std::vector<Op>& branch = result.succeeded ? txn.success : txn.failure;
  const std::string outcome = result.succeeded ? "SUCCESS" : "FAILURE";
  Json responses = Json::array();
  std::vector<std::vector<std::string>> rows = {{outcome, std::to_string(result.revision)}};
  if (flags.format() == Format::kSimple) PrintLine(outcome);
  for (std::size_t i = 0; i < branch.size(); ++i) {
    switch (flags.format()) {
      case Format::kSimple:
        PrintLine("");
        for (const std::string& line : ResultLines(branch[i], result.results[i], flags)) {
          PrintLine(line);
        }
        break;
      case Format::kJson:
        responses.push_back(ResultJson(branch[i], result.results[i], flags));
        break;
      case Format::kTable: {
        std::string cell;
        for (const std::string& line : ResultLines(branch[i], result.results[i], flags)) {
          cell += (cell.empty() ? "" : " ") + ShowCell(line, flags);
        }
        rows.push_back({cell, ""});
        break;
      }
    }
  }
  if (flags.format() == Format::kTable) PrintTable({"RESULT", "REVISION"}, rows);
  if (flags.format() != Format::kJson) return;
  PrintLine(Dump({{"header", HeaderJson(header, result.revision)},
                  {"succeeded", result.succeeded},
                  {"responses", responses}}));
}

Exit RunTxn(const ClientFlags& flags) {
  auto client = Connect(flags);
  if (!client.ok()) return Fail(Exit::kBadArguments, client.status().message());
  const auto text = ReadToEnd(STDIN_FILENO, kMaxTextBytes);
  if (!text.ok()) return Fail(Exit::kFileError, "stdin " + text.status().message());
  if (text->size() > kMaxTextBytes) {
    return Fail(Exit::kBadInput, "the transaction on stdin is larger than 64 MiB");
  }
  const auto txn = ParseTxnText(*text);
  if (!txn.ok()) return Fail(Exit::kBadInput, txn.status().message());
  const auto result = (*client)->kv().Txn(*txn).Commit({flags.timeout.value});
  if (!result.ok()) return Fail(result.status());
  PrintResult(*txn, *result, (*client)->LastHeader(), flags);
  const Exit printed = FinishOutput();
  return result->succeeded ? printed : Exit::kCompareFailed;
}

}  // namespace

void AddTxnVerb(Program& program) {
  CLI::App* verb = program.AddClientVerb(
      program.app, "txn",
      "carry out a transaction read from stdin: compares, an empty line, the operations if they "
      "hold, an empty line, the operations otherwise; for example: value(\"k\") = \"v\"");
  verb->callback(
      [&program] { program.run = [&client = program.client] { return RunTxn(client); }; });
}

}  // namespace raftkv::cmd
