// What does a running process use?
#pragma once

#include <sys/types.h>

namespace raftkv::test {

/// Of all its threads since it began, in seconds, in user and kernel mode.
double CpuSeconds(pid_t process);
/// What it has in memory, in MiB.
double ResidentMiB(pid_t process);

}  // namespace raftkv::test
