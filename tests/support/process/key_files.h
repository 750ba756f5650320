// Where does a test find key files for encryption at rest?
#pragma once

#include <string>

namespace raftkv::test {

/// The path of a file with key `number`, which only its owner can read; the same for the whole run.
std::string KeyFile(int number);

}  // namespace raftkv::test
