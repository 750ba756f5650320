#include "storage/disk/machine_boot.h"

#include <fstream>

namespace raftkv::storage {

std::string ReadMachineBoot() {
  std::string id;
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::getline(file, id);
  return id;
}

}  // namespace raftkv::storage
