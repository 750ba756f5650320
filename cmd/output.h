// How do keys, values and answers look on stdout: simple, JSON or a table?
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <raftkv/client.h>

#include "cmd/exit_code.h"
#include "cmd/flags.h"

namespace raftkv::cmd {

/// Keeps the order of INTERFACE's fields.
using Json = nlohmann::ordered_json;

/// For simple output: the bytes as they are, or \x68\x69 with --hex.
std::string ShowBytes(std::string_view bytes, const ClientFlags& flags);
/// For tables, where control characters would break the rows.
std::string ShowCell(std::string_view bytes, const ClientFlags& flags);
/// For JSON: base64, or text with --json-strings.
std::string JsonBytes(std::string_view bytes, const ClientFlags& flags);
/// All that a key has.
Json PairJson(const KeyValue& kv, const ClientFlags& flags);
/// One line; bytes that are no UTF-8 (only with --json-strings) are replaced.
std::string Dump(const Json& json);
/// Without `revision` there is no such field: the answer does not belong to one.
Json HeaderJson(const Client::Header& header, std::optional<std::uint64_t> revision);

void PrintLine(std::string_view line);
/// `columns` are the titles; each row has as many cells.
void PrintTable(const std::vector<std::string>& columns,
                const std::vector<std::vector<std::string>>& rows);

/// The answer to a verb with one result, in the format asked for.
struct Answer {
  std::string title;   ///< of the table's column
  std::string simple;  ///< the whole of simple output, and the table's cell
  /// What stands in JSON beside the header; may be empty.
  Json fields = Json::object();
};
void PrintAnswer(const Answer& answer, const Client::Header& header,
                 std::optional<std::uint64_t> revision, const ClientFlags& flags);

/// kOk, or an error where stdout did not take what was printed (a full disk).
Exit FinishOutput();

}  // namespace raftkv::cmd
