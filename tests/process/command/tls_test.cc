// What do the flags and verbs of TLS do, and how do they say what is wrong?
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process/process_cluster.h"
#include "tests/support/process/process_socket.h"
#include "tests/support/tls/test_certificates.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

const std::vector<std::string> kCertFiles = {"ca.crt",   "ca.key",   "server.crt", "server.key",
                                             "peer.crt", "peer.key", "client.crt", "client.key"};

TEST(CertVerb, MakesAllThatAClusterNeedsAndRefusesToReplaceIt) {
  const TempFolder folder;
  const std::string out = folder / "new/certificates";
  const RunResult made = RunRaftkv({"cert", "--out", out, "--hosts", "127.0.0.1,localhost,n1"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  for (const std::string& name : kCertFiles) {
    const std::string path = out + "/" + name;
    EXPECT_NE(made.out.find(path + "\n"), std::string::npos) << made.out;
    struct stat about {};
    ASSERT_EQ(stat(path.c_str(), &about), 0) << path;
    EXPECT_EQ(about.st_mode & 0777, 0600U) << path;
  }
  const std::string ca = ReadFile(out + "/ca.crt");
  const std::string server = ReadFile(out + "/server.crt");
  const RunResult again = RunRaftkv({"cert", "--out", out});
  EXPECT_EQ(again.exit_code, 6) << again.err;
  EXPECT_NE(again.err.find("--force"), std::string::npos) << again.err;
  EXPECT_EQ(ReadFile(out + "/server.crt"), server);
  EXPECT_EQ(RunRaftkv({"cert", "--out", out, "--keep-ca"}).exit_code, 0);
  EXPECT_EQ(ReadFile(out + "/ca.crt"), ca);
  EXPECT_NE(ReadFile(out + "/server.crt"), server);
  EXPECT_EQ(RunRaftkv({"cert", "--out", out, "--force"}).exit_code, 0);
  EXPECT_NE(ReadFile(out + "/ca.crt"), ca);
}

TEST(CertVerb, RefusesWhatItCannotMake) {
  const TempFolder folder;
  const std::string out = folder / "out";
  EXPECT_EQ(RunRaftkv({"cert"}).exit_code, 128);
  const RunResult bad = RunRaftkv({"cert", "--out", out, "--hosts", "a b"});
  EXPECT_EQ(bad.exit_code, 128);
  EXPECT_NE(bad.err.find("'a b' is neither a DNS name nor an IP address"), std::string::npos)
      << bad.err;
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_EQ(RunRaftkv({"cert", "--out", out, "--keep-ca"}).exit_code, 6);
  EXPECT_EQ(RunRaftkv({"cert", "--out", out, "--days", "0"}).exit_code, 128);
}

TEST(CertVerb, WhatItMakesWorksWithOneCertificateAndWithAll) {
  const TempFolder folder;
  const std::string out = folder / "out";
  ASSERT_EQ(RunRaftkv({"cert", "--out", out}).exit_code, 0);
  const auto file = [&out](const std::string& name) { return out + "/" + name; };
  const std::vector<std::vector<std::string>> all = {
      {"--tls-cert", file("server.crt"), "--tls-key", file("server.key"), "--tls-ca",
       file("ca.crt"), "--peer-tls-cert", file("peer.crt"), "--peer-tls-key", file("peer.key"),
       "--client-cert-auth"},
      {"--tls-cert", file("peer.crt"), "--tls-key", file("peer.key"), "--tls-ca", file("ca.crt")},
  };
  for (const auto& flags : all) {
    ProcessCluster cluster(
        {.members = 3,
         .flags = flags,
         .client_tls = {
             .cacert = file("ca.crt"), .cert = file("client.crt"), .key = file("client.key")}});
    ASSERT_TRUE(cluster.StartAll());
    EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
  }
}

TEST(TlsFlags, WhatIsWrongIsOneLineAndExitCode128) {
  const TestCertificates kit;
  const TempFolder folder;
  const std::string crt = kit.crt("server");
  const std::string key = kit.key("server");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--tls-cert", crt}, "TLS needs --tls-cert and --tls-key"},
      {{"--tls-cert", crt, "--tls-key", key, "--client-cert-auth"}, "needs --tls-ca"},
      {{"--tls-cert", crt, "--tls-key", key, "--tls-min-version", "1.1"}, "--tls-min-version"},
      {{"--tls-cert", crt, "--tls-key", key, "--cluster",
        "default=127.0.0.1:7001,n2=127.0.0.1:7002,n3=127.0.0.1:7003"},
       "--peer-tls-ca"},
      {{"--tls-cert", "/nowhere", "--tls-key", key}, "--tls-cert /nowhere: cannot be read"},
      {{"--tls-cert", key, "--tls-key", key}, "holds a private key instead of a certificate"},
      {{"--tls-cert", crt, "--tls-key", kit.key("client")}, "this is not the key of"},
  };
  for (const auto& [flags, words] : cases) {
    std::vector<std::string> arguments = {"serve", "--data-dir", folder / "data", "--listen",
                                          "127.0.0.1:0"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const RunResult run = RunRaftkv(arguments);
    EXPECT_EQ(run.exit_code, 128) << run.err;
    EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
    EXPECT_NE(run.err.find(words), std::string::npos) << run.err;
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "data"));
  for (const auto& flags : std::vector<std::vector<std::string>>{
           {"--cert", crt, "--key", key}, {"--cacert", crt, "--cert", crt}, {"--cacert", key}}) {
    std::vector<std::string> arguments = {"get", "key"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const RunResult run = RunRaftkv(arguments);
    EXPECT_EQ(run.exit_code, 128) << run.err;
    EXPECT_EQ(run.ErrorLines(), 1U) << run.err;
  }
}

TEST(TlsFlags, ComeFromTheEnvironmentAndTheConfigFileAsWell) {
  const TestCertificates kit;
  const TempFolder folder;
  const std::string config = folder / "raftkv.toml";
  const std::string address = FreeAddress();
  WriteFile(config, "listen = \"" + address + "\"\ntls-cert = \"" + kit.crt("server") +
                        "\"\nclient-cert-auth = true\ntls-min-version = \"1.2\"\n");
  Process process({.command = {RAFTKV_BINARY, "serve", "--config", config},
                   .environment = {{"RAFTKV_DATA_DIR", folder / "data"},
                                   {"RAFTKV_TLS_KEY", kit.key("server")},
                                   {"RAFTKV_TLS_CA", kit.crt("ca")}},
                   .stdin_content = {},
                   .stdout_path = folder.path() / "stdout",
                   .stderr_path = folder.path() / "stderr"});
  ASSERT_TRUE(process.WaitForLine("ready ", 20s)) << process.Stderr();
  const RunOptions without = {.environment = {{"RAFTKV_CACERT", kit.crt("ca")}},
                              .stdin_content = {}};
  EXPECT_NE(RunRaftkv({"get", "key", "--endpoints", address, "--timeout", "1s"}, without).exit_code,
            0);
  const RunOptions with = {.environment = {{"RAFTKV_CACERT", kit.crt("ca")},
                                           {"RAFTKV_CERT", kit.crt("client")},
                                           {"RAFTKV_KEY", kit.key("client")}},
                           .stdin_content = {}};
  EXPECT_EQ(RunRaftkv({"put", "key", "value", "--endpoints", address}, with).exit_code, 0);
}

TEST(TlsFlags, AnAddressThatOthersCanReachIsAWarningUnlessItIsIntended) {
  for (const bool insecure : {false, true}) {
    const TempFolder folder;
    const std::string address = FreeAddress();
    std::vector<std::string> command = {
        RAFTKV_BINARY,   "serve",    "--data-dir",
        folder / "data", "--listen", "0.0.0.0" + address.substr(address.rfind(':')),
        "--advertise",   address};
    if (insecure) command.emplace_back("--insecure");
    Process process({.command = command,
                     .environment = {},
                     .stdin_content = {},
                     .stdout_path = folder.path() / "stdout",
                     .stderr_path = folder.path() / "stderr"});
    ASSERT_TRUE(process.WaitForLine("ready ", 20s)) << process.Stderr();
    ASSERT_EQ(RunRaftkv({"put", "key", "value", "--endpoints", address}).exit_code, 0);
    const RunResult status = RunRaftkv({"endpoint", "status", "--endpoints", address});
    EXPECT_EQ(status.exit_code, 0) << status.err;
    EXPECT_EQ(status.out.find("without TLS") == std::string::npos, insecure) << status.out;
    EXPECT_EQ(process.Stderr().find("without TLS") == std::string::npos, insecure)
        << process.Stderr();
  }
}

TEST(TlsFlags, SpeakingTheWrongLanguageIsToldOnEveryPort) {
  const TestCertificates kit;
  ProcessCluster cluster(
      {.members = 1,
       .flags = {"--tls-cert", kit.crt("server"), "--tls-key", kit.key("server")},
       .http = true,
       .client_tls = kit.client("")});
  ASSERT_TRUE(cluster.StartAll());
  const HttpAnswer plain = HttpGet(cluster.http_address(0), "/metrics");
  EXPECT_EQ(plain.status, 400);
  EXPECT_NE(plain.body.find("https"), std::string::npos) << plain.body;
  EXPECT_TRUE(cluster.process(0).WaitForStderr("it speaks plain text, and this port TLS", 10s));
  EXPECT_EQ(cluster.Cli({"put", "key", "value"}).exit_code, 0);
}

}  // namespace
}  // namespace raftkv::test
