# What raftkv links against. The build and the installed package both include this file, so that
# they cannot disagree. third_party/README.md says why each library was chosen.
#
# RocksDB, prometheus-cpp, xxHash, libarchive, nghttp2 and zstd are found by pkg-config: the CMake
# files of the first two ask for libraries that raftkv does not use (gflags, civetweb, curl, ...), the
# next three have none, and what zstd's call the library depends on whether it is shared.
#
# RAFTKV_ETCD says whether the library has the room rpc/etcd, which needs nghttp2.

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
set(raftkv_etcd_archives)
set(raftkv_etcd_libraries)
if(RAFTKV_ETCD)
  pkg_check_modules(nghttp2 REQUIRED QUIET IMPORTED_TARGET libnghttp2>=1.52)
  set(raftkv_etcd_archives nghttp2)
  set(raftkv_etcd_libraries PkgConfig::nghttp2)
endif()

# The heavy ones as static archives, for a target with the property RAFTKV_ARCHIVES: the time that a
# program takes to start is mostly the relocation of shared libraries (XML and ICU among them, by
# way of libarchive). Empty where Debian's packages lack one of them.
set(raftkv_archives)
foreach(name capnp-rpc capnp kj-tls kj-http kj-async kj ssl crypto rocksdb archive
    ${raftkv_etcd_archives} snappy lz4 zstd bz2 z)
  find_library(raftkv_archive_${name} NAMES lib${name}.a)
  mark_as_advanced(raftkv_archive_${name})
  list(APPEND raftkv_archives ${raftkv_archive_${name}})
endforeach()
if(raftkv_archives MATCHES "NOTFOUND")
  message(STATUS "Not all static archives were found: every program is linked with shared libraries")
  set(raftkv_archives)
endif()

set(RAFTKV_LINK_LIBRARIES)
foreach(library
    CapnProto::capnp-rpc CapnProto::capnp CapnProto::kj-tls CapnProto::kj-http CapnProto::kj-async
    CapnProto::kj PkgConfig::rocksdb PkgConfig::libarchive PkgConfig::zstd OpenSSL::SSL
    OpenSSL::Crypto ${raftkv_etcd_libraries})
  if(raftkv_archives)
    set(library $<$<NOT:$<BOOL:$<TARGET_PROPERTY:RAFTKV_ARCHIVES>>>:${library}>)
  endif()
  list(APPEND RAFTKV_LINK_LIBRARIES ${library})
endforeach()
foreach(archive ${raftkv_archives})
  list(APPEND RAFTKV_LINK_LIBRARIES $<$<BOOL:$<TARGET_PROPERTY:RAFTKV_ARCHIVES>>:${archive}>)
endforeach()
list(APPEND RAFTKV_LINK_LIBRARIES
  PkgConfig::prometheus PkgConfig::xxhash spdlog::spdlog fmt::fmt nlohmann_json::nlohmann_json
  Threads::Threads)
