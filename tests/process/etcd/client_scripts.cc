#include "tests/process/etcd/client_scripts.h"

#include <signal.h>

#include <charconv>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::test {

using namespace std::chrono_literals;

EtcdCluster::EtcdCluster(std::size_t members, bool steady) {
  ProcessClusterOptions options;
  options.members = members;
  options.steady = steady;
  for (std::size_t i = 0; i < members; ++i) {
    addresses_.push_back(FreeAddress());
    options.member_flags.push_back({"--etcd", addresses_.back()});
  }
  members_ = std::make_unique<ProcessCluster>(std::move(options));
}

std::string EtcdCluster::endpoints() const {
  std::string all;
  for (const std::string& address : addresses_) all += (all.empty() ? "" : ",") + address;
  return all;
}

ClientScript::ClientScript(const std::string& name, const std::vector<std::string>& arguments,
                           const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  ProcessOptions options;
  if (name.ends_with(".py")) {
    options.command = {"/usr/bin/python3", "-B"};
  } else {
    options.command = {"/bin/bash"};
  }
  options.command.push_back(std::string(RAFTKV_SOURCE_DIR) + "/tests/etcd/" + name);
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  options.environment = {{"TMPDIR", folder.string()}, {"PYTHONUNBUFFERED", "1"}};
  options.stdout_path = folder / "stdout";
  options.stderr_path = folder / "stderr";
  process_ = std::make_unique<Process>(std::move(options));
}

int ClientScript::Wait(std::chrono::milliseconds timeout) {
  const auto exit_code = process_->WaitForExit(timeout);
  if (exit_code) return *exit_code;
  process_->Signal(SIGTERM);
  static_cast<void>(process_->WaitForExit(5s));
  process_->Kill();
  return -1;
}

std::string ClientScript::Output() const {
  return "\n--- stdout:\n" + process_->Stdout() + "--- stderr:\n" + process_->Stderr();
}

std::uint64_t NumberFromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* const asked = std::getenv(name);
  if (asked == nullptr) return otherwise;
  const std::string_view text = asked;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  RAFTKV_CHECK(error == std::errc(), name, text);
  RAFTKV_CHECK(end == text.data() + text.size(), name, text);
  return number;
}

}  // namespace raftkv::test
