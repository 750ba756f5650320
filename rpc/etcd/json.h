// How does a message look in JSON, as the gateway of etcd has it?
//
// For the messages of message_list.h.
#pragma once

#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "rpc/etcd/admin_messages.h"

namespace raftkv::etcd {

template <class Message>
std::string EncodeJson(const Message& message);

/// Nothing, and null, are the message with defaults. InvalidArgument: the text is no such message,
/// or beyond the bounds of json_text.h and field_traits.h; the error is a line that names the place
/// ("success[0].request_put.key: ...").
template <class Message>
Result<Message> DecodeJson(std::string_view encoded);

}  // namespace raftkv::etcd
