// Which .proto files would describe this server?
//
// One a package, as docs/etcd has them: the messages are made from Fields(), the services from the
// table of methods. Clients without .proto files (grpcurl) ask for them by reflection.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rpc/etcd/descriptor_messages.h"
#include "rpc/etcd/method.h"

namespace raftkv::etcd {

/// A plain value; constant once it is made.
class Descriptors {
 public:
  explicit Descriptors(const Methods& methods);

  /// Each after those that it depends on.
  [[nodiscard]] const std::vector<FileDescriptorProto>& files() const { return files_; }
  /// Full names of all services, sorted.
  [[nodiscard]] const std::vector<std::string>& services() const { return services_; }
  /// "rpc.proto"; null: there is none.
  [[nodiscard]] const FileDescriptorProto* FindFile(std::string_view name) const;
  /// The file with a package's message, enum, service, method ("etcdserverpb.KV.Range") or field;
  /// null: there is none.
  [[nodiscard]] const FileDescriptorProto* FindSymbol(std::string_view symbol) const;
  /// Whether `name` is a message.
  [[nodiscard]] bool HasMessage(std::string_view name) const;
  /// `file`, then the files that it needs, encoded.
  [[nodiscard]] std::vector<std::string> Encode(const FileDescriptorProto& file) const;

 private:
  void AddServices(const Methods& methods);
  void AddSymbols(const FileDescriptorProto& file);

  std::vector<FileDescriptorProto> files_;
  std::vector<std::string> services_;
  /// Full name -> name of its file.
  std::map<std::string, std::string, std::less<>> symbols_;
  std::set<std::string, std::less<>> messages_;
};

}  // namespace raftkv::etcd
