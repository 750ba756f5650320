#include "rpc/etcd/auth_service.h"

#include "rpc/etcd/errors.h"

namespace raftkv::etcd {

namespace {

constexpr char kAuthService[] = "etcdserverpb.Auth";

constexpr EtcdError kAuthNotEnabled{GrpcCode::kFailedPrecondition,
                                    "etcdserver: authentication is not enabled"};

struct AuthMethod {
  const char* name;
  const char* json_path;
};

/// Besides AuthStatus and Authenticate.
constexpr AuthMethod kOtherMethods[] = {
    {"AuthEnable", "auth/enable"},
    {"AuthDisable", "auth/disable"},
    {"UserAdd", "auth/user/add"},
    {"UserGet", "auth/user/get"},
    {"UserList", "auth/user/list"},
    {"UserDelete", "auth/user/delete"},
    {"UserChangePassword", "auth/user/changepw"},
    {"UserGrantRole", "auth/user/grant"},
    {"UserRevokeRole", "auth/user/revoke"},
    {"RoleAdd", "auth/role/add"},
    {"RoleGet", "auth/role/get"},
    {"RoleList", "auth/role/list"},
    {"RoleDelete", "auth/role/delete"},
    {"RoleGrantPermission", "auth/role/grant"},
    {"RoleRevokePermission", "auth/role/revoke"},
};

}  // namespace

void AuthService::Register(Methods& methods) {
  methods.AddUnary<AuthStatusRequest, AuthStatusResponse>(
      kAuthService, "AuthStatus", "auth/status",
      [this](const auto&, const auto&, const auto& reply) {
        AuthStatusResponse response;
        response.header = MakeHeader(backend_, 0);
        reply(response);
      });
  methods.AddUnary<AuthenticateRequest, AuthenticateResponse>(
      kAuthService, "Authenticate", "auth/authenticate",
      [](const auto&, const auto&, const auto& reply) { reply(kAuthNotEnabled); });
  // Their requests are not looked at: one without fields reads them all.
  for (const AuthMethod& method : kOtherMethods) {
    methods.AddUnary<AuthStatusRequest, AuthStatusResponse>(
        kAuthService, method.name, method.json_path,
        [](const auto&, const auto&, const auto& reply) { reply(kAuthNotEnabled); });
  }
}

}  // namespace raftkv::etcd
