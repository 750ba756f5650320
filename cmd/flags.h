// Which flags do all client verbs share, and what does a flag look like (duration, environment)?
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include <raftkv/client.h>

#include "cmd/exit_code.h"

namespace raftkv::cmd {

/// "500ms", "5s", "1m" or "2h".
struct DurationFlag {
  std::chrono::milliseconds value{0};
};
/// Found by CLI11 where it reads a DurationFlag; false if `text` is not a duration.
bool lexical_cast(const std::string& text, DurationFlag& duration);
/// For ->check(): from 1 ms to a year, and says how a duration is written.
CLI::Validator IsDuration();

/// "65536", "64KiB", "256MiB" or "1GiB"; a rate may end in "/s".
struct BytesFlag {
  std::uint64_t value = 0;
};
bool lexical_cast(const std::string& text, BytesFlag& bytes);
CLI::Validator IsBytes();
CLI::Validator IsRate();

/// The ID of a lease (cmd/lease_id.h); 0: none.
struct LeaseIdFlag {
  std::uint64_t value = 0;
};
bool lexical_cast(const std::string& text, LeaseIdFlag& id);
CLI::Validator IsLeaseId();

/// For ->check() of an option that is an unsigned integer: decimal digits without a sign and
/// without leading zeros, which CLI11 would read as octal. (It also takes -1 for the largest
/// number.)
CLI::Validator IsNumber(std::uint64_t min, std::uint64_t max);

/// Gives the option the environment variable RAFTKV_ + its long name in capitals.
CLI::Option* WithEnvironment(CLI::Option* option);

/// A positional argument that may be left out. (CLI11 reads "" into an std::optional as nothing.)
struct Positional {
  std::string text;
  const CLI::Option* option = nullptr;

  [[nodiscard]] bool given() const { return option->count() > 0; }
  /// This object must stay where it is from here on.
  void AddTo(CLI::App& verb, const std::string& name, const std::string& help) {
    option = verb.add_option(name, text, help);
  }
};

enum class Format : unsigned char { kSimple, kJson, kTable };

struct ClientFlags {
  std::string endpoints = "127.0.0.1:7001";
  std::uint64_t cluster_id = 0;  ///< 0: any
  DurationFlag timeout{std::chrono::seconds(5)};
  std::string write_out = "simple";
  bool hex = false;
  bool json_strings = false;
  ClientTlsOptions tls;

  [[nodiscard]] Format format() const;
  [[nodiscard]] std::vector<std::string> endpoint_list() const;
};

/// The command line while it is read: each verb group adds its verbs, and the one that was named
/// leaves in `run` what is to be done.
struct Program {
  CLI::App app{"raftkv, a replicated, durable key-value store"};
  ClientFlags client;
  std::function<Exit()> run;
  /// What stands behind "--" of a verb that runs a command.
  std::vector<std::string> command;

  /// A verb that talks to a cluster: takes the global flags after its name as well.
  CLI::App* AddClientVerb(CLI::App& parent, const std::string& name, const std::string& help);
};

void AddClientFlags(Program& program);

/// The whole of `text`, or nothing.
std::optional<std::uint32_t> ParseNumber(std::string_view text);
/// "n1=HOST:PORT,..." as --cluster has it; empty text: nobody.
Result<std::vector<MemberAddress>> ParseCluster(const std::string& text);
/// "majority", "zones" or "flexible:COMMIT,ELECTION" as --quorum has it.
Result<QuorumOptions> ParseQuorum(std::string_view text);

/// Connects with the endpoints of `flags` in place of those of `options`.
Result<std::unique_ptr<Client>> Connect(const ClientFlags& flags, ClientOptions options = {});

// Each verb group, in a file of its own.
void AddServeVerb(Program& program);
void AddKvVerbs(Program& program);
void AddGetVerb(Program& program);
void AddTxnVerb(Program& program);
void AddHistoryVerbs(Program& program);
void AddLeaseVerbs(Program& program);
void AddWatchVerb(Program& program);
void AddLockVerbs(Program& program);
void AddEndpointVerbs(Program& program);
void AddMemberVerbs(Program& program);
void AddSnapshotVerbs(Program& program);
void AddBenchVerbs(Program& program);
void AddRekeyVerb(Program& program);
void AddCertVerb(Program& program);
void AddMaelstromVerb(Program& program);

}  // namespace raftkv::cmd
