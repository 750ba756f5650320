// Does the door serve what its documents say, under the paths that clients ask for?
#include "rpc/etcd/services.h"

#include <string>

#include <gtest/gtest.h>

#include "rpc/etcd/descriptors.h"
#include "tests/rpc/etcd/proto_text.h"
#include "tests/rpc/etcd/streams_fixture.h"

namespace raftkv::etcd {
namespace {

using ServicesTest = StreamsTest;

TEST_F(ServicesTest, EveryDocumentedMethodIsServedWithItsMessages) {
  Start();
  On([&] {
    const Descriptors descriptors(services_->methods());
    std::size_t methods = 0;
    for (const char* file : {"rpc.proto", "v3lock.proto", "v3election.proto"}) {
      const auto served = DeclarationsOf(*descriptors.FindFile(file));
      for (const auto& [name, tokens] : DocumentedDeclarations(file)) {
        if (!name.starts_with("service ")) continue;
        ++methods;
        ASSERT_TRUE(served.contains(name)) << name;
        EXPECT_EQ(served.at(name), tokens) << name;
      }
    }
    EXPECT_GT(methods, 30U);
  });
}

TEST_F(ServicesTest, TheGatewayHasThePathsOfEtcd) {
  Start();
  On([&] {
    for (const char* path : {"kv/range",
                             "kv/put",
                             "kv/deleterange",
                             "kv/txn",
                             "kv/compaction",
                             "watch",
                             "lease/grant",
                             "lease/revoke",
                             "lease/keepalive",
                             "lease/timetolive",
                             "lease/leases",
                             "cluster/member/list",
                             "cluster/member/add",
                             "cluster/member/remove",
                             "cluster/member/update",
                             "cluster/member/promote",
                             "maintenance/status",
                             "maintenance/alarm",
                             "maintenance/defragment",
                             "maintenance/hash",
                             "maintenance/snapshot",
                             "maintenance/transfer-leadership",
                             "auth/authenticate",
                             "lock/lock",
                             "lock/unlock",
                             "election/campaign",
                             "election/proclaim",
                             "election/leader",
                             "election/observe",
                             "election/resign"}) {
      EXPECT_NE(services_->methods().FindJson(path), nullptr) << path;
    }
  });
}

}  // namespace
}  // namespace raftkv::etcd
