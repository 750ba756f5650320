// How are files and folders made so that they are still there after a power cut?
//
// Everything goes through the rocksdb::Env that the databases use, so that tests with a file system
// of their own see every operation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

namespace raftkv::storage {

/// An errno that means a full disk: ENOSPC, a quota that is used up (EDQUOT), or a file that may
/// not grow (EFBIG). Whoever can waits until there is room again.
bool IsDiskFull(int error);
/// The same of what RocksDB makes of it.
bool IsDiskFull(const rocksdb::Status& status);

/// `doing` says what was tried, for example "open the log database"; it begins the message.
Status ToStatus(const rocksdb::Status& status, const std::string& doing);

/// The same where a database is opened: there, nearly everything that RocksDB does not like is
/// damage, a missing file for example.
Status ToOpenStatus(const rocksdb::Status& status, const std::string& doing);

/// nullopt: there is no such file.
Result<std::optional<std::string>> ReadFileIfExists(rocksdb::Env& env, const std::string& path);

/// Replaces `folder`/`name` as a whole: temporary file, sync, rename, sync of the folder. Ok: the
/// new content is durable; otherwise the old or the new one is there, never a mixture.
Status ReplaceFile(rocksdb::Env& env, const std::string& folder, const std::string& name,
                   const std::string& content);
/// What ReplaceFile may leave behind when it is cut short.
std::string TemporaryName(const std::string& name);

/// Where `path` is; "." for a plain name.
std::string ParentOf(const std::string& path);
Status SyncFolder(rocksdb::Env& env, const std::string& folder);
/// Makes `folder` and those above it that are missing; each is durable in the one above it, those
/// that were there as well, where they may be opened.
Status MakeFolder(rocksdb::Env& env, const std::string& folder);
/// Removes what is at `path`: a file, a folder with all that is in it, or nothing. Of a link, at
/// `path` or below it, only the link.
Status RemoveTree(rocksdb::Env& env, const std::string& path);

/// Whether so much may be written beside `folder`, as far as the file system says.
bool Fits(rocksdb::Env& env, const std::string& folder, std::uint64_t bytes);

/// Names in `folder`, sorted, without "." and ".."; nullopt: there is no such folder.
Result<std::optional<std::vector<std::string>>> ListFolder(rocksdb::Env& env,
                                                           const std::string& folder);

}  // namespace raftkv::storage
