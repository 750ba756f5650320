// What does a change of the key leave in a data folder while it is under way?
// (storage/member/rekey.h)
#pragma once

#include <string>
#include <string_view>

#include <rocksdb/env.h>

#include <raftkv/status.h>

namespace raftkv::storage {

/// While this file stands, the new files are taking the places of the old ones.
inline constexpr char kRekeyMarkName[] = "rekey";
/// Behind the name of a file or folder that is written anew beside the old one.
inline constexpr std::string_view kRekeyCopySuffix = ".rekey";

/// Whether a change of the key writes `name` anew; LOCK files stay, checkpoints are not worth it.
bool IsRekeyed(std::string_view name);
/// Whether Rekey has to be run again before the folder can be opened.
Result<bool> RekeyWasCutShort(rocksdb::Env& env, const std::string& folder);
/// Whether `name` is what a Rekey that was cut short left beside the data.
bool IsRekeyCopy(std::string_view name);

}  // namespace raftkv::storage
