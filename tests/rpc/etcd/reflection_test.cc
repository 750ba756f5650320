#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/etcd/descriptors.h"
#include "rpc/etcd/reflection_messages.h"
#include "rpc/etcd/reflection_service.h"
#include "tests/rpc/etcd/call_record.h"
#include "tests/rpc/etcd/proto_text.h"

namespace raftkv::etcd {
namespace {

constexpr char kAlpha[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kV1[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

const std::vector<std::string> kDocuments = {"kv.proto", "rpc.proto", "v3lock.proto",
                                             "v3election.proto"};

template <class Request, class Response>
void AddSilent(Methods& methods, const std::string& service, const std::string& name) {
  methods.AddUnary<Request, Response>(
      service, name, {}, [](const CallContext&, const Request&, const Replier<Response>&) {});
}

class ReflectionTest : public testing::Test {
 protected:
  ReflectionTest() {
    service_.Register(methods_);
    // After the service: what counts is what there is when somebody asks.
    AddSilent<PutRequest, PutResponse>(methods_, "etcdserverpb.KV", "Put");
    AddSilent<RangeRequest, RangeResponse>(methods_, "etcdserverpb.KV", "Range");
    AddSilent<LockRequest, LockResponse>(methods_, "v3lockpb.Lock", "Lock");
  }

  ServerReflectionResponse Ask(const ServerReflectionRequest& request,
                               const char* path = kAlpha) const {
    const OpenedCall call = OpenCall(methods_, path);
    call.Ask(request);
    call.handler->OnHalfClose();
    EXPECT_EQ(call.record->outcome, Outcome{});
    EXPECT_EQ(call.record->sent.size(), 1U);
    return call.Answer<ServerReflectionResponse>();
  }

  /// Names of the files in an answer.
  static std::vector<std::string> Files(const ServerReflectionResponse& response) {
    std::vector<std::string> names;
    if (!response.file_descriptor_response.has_value()) return names;
    for (const std::string& bytes : response.file_descriptor_response->file_descriptor_proto) {
      const auto file = DecodeProto<FileDescriptorProto>(bytes);
      EXPECT_TRUE(file.ok()) << file.status().ToString();
      if (file.ok()) names.push_back(file->name);
    }
    return names;
  }

  Methods methods_;
  ReflectionService service_;
};

TEST_F(ReflectionTest, ListsTheServicesInBothVersions) {
  for (const char* const path : {kAlpha, kV1}) {
    const auto answer = Ask({.host = "h", .list_services = ""}, path);
    EXPECT_EQ(answer.valid_host, "h");
    EXPECT_EQ(answer.original_request, (ServerReflectionRequest{.host = "h", .list_services = ""}));
    ASSERT_TRUE(answer.list_services_response.has_value());
    std::vector<std::string> names;
    for (const auto& each : answer.list_services_response->service) names.push_back(each.name);
    EXPECT_EQ(names, (std::vector<std::string>{
                         "etcdserverpb.KV", "grpc.reflection.v1.ServerReflection",
                         "grpc.reflection.v1alpha.ServerReflection", "v3lockpb.Lock"}));
  }
}

TEST_F(ReflectionTest, FindsTheFileOfASymbolWithAllThatItNeeds) {
  for (const char* const symbol :
       {"etcdserverpb.KV", "etcdserverpb.KV.Range", "etcdserverpb.RangeRequest",
        "etcdserverpb.RangeRequest.SortOrder", "etcdserverpb.RangeRequest.key",
        "etcdserverpb.Compare.target_union", "etcdserverpb.AlarmType", "etcdserverpb.NOSPACE"}) {
    EXPECT_EQ(Files(Ask({.file_containing_symbol = symbol})),
              (std::vector<std::string>{"rpc.proto", "kv.proto"}))
        << symbol;
  }
  EXPECT_EQ(Files(Ask({.file_containing_symbol = "v3lockpb.Lock"})),
            (std::vector<std::string>{"v3lock.proto", "rpc.proto", "kv.proto"}));
  EXPECT_EQ(Files(Ask({.file_by_filename = "kv.proto"})), (std::vector<std::string>{"kv.proto"}));
  EXPECT_EQ(Files(Ask({.file_containing_symbol = "grpc.reflection.v1.ServerReflection"})),
            (std::vector<std::string>{"grpc/reflection/v1/reflection.proto",
                                      "grpc/reflection/v1alpha/reflection.proto"}));
}

TEST_F(ReflectionTest, SaysWhatItDoesNotHaveAndGoesOn) {
  const OpenedCall call = OpenCall(methods_, kAlpha);
  const std::vector<ServerReflectionRequest> requests = {
      {.file_by_filename = "other.proto"},
      {.file_containing_symbol = "etcdserverpb.KV.Rang"},
      {.file_containing_symbol = ""},
      {.file_containing_extension = ExtensionRequest{.containing_type = "etcdserverpb.Compare"}},
      {.all_extension_numbers_of_type = "etcdserverpb.KV"},
  };
  for (const ServerReflectionRequest& request : requests) call.Ask(request);
  ASSERT_EQ(call.record->sent.size(), requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto answer = call.Answer<ServerReflectionResponse>(i);
    ASSERT_TRUE(answer.error_response.has_value()) << i;
    EXPECT_EQ(answer.error_response->error_code, static_cast<int>(GrpcCode::kNotFound)) << i;
    EXPECT_EQ(answer.original_request, requests[i]) << i;
  }
  call.Ask(ServerReflectionRequest{});
  const auto nothing = call.Answer<ServerReflectionResponse>(requests.size());
  ASSERT_TRUE(nothing.error_response.has_value());
  EXPECT_EQ(nothing.error_response->error_code, static_cast<int>(GrpcCode::kInvalidArgument));
  EXPECT_FALSE(call.record->outcome.has_value());
}

TEST_F(ReflectionTest, KnowsThatAMessageHasNoExtensions) {
  const auto answer = Ask({.all_extension_numbers_of_type = "etcdserverpb.Compare"});
  ASSERT_TRUE(answer.all_extension_numbers_response.has_value());
  EXPECT_EQ(answer.all_extension_numbers_response->base_type_name, "etcdserverpb.Compare");
  EXPECT_TRUE(answer.all_extension_numbers_response->extension_number.empty());
}

TEST_F(ReflectionTest, EndsAStreamThatAsksWithoutReading) {
  const OpenedCall call = OpenCall(methods_, kAlpha);
  call.record->queued = Sink::kMaxQueuedBytes;
  call.Ask(ServerReflectionRequest{.list_services = ""});
  EXPECT_TRUE(call.record->sent.empty());
  ASSERT_TRUE(call.record->outcome.has_value());
  EXPECT_EQ(call.record->outcome->code, GrpcCode::kResourceExhausted);
}

TEST(Reflection, AnswersStreamsThatOutliveTheService) {
  Methods methods;
  auto service = std::make_unique<ReflectionService>();
  service->Register(methods);
  const OpenedCall call = OpenCall(methods, kV1);
  service.reset();
  call.Ask(ServerReflectionRequest{.list_services = ""});
  EXPECT_TRUE(call.Answer<ServerReflectionResponse>().list_services_response.has_value());
}

/// Without methods, and without what only they need.
ProtoDeclarations WithoutServices(ProtoDeclarations declarations) {
  std::erase_if(declarations, [](const auto& each) { return each.first.starts_with("service "); });
  return declarations;
}

TEST(Descriptors, SayTheSameAsTheDocuments) {
  const Descriptors descriptors{Methods()};
  for (const std::string& name : kDocuments) {
    const FileDescriptorProto* const file = descriptors.FindFile(name);
    ASSERT_NE(file, nullptr) << name;
    const ProtoDeclarations documented = WithoutServices(DocumentedDeclarations(name));
    EXPECT_GT(documented.size(), 3U);
    EXPECT_EQ(WithoutServices(DeclarationsOf(*file)), documented) << name;
  }
}

TEST(Descriptors, SayOfAMethodWhatTheTableSays) {
  Methods methods;
  AddSilent<PutRequest, PutResponse>(methods, "etcdserverpb.KV", "Put");
  methods.AddStream<LeaderRequest, LeaderResponse>(
      "v3electionpb.Election", "Observe", {}, false,
      [](const CallContext&, const StreamReplier<LeaderResponse>&) {
        return std::unique_ptr<Conversation<LeaderRequest>>();
      });
  const Descriptors descriptors(methods);
  for (const auto& [file, declared] : {std::pair{"rpc.proto", "service KV Put"},
                                       std::pair{"v3election.proto", "service Election Observe"}}) {
    const auto declarations = DeclarationsOf(*descriptors.FindFile(file));
    ASSERT_TRUE(declarations.contains(declared)) << declared;
    EXPECT_EQ(declarations.at(declared), DocumentedDeclarations(file).at(declared));
  }
}

TEST(Descriptors, DependOnFilesBeforeThemOnly) {
  const Descriptors descriptors{Methods()};
  std::vector<std::string> before;
  for (const FileDescriptorProto& file : descriptors.files()) {
    for (const std::string& needed : file.dependency) {
      EXPECT_EQ(std::count(before.begin(), before.end(), needed), 1)
          << file.name << " needs " << needed;
    }
    before.push_back(file.name);
  }
}

TEST(ProtoText, ComparesWhatIsDeclared) {
  const std::string text =
      "syntax = \"proto3\"; package p; // a comment\nmessage M { int64 a=1;// b\n } enum E {X = 0;}"
      "service S { rpc Do(M) returns (stream M); rpc Be ( M ) returns(M); }";
  const ProtoDeclarations declarations = ParseProtoText(text);
  EXPECT_EQ(declarations.size(), 6U);
  EXPECT_EQ(declarations.at("message M"), "message M { int64 a = 1 ; } ");
  EXPECT_EQ(declarations.at("service S Do"), "rpc Do ( M ) returns ( stream M ) ");
  EXPECT_NE(ParseProtoText("message M { int64 a = 2; }").at("message M"),
            declarations.at("message M"));
}

}  // namespace
}  // namespace raftkv::etcd
