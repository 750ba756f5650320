#include "tests/support/process/usage.h"

#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace raftkv::test {

double CpuSeconds(pid_t process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(stat, text);
  // proc(5): the second field is a name in parentheses, the 14th and 15th are the times.
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  double ticks = 0;
  std::string field;
  for (int number = 3; number <= 15 && fields >> field; ++number) {
    if (number >= 14) ticks += std::stod(field);
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ResidentMiB(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

}  // namespace raftkv::test
