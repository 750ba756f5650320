// Can a stranger's program run raftkv inside itself, and does raftkv behave as a good guest there?
// Uses the installed public headers only. usage: embed DIR
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <raftkv/backup.h>
#include <raftkv/client.h>
#include <raftkv/in_process_network.h>
#include <raftkv/kv.h>
#include <raftkv/log.h>
#include <raftkv/node.h>
#include <raftkv/status.h>

using namespace std::chrono_literals;

namespace {

void Require(bool ok, const std::string& what) {
  if (ok) return;
  std::cerr << "embed: " << what << std::endl;
  std::_Exit(1);  // threads of the nodes still run
}

void Require(const raftkv::Status& status, const std::string& what) {
  Require(status.ok(), what + ": " + status.ToString());
}

template <class T>
T Require(raftkv::Result<T> result, const std::string& what) {
  Require(result.status(), what);
  return std::move(result).value();
}

// What a host can notice: the disposition of every signal, and its own thread's mask.
struct Signals {
  std::array<struct sigaction, NSIG> actions = {};
  sigset_t mask = {};

  static Signals Now() {
    Signals now;
    for (int signal = 1; signal < NSIG; ++signal) {
      sigaction(signal, nullptr, &now.actions.at(signal));
    }
    pthread_sigmask(SIG_BLOCK, nullptr, &now.mask);
    return now;
  }

  void RequireUnchangedSince(const Signals& before, int except, const std::string& when) const {
    for (int signal = 1; signal < NSIG; ++signal) {
      if (signal == except) continue;
      const std::string name = std::string(strsignal(signal)) + " " + when;
      const auto& was = before.actions.at(signal);
      const auto& is = actions.at(signal);
      Require(was.sa_handler == is.sa_handler && was.sa_flags == is.sa_flags,
              "the disposition changed of " + name);
      Require(sigismember(&before.mask, signal) == sigismember(&mask, signal),
              "the mask changed of " + name);
    }
  }
};

std::string FreeAddress() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  Require(bind(listener, generic, size) == 0 && getsockname(listener, generic, &size) == 0,
          "no free port");
  close(listener);
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

void UseOneNode(const std::string& data_dir, const Signals& before) {
  for (const bool reopened : {false, true}) {
    raftkv::NodeOptions options;
    options.data_dir = data_dir;
    options.log_level = raftkv::LogLevel::kOff;
    auto node = Require(raftkv::Node::Open(options), "open one node");
    Require(node->WaitForLeader(10s), "a leader of one");
    // The event loop reserves SIGUSR1 (NodeOptions::reserved_signal) while a node runs.
    Signals::Now().RequireUnchangedSince(before, SIGUSR1, "while a node runs");
    if (!reopened) Require(node->kv().Put("greeting", "hello").status(), "put");
    const auto found = Require(node->kv().Get("greeting"), "get");
    Require(found.value == "hello", "another value: " + found.value);
    Require(node->kv().Get("nothing").code() == raftkv::Code::kNotFound, "a key from nowhere");
    std::cout << found.key << " = " << found.value << std::endl;
    Require(node->Backup(data_dir + ".tar.zst", {}).status(), "back up");
    Require(node->Close(), "close one node");
  }
}

void UseABackup(const std::string& file, const std::string& data_dir) {
  const auto info = Require(raftkv::ReadBackup(file), "read the backup");
  Require(info.keys == 1, "one key, not " + std::to_string(info.keys));
  raftkv::RestoreOptions options;
  options.file = file;
  options.data_dir = data_dir;
  options.name = "default";
  options.cluster = {{"default", FreeAddress()}};
  Require(raftkv::Restore(options).status(), "restore");
}

// The second example of README.md.
void UseALog(const std::string& dir, const Signals& before) {
  for (std::uint64_t opened = 0; opened < 2; ++opened) {
    auto log = Require(raftkv::Log::Open({.dir = dir}), "open a log");
    Signals::Now().RequireUnchangedSince(before, 0, "while a log is open");
    Require(log->AppendBatch({"one", "two", "three"}).status(), "append to a log");
    const auto range =
        Require(log->Begin().TrimSuffix(log->Seq()).Append("four").Commit(), "a transaction");
    std::string found;
    for (const auto it = log->Iterate(log->Head());;) {
      const auto entry = it->Next();
      if (entry.code() == raftkv::Code::kNotFound) break;
      found += Require(entry, "iterate").data + " ";
    }
    Require(found == "one two four ", "another log: " + found);
    Require(log->TrimPrefix(range.last), "cut a log");
    Require(log->Head() == 3 * opened + 4, "another head");
    Require(log->Close(), "close a log");
  }
  std::cout << "a log alone" << std::endl;
}

void UseThreeNodes(const std::string& data_dir) {
  std::vector<raftkv::MemberAddress> cluster;
  for (const char* name : {"n1", "n2", "n3"}) cluster.push_back({name, FreeAddress()});
  std::vector<std::unique_ptr<raftkv::Node>> nodes;
  for (const auto& member : cluster) {
    raftkv::NodeOptions options;
    options.name = member.name;
    options.data_dir = data_dir + "/" + member.name;
    options.listen = member.address;
    options.cluster = cluster;
    options.log_level = raftkv::LogLevel::kOff;
    nodes.push_back(Require(raftkv::Node::Open(options), "open " + member.name));
  }
  for (const auto& node : nodes) {
    Require(node->WaitForLeader(30s), "a leader of three");
    Require(node->kv().Put(node->status().name, "was here").status(), "put through a member");
  }
  for (const auto& node : nodes) {
    for (const auto& member : cluster) Require(node->kv().Get(member.name).status(), "get");
  }
  raftkv::ClientOptions options;
  for (const auto& member : cluster) options.endpoints.push_back(member.address);
  auto client = Require(raftkv::Client::Connect(options), "connect");
  const auto all = Require(client->kv().Scan(raftkv::KeyRange::Prefix("n")), "scan");
  Require(all.kvs.size() == 3, "three keys, not " + std::to_string(all.kvs.size()));
  std::cout << "three nodes in one process, led by " << nodes[0]->leader() << std::endl;
}

void UseATransport(const std::string& data_dir) {
  raftkv::InProcessNetwork network;
  std::vector<raftkv::MemberAddress> cluster;
  for (const char* name : {"n1", "n2", "n3"}) cluster.push_back({name, name});
  std::vector<std::unique_ptr<raftkv::Node>> nodes;
  for (const auto& member : cluster) {
    raftkv::NodeOptions options;
    options.name = member.name;
    options.data_dir = data_dir + "/" + member.name;
    options.transport = network.NewTransport(member.address);
    options.cluster = cluster;
    options.log_level = raftkv::LogLevel::kOff;
    nodes.push_back(Require(raftkv::Node::Open(options), "open " + member.name));
  }
  for (const auto& node : nodes) Require(node->WaitForLeader(30s), "a leader over a transport");
  Require(nodes[0]->kv().Put("over", "frames").status(), "put over a transport");
  Require(nodes[2]->kv().Get("over").status(), "get over a transport");
  std::cout << "three nodes over a transport" << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  Require(argc == 2, "usage: embed DIR");
  const std::string data_dir = argv[1];
  std::filesystem::create_directories(data_dir);
  const Signals before = Signals::Now();
  UseOneNode(data_dir + "/one", before);
  UseABackup(data_dir + "/one.tar.zst", data_dir + "/restored");
  UseALog(data_dir + "/log", before);
  UseThreeNodes(data_dir + "/three");
  UseATransport(data_dir + "/transport");
  Signals::Now().RequireUnchangedSince(before, 0, "after the last node");
  return 0;
}
