// How does protobuf describe a .proto file on the wire? (the part of
// google/protobuf/descriptor.proto that a file like ours needs; see messages.h)
#pragma once

#include "rpc/etcd/messages.h"

namespace raftkv::etcd {

struct FieldDescriptorProto {
  /// The values of its enum `Type`.
  enum Type : std::int32_t {
    kInt64 = 3,
    kUint64 = 4,
    kInt32 = 5,
    kBool = 8,
    kString = 9,
    kMessage = 11,
    kBytes = 12,
    kUint32 = 13,
    kEnum = 14,
  };
  enum Label : std::int32_t { kOptional = 1, kRepeated = 3 };

  std::string name = {};
  std::int32_t number = 0;
  std::int32_t label = 0;
  std::int32_t type = 0;
  std::string type_name = {};
  std::optional<std::int32_t> oneof_index = {};
  RAFTKV_FIELDS(FieldDescriptorProto, "google.protobuf.FieldDescriptorProto", RAFTKV_F(1, name),
                RAFTKV_F(3, number), RAFTKV_F(4, label), RAFTKV_F(5, type), RAFTKV_F(6, type_name),
                RAFTKV_F(9, oneof_index));
};

struct OneofDescriptorProto {
  std::string name = {};
  RAFTKV_FIELDS(OneofDescriptorProto, "google.protobuf.OneofDescriptorProto", RAFTKV_F(1, name));
};

struct EnumValueDescriptorProto {
  std::string name = {};
  std::optional<std::int32_t> number = {};
  RAFTKV_FIELDS(EnumValueDescriptorProto, "google.protobuf.EnumValueDescriptorProto",
                RAFTKV_F(1, name), RAFTKV_F(2, number));
};

struct EnumDescriptorProto {
  std::string name = {};
  std::vector<EnumValueDescriptorProto> value = {};
  RAFTKV_FIELDS(EnumDescriptorProto, "google.protobuf.EnumDescriptorProto", RAFTKV_F(1, name),
                RAFTKV_F(2, value));
};

struct DescriptorProto {
  std::string name = {};
  std::vector<FieldDescriptorProto> field = {};
  std::vector<EnumDescriptorProto> enum_type = {};
  std::vector<OneofDescriptorProto> oneof_decl = {};
  RAFTKV_FIELDS(DescriptorProto, "google.protobuf.DescriptorProto", RAFTKV_F(1, name),
                RAFTKV_F(2, field), RAFTKV_F(4, enum_type), RAFTKV_F(8, oneof_decl));
};

struct MethodDescriptorProto {
  std::string name = {};
  std::string input_type = {};
  std::string output_type = {};
  bool client_streaming = false;
  bool server_streaming = false;
  RAFTKV_FIELDS(MethodDescriptorProto, "google.protobuf.MethodDescriptorProto", RAFTKV_F(1, name),
                RAFTKV_F(2, input_type), RAFTKV_F(3, output_type), RAFTKV_F(5, client_streaming),
                RAFTKV_F(6, server_streaming));
};

struct ServiceDescriptorProto {
  std::string name = {};
  std::vector<MethodDescriptorProto> method = {};
  RAFTKV_FIELDS(ServiceDescriptorProto, "google.protobuf.ServiceDescriptorProto", RAFTKV_F(1, name),
                RAFTKV_F(2, method));
};

struct FileDescriptorProto {
  std::string name = {};
  std::string package = {};
  std::vector<std::string> dependency = {};
  std::vector<DescriptorProto> message_type = {};
  std::vector<EnumDescriptorProto> enum_type = {};
  std::vector<ServiceDescriptorProto> service = {};
  std::string syntax = {};
  RAFTKV_FIELDS(FileDescriptorProto, "google.protobuf.FileDescriptorProto", RAFTKV_F(1, name),
                RAFTKV_F(2, package), RAFTKV_F(3, dependency), RAFTKV_F(4, message_type),
                RAFTKV_F(5, enum_type), RAFTKV_F(6, service), RAFTKV_F(12, syntax));
};

}  // namespace raftkv::etcd
