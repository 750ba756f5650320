// The verb that makes a CA and certificates for a test cluster: cert.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cmd/flags.h"
#include "cmd/input.h"
#include "cmd/output.h"
#include "rpc/tls/certificate_authority.h"

namespace raftkv::cmd {
namespace {

using rpc::CertificateAuthority;
using rpc::CertificateRequest;
using rpc::IssuedCertificate;

struct CertFlags {
  std::string out;
  std::string hosts = "127.0.0.1,localhost";
  std::string client = "client";
  std::uint64_t days = 365;
  bool force = false;
  bool keep_ca = false;
};

constexpr std::uint64_t kMaxDays = 10'000;
constexpr std::chrono::hours kCaLifetime{24 * 3650};
constexpr std::size_t kMaxPemFileBytes = 1 << 20;

struct NewFile {
  std::string path;
  std::string content;
};

Status FileError(const std::string& path, std::string_view what, int error) {
  return {Code::kIOError,
          fmt::format("{} {}: {}", what, path, std::generic_category().message(error))};
}

// Under its name once it is complete: a member may be reading the one that it replaces.
Status WriteNewFile(const NewFile& file) {
  const std::string partial = file.path + ".new";
  unlink(partial.c_str());
  const int fd = open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FileError(file.path, "cannot create", errno);
  std::string_view left = file.content;
  int error = 0;
  while (error == 0 && !left.empty()) {
    const ssize_t written = write(fd, left.data(), left.size());
    if (written < 0 && errno != EINTR) error = errno;
    if (written > 0) left.remove_prefix(static_cast<std::size_t>(written));
  }
  if (error == 0 && fsync(fd) != 0) error = errno;
  close(fd);
  if (error == 0 && rename(partial.c_str(), file.path.c_str()) != 0) error = errno;
  if (error == 0) return Status::Ok();
  unlink(partial.c_str());
  return FileError(file.path, "cannot write", error);
}

std::string PathIn(const CertFlags& flags, std::string_view name) {
  return (std::filesystem::path(flags.out) / name).string();
}

void AddPair(const CertFlags& flags, const std::string& name, const IssuedCertificate& issued,
             std::vector<NewFile>& files) {
  files.push_back({PathIn(flags, name + ".crt"), issued.certificate});
  files.push_back({PathIn(flags, name + ".key"), issued.key});
}

Result<CertificateAuthority> TheCa(const CertFlags& flags, std::vector<NewFile>& files) {
  if (!flags.keep_ca) {
    auto ca = CertificateAuthority::New("raftkv CA", kCaLifetime);
    if (ca.ok()) AddPair(flags, "ca", ca->pem(), files);
    return ca;
  }
  std::array<std::string, 2> read;
  for (std::size_t i = 0; i < read.size(); ++i) {
    const std::string path = PathIn(flags, i == 0 ? "ca.crt" : "ca.key");
    Result<std::string> content = ReadWholeFile(path, kMaxPemFileBytes);
    if (!content.ok()) {
      return Status(Code::kIOError, fmt::format("{} {}", path, content.status().message()));
    }
    read.at(i) = *std::move(content);
  }
  auto ca = CertificateAuthority::Read(read[0], read[1]);
  if (ca.ok()) return ca;
  return Status(Code::kIOError,
                fmt::format("ca.crt and ca.key in {}: {}", flags.out, ca.status().message()));
}

Result<std::vector<NewFile>> MakeAll(const CertFlags& flags) {
  std::vector<NewFile> files;
  const auto ca = TheCa(flags, files);
  if (!ca.ok()) return ca.status();
  const std::vector<std::string> hosts = CLI::detail::split(flags.hosts, ',');
  const std::chrono::hours lifetime(24 * static_cast<std::int64_t>(flags.days));
  const std::array<std::pair<std::string, CertificateRequest>, 3> requests = {{
      {"server", {.common_name = "server", .hosts = hosts, .server = true, .ends = lifetime}},
      {"peer",
       {.common_name = "peer", .hosts = hosts, .server = true, .client = true, .ends = lifetime}},
      {"client", {.common_name = flags.client, .client = true, .ends = lifetime}},
  }};
  for (const auto& [name, request] : requests) {
    const auto issued = ca->Issue(request);
    if (!issued.ok()) return issued.status();
    AddPair(flags, name, *issued, files);
  }
  return files;
}

Exit RunCert(const CertFlags& flags) {
  if (flags.out.empty()) {
    return Fail(Exit::kBadArguments, "--out is missing: the folder for the certificates");
  }
  auto files = MakeAll(flags);
  if (!files.ok()) {
    const bool bad = files.code() == Code::kInvalidArgument;
    return Fail(bad ? Exit::kBadArguments : Exit::kFileError, files.status().message());
  }
  std::error_code error;
  std::filesystem::create_directories(flags.out, error);
  if (error) {
    return Fail(Exit::kFileError, fmt::format("cannot create {}: {}", flags.out, error.message()));
  }
  for (const NewFile& file : *files) {
    struct stat about {};
    if (flags.force || flags.keep_ca || lstat(file.path.c_str(), &about) != 0) continue;
    return Fail(Exit::kFileError,
                fmt::format("{} exists; --keep-ca replaces the certificates of its CA, --force "
                            "replaces the CA as well",
                            file.path));
  }
  for (const NewFile& file : *files) {
    if (const Status written = WriteNewFile(file); !written.ok()) {
      return Fail(Exit::kFileError, written.message());
    }
    PrintLine(file.path);
  }
  return FinishOutput();
}

}  // namespace

void AddCertVerb(Program& program) {
  auto flags = std::make_shared<CertFlags>();
  CLI::App* verb = program.app.add_subcommand(
      "cert",
      "make a CA and certificates for a test cluster: for clients to see (server), for "
      "members (peer) and for a client");
  verb->add_option("--out", flags->out, "folder of the files; created if it does not exist")
      ->type_name("DIR");
  verb->add_option("--hosts", flags->hosts, "names and IP addresses that members are reached at")
      ->type_name("HOST,...")
      ->capture_default_str();
  verb->add_option("--client", flags->client, "name of the client")->capture_default_str();
  verb->add_option("--days", flags->days, "days that the certificates are valid")
      ->check(IsNumber(1, kMaxDays))
      ->type_name("N")
      ->capture_default_str();
  verb->add_flag("--keep-ca", flags->keep_ca,
                 "use the CA in the folder, and replace the other certificates");
  verb->add_flag("--force", flags->force, "replace what is in the folder, with its CA");
  verb->callback([&program, flags] { program.run = [flags] { return RunCert(*flags); }; });
}

}  // namespace raftkv::cmd
