# What raftkv links against. The build and the installed package both include this file, so that
# they cannot disagree. third_party/README.md says why each library was chosen.
#
# RocksDB, prometheus-cpp, xxHash, libarchive and zstd are found by pkg-config: the CMake files of the
# first two ask for libraries that raftkv does not use (gflags, civetweb, curl, ...), the next two have
# none, and what zstd's call the library depends on whether it is shared.

include(CMakeFindDependencyMacro)
find_dependency(Threads)
# CapnProtoConfig looks for libatomic with a test program that compiles as C only; its libraries use
# it anyhow, so the answer is known.
set(FOUND_LIBATOMIC TRUE)
find_dependency(CapnProto)
find_dependency(OpenSSL)
find_dependency(fmt)
find_dependency(spdlog)
find_dependency(nlohmann_json)
find_dependency(PkgConfig)
pkg_check_modules(rocksdb REQUIRED QUIET IMPORTED_TARGET rocksdb>=7.8)
pkg_check_modules(prometheus REQUIRED QUIET IMPORTED_TARGET prometheus-cpp-core)
pkg_check_modules(xxhash REQUIRED QUIET IMPORTED_TARGET libxxhash)
pkg_check_modules(libarchive REQUIRED QUIET IMPORTED_TARGET libarchive>=3.6)
pkg_check_modules(zstd REQUIRED QUIET IMPORTED_TARGET libzstd>=1.4)

set(RAFTKV_LINK_LIBRARIES
  CapnProto::capnp-rpc CapnProto::capnp CapnProto::kj-tls CapnProto::kj-http CapnProto::kj-async
  CapnProto::kj PkgConfig::rocksdb PkgConfig::prometheus PkgConfig::xxhash
  PkgConfig::libarchive PkgConfig::zstd spdlog::spdlog fmt::fmt
  nlohmann_json::nlohmann_json OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
