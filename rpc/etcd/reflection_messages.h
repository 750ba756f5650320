// Which messages does gRPC's server reflection have? (see messages.h)
//
// Version v1 of the service has the same messages as v1alpha, under another package: these serve
// both.
#pragma once

#include "rpc/etcd/messages.h"

namespace raftkv::etcd {

struct ExtensionRequest {
  std::string containing_type = {};
  std::int32_t extension_number = 0;
  RAFTKV_FIELDS(ExtensionRequest, "grpc.reflection.v1alpha.ExtensionRequest",
                RAFTKV_F(1, containing_type), RAFTKV_F(2, extension_number));
};

struct ServerReflectionRequest {
  std::string host = {};
  // oneof message_request
  std::optional<std::string> file_by_filename = {};
  std::optional<std::string> file_containing_symbol = {};
  std::optional<ExtensionRequest> file_containing_extension = {};
  std::optional<std::string> all_extension_numbers_of_type = {};
  std::optional<std::string> list_services = {};
  RAFTKV_FIELDS(ServerReflectionRequest, "grpc.reflection.v1alpha.ServerReflectionRequest",
                RAFTKV_F(1, host), RAFTKV_OF(message_request, 3, file_by_filename),
                RAFTKV_OF(message_request, 4, file_containing_symbol),
                RAFTKV_OF(message_request, 5, file_containing_extension),
                RAFTKV_OF(message_request, 6, all_extension_numbers_of_type),
                RAFTKV_OF(message_request, 7, list_services));
};

struct FileDescriptorResponse {
  /// Each a FileDescriptorProto (descriptor_messages.h).
  std::vector<std::string> file_descriptor_proto = {};
  RAFTKV_FIELDS(FileDescriptorResponse, "grpc.reflection.v1alpha.FileDescriptorResponse",
                RAFTKV_B(1, file_descriptor_proto));
};

struct ExtensionNumberResponse {
  std::string base_type_name = {};
  std::vector<std::int32_t> extension_number = {};
  RAFTKV_FIELDS(ExtensionNumberResponse, "grpc.reflection.v1alpha.ExtensionNumberResponse",
                RAFTKV_F(1, base_type_name), RAFTKV_F(2, extension_number));
};

struct ServiceResponse {
  std::string name = {};
  RAFTKV_FIELDS(ServiceResponse, "grpc.reflection.v1alpha.ServiceResponse", RAFTKV_F(1, name));
};

struct ListServiceResponse {
  std::vector<ServiceResponse> service = {};
  RAFTKV_FIELDS(ListServiceResponse, "grpc.reflection.v1alpha.ListServiceResponse",
                RAFTKV_F(1, service));
};

struct ErrorResponse {
  std::int32_t error_code = 0;
  std::string error_message = {};
  RAFTKV_FIELDS(ErrorResponse, "grpc.reflection.v1alpha.ErrorResponse", RAFTKV_F(1, error_code),
                RAFTKV_F(2, error_message));
};

struct ServerReflectionResponse {
  std::string valid_host = {};
  std::optional<ServerReflectionRequest> original_request = {};
  // oneof message_response
  std::optional<FileDescriptorResponse> file_descriptor_response = {};
  std::optional<ExtensionNumberResponse> all_extension_numbers_response = {};
  std::optional<ListServiceResponse> list_services_response = {};
  std::optional<ErrorResponse> error_response = {};
  RAFTKV_FIELDS(ServerReflectionResponse, "grpc.reflection.v1alpha.ServerReflectionResponse",
                RAFTKV_F(1, valid_host), RAFTKV_F(2, original_request),
                RAFTKV_OF(message_response, 4, file_descriptor_response),
                RAFTKV_OF(message_response, 5, all_extension_numbers_response),
                RAFTKV_OF(message_response, 6, list_services_response),
                RAFTKV_OF(message_response, 7, error_response));
};

}  // namespace raftkv::etcd
