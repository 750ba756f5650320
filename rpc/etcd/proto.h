// How does a message look in protobuf's wire format?
//
// For the messages of message_list.h, and FileDescriptorProto.
#pragma once

#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "rpc/etcd/admin_messages.h"

namespace raftkv::etcd {

template <class Message>
std::string EncodeProto(const Message& message);

/// InvalidArgument: the bytes are no such message, it is nested too deep (kMaxMessageDepth), or has
/// too many elements for its size (DecodeBudget). The error names the message and the field.
template <class Message>
Result<Message> DecodeProto(std::string_view encoded);

}  // namespace raftkv::etcd
