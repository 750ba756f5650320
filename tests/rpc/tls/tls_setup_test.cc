// Are files that do not fit together refused when they are read, and are changed ones read again?
#include <filesystem>

#include "rpc/tls/certificate.h"
#include "rpc/tls/tls_files.h"
#include "rpc/tls/tls_source.h"
#include "tests/rpc/tls/tls_fixture.h"

namespace raftkv::rpc {
namespace {

using std::chrono::hours;
using test::ReadFile;
using test::ReplaceFile;

class TlsSetupTest : public testing::Test {
 protected:
  std::string Refusal(const NodeTlsOptions& options) {
    const auto loaded = LoadTls(options, /*has_peers=*/true);
    EXPECT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.code(), Code::kInvalidArgument);
    return loaded.status().message();
  }

  test::TestCertificates kit_;
};

TEST_F(TlsSetupTest, AMissingFileIsNamed) {
  NodeTlsOptions options = kit_.node();
  options.key = "/nowhere/server.key";
  EXPECT_EQ(Refusal(options),
            "--tls-key /nowhere/server.key: cannot be read: No such file or directory");
  options = kit_.node();
  options.peer_ca = "/";
  EXPECT_EQ(Refusal(options), "--peer-tls-ca /: is not a regular file");
}

TEST_F(TlsSetupTest, FilesThatWereMixedUpAreNamed) {
  NodeTlsOptions options = kit_.node();
  std::swap(options.cert, options.key);
  EXPECT_TRUE(Mentions(Refusal(options), "holds a private key instead of a certificate"));
  options = kit_.node();
  options.key = options.cert;
  EXPECT_TRUE(Mentions(Refusal(options), "holds a certificate instead of a private key"));
  options = kit_.node();
  options.key = kit_.key("client");
  EXPECT_EQ(Refusal(options), "--tls-key " + kit_.key("client") +
                                  ": this is not the key of the first certificate in --tls-cert " +
                                  kit_.crt("server"));
}

TEST_F(TlsSetupTest, DamagedFilesAreRefused) {
  NodeTlsOptions options = kit_.node();
  const std::string good = ReadFile(kit_.crt("server"));
  ReplaceFile(kit_.crt("server"), "");
  EXPECT_TRUE(Mentions(Refusal(options), "-----BEGIN CERTIFICATE-----")) << Refusal(options);
  ReplaceFile(kit_.crt("server"), good.substr(0, good.size() / 2));
  EXPECT_TRUE(Mentions(Refusal(options), "--tls-cert")) << Refusal(options);
  std::string broken = good;
  broken[broken.size() / 2] = '*';
  ReplaceFile(kit_.crt("server"), broken);
  EXPECT_TRUE(Mentions(Refusal(options), "certificate 1 in it is damaged")) << Refusal(options);
  ReplaceFile(kit_.crt("server"), std::string(2 << 20, '\n'));
  EXPECT_TRUE(Mentions(Refusal(options), "is larger than 1 MiB"));
  ReplaceFile(kit_.crt("server"), good);
  EXPECT_TRUE(LoadTls(options, true).ok());
}

TEST_F(TlsSetupTest, DatesAreChecked) {
  kit_.Issue("old",
             {.common_name = "old", .server = true, .begins = hours(-48), .ends = hours(-24)});
  kit_.Issue("new", {.common_name = "new", .server = true, .begins = hours(24)});
  NodeTlsOptions options = kit_.node();
  options.cert = kit_.crt("old");
  options.key = kit_.key("old");
  EXPECT_TRUE(Mentions(Refusal(options), "the certificate ('old') expired on 2"));
  options.cert = kit_.crt("new");
  options.key = kit_.key("new");
  EXPECT_TRUE(Mentions(Refusal(options), "the certificate ('new') is only valid from 2"));
}

TEST_F(TlsSetupTest, AChainHasAnOrder) {
  NodeTlsOptions options = kit_.node();
  ReplaceFile(kit_.crt("chain"), ReadFile(kit_.crt("server")) + ReadFile(kit_.crt("ca")));
  options.cert = kit_.crt("chain");
  EXPECT_TRUE(LoadTls(options, true).ok());
  ReplaceFile(kit_.crt("chain"), ReadFile(kit_.crt("server")) + ReadFile(kit_.crt("client")));
  EXPECT_TRUE(Mentions(Refusal(options), "was not signed by 'client'")) << Refusal(options);
}

TEST_F(TlsSetupTest, ACertificateOfMembersIsGoodForBothAndOfTheirCa) {
  NodeTlsOptions options = kit_.node();
  for (const std::string name : {"client", "server"}) {
    options.peer_cert = kit_.crt(name);
    options.peer_key = kit_.key(name);
    EXPECT_TRUE(Mentions(Refusal(options), "serverAuth and clientAuth")) << Refusal(options);
  }
  const test::TestCertificates other;
  options = kit_.node();
  options.peer_ca = other.crt("ca");
  EXPECT_TRUE(Mentions(Refusal(options),
                       "the other members would not accept it by the CA in --peer-tls-ca"));
}

TEST_F(TlsSetupTest, OneCertificateIsEnough) {
  const NodeTlsOptions options = {
      .cert = kit_.crt("peer"), .key = kit_.key("peer"), .ca = kit_.crt("ca")};
  auto loaded = LoadTls(options, /*has_peers=*/true);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_NE((*loaded)->accept_peers, nullptr);
  EXPECT_NE((*loaded)->dial, nullptr);
  // One that is only for clients is enough for a member that is alone.
  const NodeTlsOptions alone = {
      .cert = kit_.crt("server"), .key = kit_.key("server"), .ca = kit_.crt("ca")};
  EXPECT_FALSE(LoadTls(alone, /*has_peers=*/true).ok());
  loaded = LoadTls(alone, /*has_peers=*/false);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ((*loaded)->accept_peers, nullptr);
}

TEST_F(TlsSetupTest, OptionsGoTogether) {
  const auto refusal = [](const NodeTlsOptions& options, bool has_peers = true) {
    return CheckTls(options, has_peers).message();
  };
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal(kit_.node(true)), "");
  EXPECT_TRUE(Mentions(refusal({.cert = "c"}), "--tls-cert and --tls-key"));
  EXPECT_TRUE(Mentions(refusal({.peer_cert = "c", .peer_key = "k", .peer_ca = "a"}), "--tls-cert"));
  EXPECT_TRUE(Mentions(refusal({.cert = "c", .key = "k", .client_cert_auth = true}), "--tls-ca"));
  EXPECT_TRUE(Mentions(refusal({.cert = "c", .key = "k", .ca = "a", .peer_cert = "p"}),
                       "--peer-tls-cert and --peer-tls-key go together"));
  EXPECT_TRUE(Mentions(refusal({.cert = "c", .key = "k"}), "--peer-tls-ca"));
  EXPECT_EQ(refusal({.cert = "c", .key = "k"}, /*has_peers=*/false), "");
  EXPECT_TRUE(Mentions(refusal({.min_version = "1.1"}), "1.2 or 1.3"));
  const auto of_client = [](const ClientTlsOptions& options) {
    return CheckTls(options).message();
  };
  EXPECT_EQ(of_client({}), "");
  EXPECT_EQ(of_client(kit_.client()), "");
  EXPECT_TRUE(Mentions(of_client({.cert = "c", .key = "k"}), "--cacert"));
  EXPECT_TRUE(Mentions(of_client({.cacert = "a", .key = "k"}), "--cert and --key go together"));
  EXPECT_TRUE(Mentions(of_client({.cacert = "a", .server_name = "a b"}), "no name"));
}

