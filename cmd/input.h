// What does a stream hold, to its end?
#pragma once

#include <cstddef>
#include <string>

#include <raftkv/status.h>

namespace raftkv::cmd {

/// All bytes of the open `file` up to its end, or the first `max_bytes` + 1: more are too many, and
/// an endless stream is not read to the end of memory. IOError: it cannot be read; what came before
/// the error is not its content.
Result<std::string> ReadToEnd(int file, std::size_t max_bytes);

/// The same of the file at `path`, which may be a pipe.
Result<std::string> ReadWholeFile(const std::string& path, std::size_t max_bytes);

}  // namespace raftkv::cmd
