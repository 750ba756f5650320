#include "tests/sim/program/runner.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "tests/sim/world.h"

#ifdef RAFTKV_COVERAGE
extern "C" void __gcov_dump();
#endif

namespace raftkv::sim {

namespace {

/// What one process tells; plain bytes in shared memory.
struct Report {
  Stats stats;
  std::uint64_t seed = 0;  ///< at work
  bool failed = false;
  std::array<char, 64> checker{};
  std::array<char, 2048> message{};
};

using Clock = std::chrono::steady_clock;

template <std::size_t N>
void Copy(const std::string& from, std::array<char, N>& to) {
  const std::size_t bytes = std::min(from.size(), N - 1);
  std::memcpy(to.data(), from.data(), bytes);
  to[bytes] = 0;
}

class Worker {
 public:
  explicit Worker(const RunPlan& plan, std::uint64_t first, std::uint64_t step)
      : plan_(plan), next_(first), step_(step) {
    void* const memory =
        mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    RAFTKV_CHECK(memory != MAP_FAILED);
    report_ = new (memory) Report;
    errors_ = std::tmpfile();
    RAFTKV_CHECK(errors_ != nullptr);
  }
  ~Worker() {
    munmap(report_, sizeof(Report));
    std::fclose(errors_);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void Start(Clock::time_point end) {
    std::fflush(stdout);
    std::fflush(stderr);
    pid_ = fork();
    RAFTKV_CHECK(pid_ >= 0);
    if (pid_ != 0) return;
    dup2(fileno(errors_), STDERR_FILENO);
    Run(end);
#ifdef RAFTKV_COVERAGE
    __gcov_dump();
#endif
    _exit(0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void Stop() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  /// The process ended; what it found, if it found something.
  std::optional<Failure> Ended(int status) {
    pid_ = 0;
    if (report_->failed) {
      return Failure{report_->seed, report_->checker.data(), report_->message.data()};
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
    return Failure{report_->seed, "broken invariant", LastLine()};
  }
  [[nodiscard]] const Stats& stats() const { return report_->stats; }

 private:
  void Run(Clock::time_point end) {
    for (; next_ < plan_.first_seed + plan_.seeds || plan_.seeds == 0; next_ += step_) {
      if (Clock::now() >= end) return;
      report_->seed = next_;
      const Outcome outcome = RunSeed(next_, plan_.overrides, {});
      report_->stats.Add(outcome.stats);
      if (outcome.ok) continue;
      Copy(outcome.checker, report_->checker);
      Copy(outcome.message, report_->message);
      report_->failed = true;
      return;
    }
  }

  /// A broken RAFTKV_CHECK says on stderr what it was.
  std::string LastLine() {
    std::string last;
    std::array<char, 1024> line{};
    std::rewind(errors_);
    while (std::fgets(line.data(), line.size(), errors_) != nullptr) {
      if (std::strstr(line.data(), "broken invariant") != nullptr || last.empty()) {
        last = line.data();
      }
    }
    while (!last.empty() && last.back() == '\n') last.pop_back();
    return last.empty() ? "the process died without a word" : last;
  }

  const RunPlan& plan_;
  std::uint64_t next_;
  const std::uint64_t step_;
  pid_t pid_ = 0;
  Report* report_ = nullptr;
  std::FILE* errors_ = nullptr;
};

}  // namespace

bool ChooseMutant(const std::string& name) {
  active_mutant = Mutant::kNone;
  if (name.empty()) return true;
#define RAFTKV_SIM_CHOOSE(mutant, row, what) \
  if (name == #mutant) active_mutant = Mutant::mutant;
  RAFTKV_FOR_EACH_MUTANT(RAFTKV_SIM_CHOOSE)
#undef RAFTKV_SIM_CHOOSE
  return active_mutant != Mutant::kNone;
}

RunResult RunSeeds(const RunPlan& plan) {
  RAFTKV_CHECK(ChooseMutant(plan.mutant), plan.mutant);
  const auto end = plan.max_seconds <= 0
                       ? Clock::time_point::max()
                       : Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                            std::chrono::duration<double>(plan.max_seconds));
  std::vector<std::unique_ptr<Worker>> workers;
  const auto jobs = static_cast<std::uint64_t>(std::max(1, plan.jobs));
  for (std::uint64_t job = 0; job < jobs; ++job) {
    workers.push_back(std::make_unique<Worker>(plan, plan.first_seed + job, jobs));
    workers.back()->Start(end);
  }
  RunResult result;
  for (std::size_t running = workers.size(); running > 0; --running) {
    int status = 0;
    const pid_t pid = wait(&status);
    RAFTKV_CHECK(pid > 0);
    const auto worker = std::find_if(workers.begin(), workers.end(),
                                     [&](const auto& w) { return w->pid() == pid; });
    if (worker == workers.end()) continue;
    const std::optional<Failure> failure = (*worker)->Ended(status);
    if (!failure) continue;
    if (!result.failure || failure->seed < result.failure->seed) result.failure = failure;
    if (plan.seeds == 0 || plan.mutant.empty()) {
      for (const auto& other : workers) other->Stop();
      break;
    }
  }
  for (const auto& worker : workers) result.stats.Add(worker->stats());
  ChooseMutant({});
  return result;
}

}  // namespace raftkv::sim
