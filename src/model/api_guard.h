// The boundary of the API: what LibTorch and the allocator throw becomes powerhouse::Error.
#pragma once

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "powerhouse/error.h"

namespace powerhouse {

/// Runs `body`; c10::Error and std::bad_alloc leave as Error.
template <typename Body>
auto guarded(Body&& body) {
  try {
    return body();
  } catch (const c10::OutOfMemoryError&) {  // a device's
    throw Error(ErrorKind::memory, "out of memory");
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    const bool memory = text.find("not enough memory") != std::string::npos ||  // the two that c10's allocator has
                        text.find("can't allocate memory") != std::string::npos;
    if (memory) throw Error(ErrorKind::memory, "out of memory");
    throw Error(ErrorKind::usage, text.substr(0, text.find('\n')));
  } catch (const std::bad_alloc&) {
    throw Error(ErrorKind::memory, "out of memory");
  }
}

}  // namespace powerhouse
