// How are files and folders created so that they survive a power cut?
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

/// An errno that means a full disk: ENOSPC, an exhausted quota (EDQUOT), or a file at its size
/// limit (EFBIG). Callers that can wait until there is space again.
bool IsDiskFull(int error);
/// The same for RocksDB's form of it.
bool IsDiskFull(const rocksdb::Status& status);

/// `doing` says what was tried, for example "open the log database"; it begins the message.
Status ToStatus(const rocksdb::Status& status, const std::string& doing);

/// The same when a database is opened: there, nearly every complaint of RocksDB means damage, a
/// missing file for example.
Status ToOpenStatus(const rocksdb::Status& status, const std::string& doing);

/// nullopt: there is no such file.
Result<std::optional<std::string>> ReadFileIfExists(rocksdb::Env& env, const std::string& path);

/// Replaces `folder`/`name` as a whole: temporary file, sync, rename, sync of the folder. Ok: the
/// new content is durable; otherwise the old or the new one is there, never a mixture.
Status ReplaceFile(rocksdb::Env& env, const std::string& folder, const std::string& name,
                   const std::string& content);
/// What an interrupted ReplaceFile may leave behind.
std::string TemporaryName(const std::string& name);

/// The folder of `path`; "." for a plain name.
std::string ParentOf(const std::string& path);
Status SyncFolder(rocksdb::Env& env, const std::string& folder);
/// Creates `folder` and its missing parents. Each is made durable in its parent, including those
/// that existed, if they may be opened.
Status MakeFolder(rocksdb::Env& env, const std::string& folder);
/// Removes what is at `path`: a file, a folder with its content, or nothing. Links, at `path` or
/// below it, are removed and not followed.
Status RemoveTree(rocksdb::Env& env, const std::string& path);

/// Whether this much can be written beside `folder`, according to the file system.
bool Fits(rocksdb::Env& env, const std::string& folder, std::uint64_t bytes);

/// Names in `folder`, sorted, without "." and ".."; nullopt: there is no such folder.
Result<std::optional<std::vector<std::string>>> ListFolder(rocksdb::Env& env,
                                                           const std::string& folder);

}  // namespace raftkv::storage
