// Our encoders of block formats beside ggml's, on the same rows, one thread: whether bytes agree, and how many times as
// fast ours are. Times are the best of several turns that alternate.
//
//   cmake ... -DPOWERHOUSE_BUILD_BENCH=ON -DPOWERHOUSE_LLAMA_CPP=/path/to/llama.cpp  # built static, in its build/
//   quantize_bench [FORMAT ...]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ggml.h"
#include "kernels/cpu/kernels.h"
#include "kernels/reference/encode.h"

namespace {

using powerhouse::BlockFormat;

constexpr std::int64_t kRows = 24;
constexpr std::int64_t kColumns = 2048;
constexpr int kTurns = 7;

struct Row {
  ggml_type type;
  BlockFormat format;
};
constexpr Row kFormats[] = {{GGML_TYPE_Q4_0, BlockFormat::q4_0},       {GGML_TYPE_Q4_1, BlockFormat::q4_1},
                            {GGML_TYPE_Q5_0, BlockFormat::q5_0},       {GGML_TYPE_Q5_1, BlockFormat::q5_1},
                            {GGML_TYPE_Q8_0, BlockFormat::q8_0},       {GGML_TYPE_Q2_K, BlockFormat::q2_k},
                            {GGML_TYPE_Q3_K, BlockFormat::q3_k},       {GGML_TYPE_Q4_K, BlockFormat::q4_k},
                            {GGML_TYPE_Q5_K, BlockFormat::q5_k},       {GGML_TYPE_Q6_K, BlockFormat::q6_k},
                            {GGML_TYPE_IQ4_NL, BlockFormat::iq4_nl},   {GGML_TYPE_IQ4_XS, BlockFormat::iq4_xs},
                            {GGML_TYPE_IQ1_S, BlockFormat::iq1_s},     {GGML_TYPE_IQ1_M, BlockFormat::iq1_m},
                            {GGML_TYPE_IQ2_XXS, BlockFormat::iq2_xxs}, {GGML_TYPE_IQ2_XS, BlockFormat::iq2_xs},
                            {GGML_TYPE_IQ2_S, BlockFormat::iq2_s},     {GGML_TYPE_IQ3_XXS, BlockFormat::iq3_xxs},
                            {GGML_TYPE_IQ3_S, BlockFormat::iq3_s},     {GGML_TYPE_TQ1_0, BlockFormat::tq1_0},
                            {GGML_TYPE_TQ2_0, BlockFormat::tq2_0},     {GGML_TYPE_MXFP4, BlockFormat::mxfp4},
                            {GGML_TYPE_NVFP4, BlockFormat::nvfp4},     {GGML_TYPE_F16, BlockFormat::f16},
                            {GGML_TYPE_BF16, BlockFormat::bf16}};

template <typename Body>
double seconds(Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void compare(const Row& row, const std::vector<float>& x, const std::vector<float>* importance) {
  const powerhouse::BlockInfo info = powerhouse::block_info(row.format);
  const std::int64_t row_bytes = kColumns / info.block_elements * info.block_bytes;
  std::vector<std::uint8_t> theirs(static_cast<std::size_t>(kRows * row_bytes));
  std::vector<std::uint8_t> ours(theirs.size());
  const float* const weights = importance != nullptr ? importance->data() : nullptr;
  bool failed[kRows] = {};
  const powerhouse::cpu::EncodeParams params{.format = row.format,
                                             .rows = x.data(),
                                             .columns = kColumns,
                                             .importance = weights,
                                             .blocks = ours.data(),
                                             .failed = failed};
  ggml_quantize_init(row.type);
  double best_theirs = 1e9;
  double best_ours = 1e9;
  for (int turn = 0; turn < kTurns; ++turn) {
    best_theirs =
        std::min(best_theirs,
                 seconds([&] { ggml_quantize_chunk(row.type, x.data(), theirs.data(), 0, kRows, kColumns, weights); }));
    best_ours = std::min(best_ours, seconds([&] { powerhouse::cpu::kernels().encode(params, 0, kRows); }));
  }
  const double elements = static_cast<double>(kRows * kColumns);
  std::printf("%-8s %-10s %8.2f %8.2f ns a weight %8.2f x  %s\n", info.name, weights != nullptr ? "importance" : "",
              best_theirs / elements * 1e9, best_ours / elements * 1e9, best_theirs / best_ours,
              ours == theirs ? "same bytes" : "OTHER BYTES");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::mt19937 engine(7);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> x(static_cast<std::size_t>(kRows * kColumns));
  for (float& value : x) value = normal(engine);
  std::vector<float> importance(static_cast<std::size_t>(kColumns));
  for (float& value : importance) value = std::exp(normal(engine) * 50.0f);
  std::printf("instruction set %s; ggml, ours, ratio\n", powerhouse::cpu::kernels().name);
  for (const Row& row : kFormats) {
    const std::string name = powerhouse::block_info(row.format).name;
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || name == argv[i];
    if (!wanted) continue;
    if (!powerhouse::needs_importance(row.format)) compare(row, x, nullptr);
    if (powerhouse::reads_importance(row.format)) compare(row, x, &importance);
  }
}
