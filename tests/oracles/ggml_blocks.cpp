// What ggml's quantizers make of rows; tests/oracles/quantize.py runs it.
//
//   L=/path/to/llama.cpp  # built by CMake with BUILD_SHARED_LIBS=OFF
//   g++ -std=c++20 -O2 -I$L/ggml/include tests/oracles/ggml_blocks.cpp $L/build/ggml/src/libggml-base.a
//     -fopenmp -ldl -lm -o ggml_blocks
//
// Reads requests to the end of its input: int32 type, int32 whether importance follows, int64 rows, int64 columns, the
// importance of the columns, the rows. Answers a row: int32 whether there is one (ggml aborts on some rows), its bytes,
// and what ggml reads from them as floats, where 2 is added to the second word.
// Each row is made in a process of its own.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <vector>

#include "ggml.h"

extern "C" {
void quantize_row_q8_K_ref(const float* x, void* y, std::int64_t k);
void quantize_row_q8_1_ref(const float* x, void* y, std::int64_t k);
}

namespace {

template <typename T>
bool read(T* out, std::size_t count) {
  return std::fread(out, sizeof(T), count, stdin) == count;
}

std::vector<std::uint8_t> in_own_process(ggml_type type, const float* row, std::int64_t columns,
                                         const float* importance) {
  std::vector<std::uint8_t> bytes(ggml_row_size(type, columns));
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);  // what it prints before it aborts
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    if (type == GGML_TYPE_Q8_K) {  // not for files: ggml_quantize_chunk has no case for it
      quantize_row_q8_K_ref(row, bytes.data(), columns);
    } else if (type == GGML_TYPE_Q8_1) {
      quantize_row_q8_1_ref(row, bytes.data(), columns);
    } else {
      ggml_quantize_chunk(type, row, bytes.data(), 0, 1, columns, importance);
    }
    const bool written = write(ends[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    _exit(written ? 0 : 1);
  }
  close(ends[1]);
  std::size_t at = 0;
  for (ssize_t got = 1; got > 0 && at < bytes.size();) {
    got = ::read(ends[0], bytes.data() + at, bytes.size() - at);
    if (got > 0) at += static_cast<std::size_t>(got);
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 && at == bytes.size() ? bytes : std::vector<std::uint8_t>{};
}

}  // namespace

int main() {
  std::int32_t head[2];
  std::int64_t shape[2];
  while (read(head, 2) && read(shape, 2)) {
    const auto type = static_cast<ggml_type>(head[0]);
    ggml_quantize_init(type);  // once, for all children
    std::vector<float> importance((head[1] & 1) != 0 ? static_cast<std::size_t>(shape[1]) : 0);
    std::vector<float> row(static_cast<std::size_t>(shape[1]));
    if (!read(importance.data(), importance.size())) return 1;
    for (std::int64_t i = 0; i < shape[0]; ++i) {
      if (!read(row.data(), row.size())) return 1;
      const auto bytes = in_own_process(type, row.data(), shape[1], importance.empty() ? nullptr : importance.data());
      const std::int32_t there = bytes.empty() ? 0 : 1;
      std::fwrite(&there, sizeof there, 1, stdout);
      std::fwrite(bytes.data(), 1, bytes.size(), stdout);
      if ((head[1] & 2) == 0) continue;
      ggml_get_type_traits(type)->to_float(bytes.data(), row.data(), shape[1]);
      std::fwrite(row.data(), sizeof(float), row.size(), stdout);
    }
    std::fflush(stdout);
  }
}
