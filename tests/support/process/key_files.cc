#include "tests/support/process/key_files.h"

#include <filesystem>
#include <string>

#include "tests/support/process/process.h"

namespace raftkv::test {

std::string KeyFile(int number) {
  static const TempFolder folder;
  const std::string path = folder / ("key" + std::to_string(number));
  if (std::filesystem::exists(path)) return path;
  std::string digits = std::to_string(number);
  digits.resize(64, 'a');
  WriteFile(path, digits + "\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  return path;
}

}  // namespace raftkv::test
