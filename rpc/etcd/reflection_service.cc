#include "rpc/etcd/reflection_service.h"

#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "rpc/etcd/descriptors.h"
#include "rpc/etcd/reflection_messages.h"

namespace raftkv::etcd {

/// Shared with the streams, which may end after the service.
struct ReflectionService::State {
  const Methods* methods = nullptr;
  std::optional<Descriptors> descriptors;

  /// Made when somebody asks: all services have been registered by then.
  const Descriptors& Made() {
    if (!descriptors.has_value()) descriptors.emplace(*methods);
    return *descriptors;
  }
};

namespace {

ErrorResponse ReflectionError(GrpcCode code, std::string message) {
  return {.error_code = static_cast<std::int32_t>(code), .error_message = std::move(message)};
}

void AnswerFile(const Descriptors& descriptors, const FileDescriptorProto* file,
                const std::string& asked_for, ServerReflectionResponse& response) {
  if (file == nullptr) {
    response.error_response = ReflectionError(GrpcCode::kNotFound, "not found: " + asked_for);
  } else {
    response.file_descriptor_response.emplace().file_descriptor_proto = descriptors.Encode(*file);
  }
}

/// There are no extensions in proto3.
void AnswerExtensions(const Descriptors& descriptors, const std::string& type,
                      ServerReflectionResponse& response) {
  if (descriptors.HasMessage(type)) {
    response.all_extension_numbers_response.emplace().base_type_name = type;
  } else {
    response.error_response = ReflectionError(GrpcCode::kNotFound, "not found: " + type);
  }
}

ServerReflectionResponse AnswerReflection(const Descriptors& descriptors,
                                          const ServerReflectionRequest& request) {
  ServerReflectionResponse response;
  response.valid_host = request.host;
  response.original_request = request;
  if (request.file_by_filename.has_value()) {
    const std::string& name = *request.file_by_filename;
    AnswerFile(descriptors, descriptors.FindFile(name), name, response);
  } else if (request.file_containing_symbol.has_value()) {
    const std::string& symbol = *request.file_containing_symbol;
    AnswerFile(descriptors, descriptors.FindSymbol(symbol), symbol, response);
  } else if (request.file_containing_extension.has_value()) {
    const std::string& type = request.file_containing_extension->containing_type;
    AnswerFile(descriptors, nullptr, "an extension of " + type, response);
  } else if (request.all_extension_numbers_of_type.has_value()) {
    AnswerExtensions(descriptors, *request.all_extension_numbers_of_type, response);
  } else if (request.list_services.has_value()) {
    auto& services = response.list_services_response.emplace().service;
    for (const std::string& name : descriptors.services()) services.push_back({.name = name});
  } else {
    response.error_response =
        ReflectionError(GrpcCode::kInvalidArgument, "the request asks for nothing");
  }
  return response;
}

class ReflectionStream final : public Conversation<ServerReflectionRequest> {
 public:
  ReflectionStream(std::function<const Descriptors&()> descriptors,
                   StreamReplier<ServerReflectionResponse> reply)
      : descriptors_(std::move(descriptors)), reply_(std::move(reply)) {}

  void OnRequest(ServerReflectionRequest request) override {
    if (reply_.full()) {
      return reply_.Finish({GrpcCode::kResourceExhausted, "read the answers before asking more"});
    }
    reply_.Send(AnswerReflection(descriptors_(), request));
  }
  void OnHalfClose() override { reply_.Finish({}); }

 private:
  const std::function<const Descriptors&()> descriptors_;
  const StreamReplier<ServerReflectionResponse> reply_;
};

}  // namespace

ReflectionService::ReflectionService() : state_(std::make_shared<State>()) {}
ReflectionService::~ReflectionService() = default;

void ReflectionService::Register(Methods& methods) {
  RAFTKV_CHECK(state_->methods == nullptr);
  state_->methods = &methods;
  for (const char* const service :
       {"grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"}) {
    methods.AddStream<ServerReflectionRequest, ServerReflectionResponse>(
        service, "ServerReflectionInfo", "", true,
        [state = state_](const CallContext& /*context*/,
                         StreamReplier<ServerReflectionResponse> reply) {
          return std::make_unique<ReflectionStream>(
              [state]() -> const Descriptors& { return state->Made(); }, std::move(reply));
        });
  }
}

}  // namespace raftkv::etcd
