// Limits by measuring them: sums over memory, and matrix products with nothing around them.
#include "benchmark_limits.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <numeric>
#include <thread>
#include <tuple>
#include <vector>

#include "common.h"

namespace cli {
namespace {

constexpr std::size_t kTwoGib = std::size_t{2} << 30;

// Pages as large as the machine has them, so that looking up addresses does not count.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes)
      : bytes_(bytes), base_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (base_ == MAP_FAILED) {
      throw powerhouse::Error(powerhouse::ErrorKind::memory, "no memory to measure its bandwidth",
                              {.field = "benchmark", .expected = std::to_string(bytes) + " bytes, or --no-limits"});
    }
    madvise(base_, bytes, MADV_HUGEPAGE);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { munmap(base_, bytes_); }
  std::uint64_t* words() const { return static_cast<std::uint64_t*>(base_); }

 private:
  std::size_t bytes_;
  void* base_;
};

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#endif
std::uint64_t
sum(const std::uint64_t* words, std::size_t count) {
  std::uint64_t parts[32] = {};
  for (std::size_t i = 0; i + 32 <= count; i += 32) {
    for (std::size_t lane = 0; lane < 32; ++lane) parts[lane] += words[i + lane];
  }
  return std::accumulate(std::begin(parts), std::end(parts), std::uint64_t{0});
}

// `work(worker)` in each of the threads; the seconds from the moment that all of them run to the last one's end.
template <typename Work>
double seconds_of_all(int threads, const Work& work) {
  std::atomic<int> ready{0};
  std::vector<double> seconds(static_cast<std::size_t>(threads));
  std::vector<std::thread> team;
  for (int worker = 0; worker < threads; ++worker) {
    team.emplace_back([&, worker] {
      ++ready;
      while (ready < threads) std::this_thread::yield();
      const auto begin = Clock::now();
      work(worker);
      seconds[static_cast<std::size_t>(worker)] = seconds_since(begin);
    });
  }
  for (std::thread& thread : team) thread.join();
  return *std::max_element(seconds.begin(), seconds.end());
}

double bandwidth(const Buffer& buffer, std::size_t bytes, int threads, std::atomic<std::uint64_t>& total) {
  const std::size_t share = bytes / sizeof(std::uint64_t) / static_cast<std::size_t>(threads);
  // Once over a small buffer is no time to measure.
  const std::size_t rounds = std::max<std::size_t>(1, (std::size_t{256} << 20) / std::max<std::size_t>(1, bytes));
  const double read = static_cast<double>(rounds * share * sizeof(std::uint64_t)) * threads;
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const double seconds = seconds_of_all(threads, [&](int worker) {
      const std::uint64_t* const mine = buffer.words() + share * static_cast<std::size_t>(worker);
      for (std::size_t round = 0; round < rounds; ++round) total += sum(mine, share);
    });
    best = std::max(best, read / seconds);
  }
  return best;
}

struct Product {
  std::int64_t rows, inputs, outputs;
  auto operator<=>(const Product&) const = default;
};

using Products = std::map<Product, std::int64_t>;  // how many of each

void add_mlp(Products& products, std::int64_t rows, std::int64_t hidden, std::int64_t intermediate, bool gated,
             std::int64_t count) {
  products[{rows, hidden, gated ? 2 * intermediate : intermediate}] += count;
  products[{rows, intermediate, hidden}] += count;
}

Products products_of(const powerhouse::ModelConfig& config, std::int64_t rows) {
  Products products;
  const std::int64_t hidden = config.hidden_size;
  for (const powerhouse::Block& block : config.layers) {
    const powerhouse::Attention& attention = block.attention;
    const std::int64_t queries = attention.num_heads * attention.head_dim;
    ++products[{rows, hidden, queries + 2 * attention.num_key_value_heads * attention.head_dim}];
    ++products[{rows, queries, hidden}];
    if (!block.mlp.moe) {
      add_mlp(products, rows, hidden, block.mlp.intermediate_size, block.mlp.gated, 1);
      continue;
    }
    const powerhouse::Moe& moe = *block.mlp.moe;
    const std::int64_t share = std::max<std::int64_t>(1, rows * moe.num_experts_per_tok / moe.num_experts);
    ++products[{rows, hidden, moe.num_experts}];
    add_mlp(products, share, hidden, moe.intermediate_size, block.mlp.gated,
            std::min(moe.num_experts, rows * moe.num_experts_per_tok));
    if (moe.shared_intermediate_size > 0) {
      add_mlp(products, rows, hidden, moe.shared_intermediate_size, block.mlp.gated, 1);
    }
  }
  ++products[{1, hidden, config.vocab_size}];
  return products;
}

double seconds_of(const Product& product, const at::Tensor& like, at::ScalarType type) {
  const at::TensorOptions options = like.options().dtype(type);
  const at::Tensor x = like.new_ones({product.rows, product.inputs}, options);
  const at::Tensor weight = like.new_ones({product.outputs, product.inputs}, options);
  double best = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 5; ++pass) {
    const auto begin = Clock::now();
    const at::Tensor y = x.matmul(weight.t());
    best = std::min(best, seconds_since(begin));
  }
  return best;
}

}  // namespace

Bandwidth measure_bandwidth(std::size_t model_bytes, int threads) {
  const Buffer buffer(kTwoGib);
  seconds_of_all(threads, [&](int worker) {
    const std::size_t share = kTwoGib / sizeof(std::uint64_t) / static_cast<std::size_t>(threads);
    std::fill_n(buffer.words() + share * static_cast<std::size_t>(worker), share, std::uint64_t{1});
  });
  std::atomic<std::uint64_t> total{0};
  Bandwidth result;
  result.two_gib = bandwidth(buffer, kTwoGib, threads, total);
  result.model = bandwidth(buffer, std::min(model_bytes, kTwoGib), threads, total);
  return result;
}

double cache_bytes_read(const powerhouse::ModelConfig& config, std::size_t bytes_per_token, double length) {
  double width = 0, read = 0;
  for (const powerhouse::Block& block : config.layers) {
    const powerhouse::Attention& attention = block.attention;
    const auto layer = static_cast<double>(attention.num_key_value_heads * attention.head_dim);
    width += layer;
    read += layer * std::min(length, attention.sliding_window ? static_cast<double>(*attention.sliding_window)
                                                              : std::numeric_limits<double>::infinity());
  }
  return static_cast<double>(bytes_per_token) * read / width;
}

double gemm_seconds(const powerhouse::ModelConfig& config, std::int64_t rows, const at::Tensor& like) {
  double total = 0;
  for (const auto& [product, count] : products_of(config, rows)) {
    total += static_cast<double>(count) *
             std::min(seconds_of(product, like, at::kBFloat16), seconds_of(product, like, at::kFloat));
  }
  return total;
}

}  // namespace cli
