// The first pass over rows: read and shaped in parallel, some at a time, with results and errors in the files' order.
#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include "support/thread_team.h"

namespace powerhouse::training {

/// Calls `take(row, scan(row))` for each of `rows` in order; `scan` on several threads. The first row's error is
/// thrown, whatever thread came upon it. `release(first, end)` behind each part: its pages are not needed any more.
template <typename Bytes, typename Scan, typename Take, typename Release>
void scan_rows(std::int64_t rows, Bytes bytes, Scan scan, Take take, Release release) {
  constexpr std::int64_t kPartRows = 2048;
  constexpr std::uint64_t kPartBytes = std::uint64_t{8} << 20;
  for (std::int64_t first = 0; first < rows;) {
    std::int64_t end = first;
    for (std::uint64_t size = 0; end < rows && end - first < kPartRows && size < kPartBytes; ++end) size += bytes(end);
    const auto count = static_cast<std::size_t>(end - first);
    std::vector<decltype(scan(first))> scanned(count);
    std::vector<std::exception_ptr> failures(count);
    parallel_for(end - first, 1, [&](std::int64_t begin, std::int64_t stop) {
      for (std::int64_t i = begin; i < stop; ++i) {
        try {
          scanned[static_cast<std::size_t>(i)] = scan(first + i);
        } catch (...) {
          failures[static_cast<std::size_t>(i)] = std::current_exception();
        }
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      if (failures[i]) std::rethrow_exception(failures[i]);
      take(first + static_cast<std::int64_t>(i), scanned[i]);
    }
    release(first, end);
    first = end;
  }
}

}  // namespace powerhouse::training
