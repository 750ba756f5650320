// How does a test run a script of etcd's own clients against a cluster that has an etcd door?
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {

/// Members that listen with --etcd.
class EtcdCluster {
 public:
  /// `steady`: see ProcessClusterOptions.
  explicit EtcdCluster(std::size_t members = 3, bool steady = true);

  [[nodiscard]] ProcessCluster& members() { return *members_; }
  /// Starts all members and waits for a leader.
  [[nodiscard]] bool StartAll() { return members_->StartAll(); }
  /// Where a member listens for etcd's clients.
  [[nodiscard]] const std::string& address(std::size_t member) const {
    return addresses_.at(member);
  }
  /// All of these, joined by commas.
  [[nodiscard]] std::string endpoints() const;

 private:
  std::vector<std::string> addresses_;
  std::unique_ptr<ProcessCluster> members_;
};

/// A script below tests/etcd that runs in the background: by Debian's Python, which has the modules
/// that its packages install, or by bash. What it needs and does not find, it says, and fails.
class ClientScript {
 public:
  /// Its temporary files and its output are in `folder`, which is made.
  ClientScript(const std::string& name, const std::vector<std::string>& arguments,
               const std::filesystem::path& folder);

  [[nodiscard]] bool Running() { return process_->Running(); }
  /// Its exit code; -1: it had to be stopped at the timeout.
  int Wait(std::chrono::milliseconds timeout);
  /// What it has printed, for the message of a failure.
  [[nodiscard]] std::string Output() const;

 private:
  std::unique_ptr<Process> process_;
};

/// A number from the environment.
std::uint64_t NumberFromEnvironment(const char* name, std::uint64_t otherwise);

}  // namespace raftkv::test
