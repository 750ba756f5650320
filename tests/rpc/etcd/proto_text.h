// Does a .proto file say the same as a descriptor?
#pragma once

#include <map>
#include <string>

#include "rpc/etcd/descriptors.h"

namespace raftkv::etcd {

/// What a .proto file declares, in a form that two files can be compared in: name of a declaration
/// -> its tokens. Comments, spaces and the order of declarations do not count, the order of fields
/// does. The methods of a service are one declaration each.
using ProtoDeclarations = std::map<std::string, std::string>;

ProtoDeclarations ParseProtoText(const std::string& text);
/// As if `file` had been written as a .proto file and parsed.
ProtoDeclarations DeclarationsOf(const FileDescriptorProto& file);
/// docs/etcd/NAME.
ProtoDeclarations DocumentedDeclarations(const std::string& name);

}  // namespace raftkv::etcd
