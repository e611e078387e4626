#include "interrupts.h"

#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigset_t and sigwait are POSIX

#include <cstdio>
#include <cstdlib>

namespace cli {
namespace {

sigset_t watched() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, signal);
  return set;
}

}  // namespace

Interrupts::Interrupts(Ends ends) : ends_(ends) {
  const sigset_t set = watched();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  watcher_ = std::thread([this] { watch(); });
}

Interrupts::~Interrupts() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  ::pthread_kill(watcher_.native_handle(), SIGINT);
  watcher_.join();
}

std::stop_token Interrupts::begin_answer() {
  const std::lock_guard lock(mutex_);
  answer_.emplace();
  return answer_->get_token();
}

void Interrupts::end_answer() {
  const std::lock_guard lock(mutex_);
  answer_.reset();
}

void Interrupts::watch() {
  const sigset_t set = watched();
  while (true) {
    int signal = 0;
    ::sigwait(&set, &signal);
    const std::lock_guard lock(mutex_);
    if (done_) return;
    const bool gently = signal == SIGINT || ends_ == Ends::gently;
    if (gently && answer_ && answer_->request_stop()) continue;
    // Told to end, or Ctrl-C at the prompt, while the model loads or a second time in one answer: all output is
    // written, so leave.
    std::fputs("\n", stderr);
    std::_Exit(0);
  }
}

}  // namespace cli