TEST_F(TlsSetupTest, ChangedFilesAreReadAgainOnce) {
  const auto reload = TlsReload::Of(kit_.node(), true);
  const auto first = reload->Now();
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  auto again = reload->IfChanged();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*again, nullptr);
  kit_.Renew();
  again = reload->IfChanged();
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_NE(*again, nullptr);
  EXPECT_NE(*again, *first);
  // A key that came before its certificate.
  ReplaceFile(kit_.key("server"), ReadFile(kit_.key("client")));
  again = reload->IfChanged();
  EXPECT_FALSE(again.ok());
  EXPECT_TRUE(Mentions(DescribeReload(again), "new connections get what was read before"));
  EXPECT_TRUE(Mentions(DescribeReload(again), "--tls-key"));
  again = reload->IfChanged();
  ASSERT_TRUE(again.ok()) << "it is not tried again until it has changed";
  EXPECT_EQ(*again, nullptr);
  kit_.Renew();
  again = reload->IfChanged();
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_NE(*again, nullptr);
  EXPECT_TRUE(Mentions(DescribeReload(again), "valid until 2"));
}

TEST_F(TlsSetupTest, AFileThatIsGoneIsAChange) {
  const std::vector<std::string> files = TlsFilesOf(kit_.client());
  const std::string before = StampOf(files);
  EXPECT_EQ(StampOf(files), before);
  std::filesystem::remove(kit_.crt("client"));
  EXPECT_NE(StampOf(files), before);
}

TEST(CertificateAuthorityTest, RefusesWhatIsNoHost) {
  auto ca = CertificateAuthority::New("ca", hours(1));
  ASSERT_TRUE(ca.ok());
  for (const std::string host :
       {"", "a b", "a,DNS:b", "*", "x.*.y", "a\nb", "1.2.3.4/8", "é.org"}) {
    EXPECT_FALSE(ca->Issue({.common_name = "x", .hosts = {host}}).ok()) << host;
  }
  EXPECT_FALSE(ca->Issue({.common_name = ""}).ok());
  EXPECT_FALSE(ca->Issue({.common_name = std::string(65, 'x')}).ok());
  EXPECT_TRUE(ca->Issue({.common_name = std::string(64, 'x')}).ok());
}

TEST(CertificateAuthorityTest, IsReadAgainAndSignsTheSame) {
  auto made = CertificateAuthority::New("ca", hours(1));
  ASSERT_TRUE(made.ok());
  auto read = CertificateAuthority::Read(made->pem().certificate, made->pem().key);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->pem().certificate, made->pem().certificate);
  const auto leaf = read->Issue({.common_name = "x"});
  ASSERT_TRUE(leaf.ok());
  EXPECT_FALSE(CertificateAuthority::Read(leaf->certificate, leaf->key).ok()) << "it is no CA";
  EXPECT_FALSE(CertificateAuthority::Read(made->pem().certificate, leaf->key).ok());
  EXPECT_FALSE(CertificateAuthority::Read("", "").ok());
}

}  // namespace
}  // namespace raftkv::rpc
