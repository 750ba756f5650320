// Which signals do the threads of the library take? None: they are meant for the host.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace raftkv::storage {

/// While one lives its thread takes no signal, and a thread that is started inherits that for good.
/// RocksDB starts its threads in the calls that open a database. On a thread that has it for good a
/// signal for the thread itself, such as SIGXFSZ, stays pending: the write fails with EFBIG instead
/// of ending the process. On the thread that opens it is only put off; a host that limits the size
/// of files ignores that signal.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace raftkv::storage
