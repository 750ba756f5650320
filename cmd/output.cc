#include "cmd/output.h"

#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include "cmd/base64.h"

namespace raftkv::cmd {
namespace {

void PrintRow(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) {
  std::string line = "|";
  for (std::size_t i = 0; i < cells.size(); ++i)
    line += fmt::format(" {:<{}} |", cells[i], widths[i]);
  PrintLine(line);
}

}  // namespace

std::string ShowBytes(std::string_view bytes, const ClientFlags& flags) {
  if (!flags.hex) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size() * 4);
  for (const unsigned char byte : bytes) out += fmt::format("\\x{:02x}", byte);
  return out;
}

std::string ShowCell(std::string_view bytes, const ClientFlags& flags) {
  if (flags.hex) return ShowBytes(bytes, flags);
  std::string out;
  for (const unsigned char byte : bytes) {
    const bool control = byte < ' ' || byte == 0x7f;
    out += control ? fmt::format("\\x{:02x}", byte) : std::string(1, static_cast<char>(byte));
  }
  return out;
}

std::string JsonBytes(std::string_view bytes, const ClientFlags& flags) {
  return flags.json_strings ? std::string(bytes) : EncodeBase64(bytes);
}

Json PairJson(const KeyValue& kv, const ClientFlags& flags) {
  return {{"key", JsonBytes(kv.key, flags)},
          {"value", JsonBytes(kv.value, flags)},
          {"create_revision", kv.create_revision},
          {"mod_revision", kv.mod_revision},
          {"version", kv.version},
          {"lease", kv.lease}};
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json HeaderJson(const Client::Header& header, std::optional<std::uint64_t> revision) {
  Json json = {{"cluster_id", header.cluster_id}, {"member", header.member_id}};
  if (revision) json["revision"] = *revision;
  json["term"] = header.term;
  return json;
}

void PrintLine(std::string_view line) { std::cout << line << '\n'; }

void PrintTable(const std::vector<std::string>& columns,
                const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    widths.push_back(columns[i].size());
    for (const auto& row : rows) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string rule = "+";
  for (const std::size_t width : widths) rule += std::string(width + 2, '-') + "+";
  PrintLine(rule);
  PrintRow(columns, widths);
  PrintLine(rule);
  for (const auto& row : rows) PrintRow(row, widths);
  if (!rows.empty()) PrintLine(rule);
}

void PrintAnswer(const Answer& answer, const Client::Header& header,
                 std::optional<std::uint64_t> revision, const ClientFlags& flags) {
  switch (flags.format()) {
    case Format::kSimple: PrintLine(answer.simple); break;
    case Format::kJson: {
      Json json = {{"header", HeaderJson(header, revision)}};
      json.update(answer.fields);
      PrintLine(Dump(json));
      break;
    }
    case Format::kTable:
      PrintTable({answer.title, "REVISION"},
                 {{answer.simple, revision ? std::to_string(*revision) : "-"}});
      break;
  }
}

Exit FinishOutput() {
  std::cout.flush();
  return std::cout.good() ? Exit::kOk : Fail(Exit::kError, "stdout cannot be written to");
}

}  // namespace raftkv::cmd
