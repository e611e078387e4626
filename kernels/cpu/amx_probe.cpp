#include "kernels/cpu/amx_probe.h"

#ifdef __linux__
#include <csetjmp>
#include <csignal>

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace powerhouse::cpu {

#ifdef __linux__
namespace amx {
void try_tiles();
}

namespace {

sigjmp_buf return_point;  // of the one thread that tries; probing happens once

void give_up(int) { siglongjmp(return_point, 1); }

void* try_in_thread(void* works) {
  if (sigsetjmp(return_point, 1) == 0) {
    amx::try_tiles();
    *static_cast<bool*>(works) = true;
  }
  return nullptr;
}

}  // namespace

bool amx_runs() noexcept {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  if (::syscall(SYS_arch_prctl, kRequestPermission, kTileData) != 0) return false;
  struct sigaction ours = {};
  struct sigaction before = {};
  ours.sa_handler = give_up;
  sigemptyset(&ours.sa_mask);
  if (::sigaction(SIGILL, &ours, &before) != 0) return false;
  bool works = false;
  pthread_t thread;
  if (pthread_create(&thread, nullptr, try_in_thread, &works) == 0) pthread_join(thread, nullptr);
  ::sigaction(SIGILL, &before, nullptr);
  return works;
}
#else
bool amx_runs() noexcept { return false; }
#endif

}  // namespace powerhouse::cpu
