#include "ops/device_graph.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>

#include "ops/device_kernels.h"
#include "powerhouse/error.h"

namespace powerhouse::ops {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::unsupported, "this work can't be recorded as a CUDA graph",
              {.field = "cuda_graphs",
               .expected = "off, by SessionOptions::cuda_graphs or POWERHOUSE_CUDA_GRAPHS=0",
               .found = why});
}

// What a failure says; one of memory goes on as it is.
std::string words_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    const std::string words = error.what_without_backtrace();
    return words.substr(0, words.find('\n'));
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

bool DeviceGraph::available(const c10::Device& device) {
  return !device.is_cpu() && DeviceKernels(device).has(&cuda::KernelTable::graph_begin);
}

DeviceGraph::DeviceGraph(const c10::Device& device, const std::function<void()>& work)
    : table_(DeviceKernels(device).table()) {
  const c10::DeviceGuard guard(device);
  if (const char* const why = table_.graph_begin(device.index(), graph_)) refuse(why);
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  // A capture that something broke can't be ended well; why it broke says more.
  const char* const why = table_.graph_end(graph_);
  if (!failure && why == nullptr) return;
  const std::string found = why == nullptr ? "" : why;
  table_.graph_drop(graph_);
  table_.take_error();
  refuse(failure ? words_of(failure) : found);
}

void DeviceGraph::replay() const {
  if (const char* const why = table_.graph_replay(graph_)) {
    throw Error(ErrorKind::device, "a CUDA graph could not be run", {.field = "device", .found = why});
  }
}

}  // namespace powerhouse::ops
