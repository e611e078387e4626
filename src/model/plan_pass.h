// PlanPass: one pass of a plan over a batch, as every worker of the team runs it.
#pragma once

#include <span>
#include <vector>

#include "model/few_rows.h"
#include "model/plan.h"
#include "ops/attention_parts.h"
#include "support/thread_team.h"

namespace powerhouse {

/// Room for `size` values; what there is stays.
template <typename T>
void grow(std::vector<T>& values, std::int64_t size) {
  if (static_cast<std::int64_t>(values.size()) < size) values.resize(static_cast<std::size_t>(size));
}

/// Rows as products read them. Vectors grow and are kept.
struct PlanInput {
  std::vector<float> floats{};
  std::vector<std::int8_t> codes{}, rests{};
  std::vector<float> scales{};
  std::vector<std::int32_t> sums{};
  std::vector<std::uint16_t> bf16{};
  std::vector<char> many{};  // of each row: it is multiplied as a row of many, not by codes
  std::int64_t width = 0;
  std::int64_t stride = 0;  // width and zeros up to a multiple of kGemmPad, and a step aside in the caches

  void reserve(std::int64_t count, std::int64_t row_width, const PlanProduct& product);
  cpu::QuantizedRows quantized() { return {codes.data(), rests.data(), scales.data(), sums.data(), stride}; }
};

/// Which experts the rows go to. A slot is a row at one of its experts; slots are sorted by expert, then by row.
struct PlanRoutes {
  std::vector<std::int64_t> experts{};  // [rows, chosen], the most probable first
  std::vector<float> weights{};         // [rows, chosen]
  std::vector<std::int64_t> first{};    // [experts + 1], the first slot of each expert
  std::vector<std::int64_t> places{};   // of each slot, its place in the two tables above

  Range slots_of(std::size_t expert) const { return {first[expert], first[expert + 1]}; }
};

/// What a pass needs beside the weights; kept from pass to pass.
struct PlanBuffers {
  std::vector<float> x{}, qkv{}, context{}, up{}, branch{};
  PlanInput input{};  // of many rows, shared by the workers
  struct Own {
    PlanInput input{};  // of few rows: each worker prepares all of them itself, which costs less than waiting
    std::vector<float> scratch{};
    PlanInput routed{};  // rows of few slots
    PlanRoutes routes{};
    std::vector<float> probabilities{};
    ops::AttentionParts parts{};  // of one row, in exact numerics
  };
  std::vector<Own> own{};
  std::vector<std::vector<float>> cos{}, sin{};  // of each distinct RoPE: [rows, rotary_dim / 2]
  std::vector<std::int64_t> sequence_of{};       // of each row
  std::vector<char> many{}, many_logits{};       // of each row, and of each row of logits: see kManyRows
  std::vector<KvCache::Pages> pages{};           // of each sequence, in the layer at hand
  ops::AttentionParts parts{};                   // rows that are attended one by one, likewise
  std::vector<float> embedded{};                 // rows as wide as embeddings that are projected
  std::vector<float> router{}, expert{};         // products of PlanMoe::router and of one expert
  PlanInput routed{};                            // rows of slots
  PlanRoutes routes{};
};

/// Up to this many rows are prepared by every worker for itself.
inline constexpr std::int64_t kOwnRows = 4;

/// More new rows of one sequence than this are multiplied by weights that are made plain numbers in passing, which
/// costs about as much as multiplying so many rows. A row's bits depend on how many its own sequence brings, never on
/// others.
inline constexpr std::int64_t kManyRows = 32;

/// A norm over `size` elements; the weight begins at `weight_offset`.
void norm_row(const cpu::CpuKernels& kernels, const PlanNorm& norm, const float* x, float* y, std::int64_t size,
              std::int64_t weight_offset = 0);

class PlanPass {
 public:
  /// `logits` has room for [logits_rows, vocab_size]; null where none are wanted.
  PlanPass(const Plan& plan, const PackedBatch& batch, KvCache& cache, PlanBuffers& buffers, float* logits);
  void run(int worker, int workers, Barrier& barrier);

 private:
  struct Worker {
    int index, count;
    Barrier& barrier;
    PlanBuffers::Own& own;

    void wait() const { barrier.wait(count); }
    Range share_of(std::int64_t items, std::int64_t grain = 1) const { return share(items, index, count, grain); }
  };
  // What a product reads: rows as they are, normed, or activated.
  struct Source {
    const float* rows;
    std::int64_t width;
    const std::optional<PlanNorm>* norm = nullptr;
    const Mlp* activation = nullptr;  // rows are [gate, up] or [up]
    bool many = false;                // see kManyRows
  };

  void mark_many();
  void embed(const Worker& worker);
  void attention(const Worker& worker, std::size_t index);
  void find_pages(const PlanLayer& layer, std::int64_t index);
  void turn_heads(const Worker& worker, const PlanLayer& layer);
  void turn_head(const PlanLayer& layer, std::int64_t row, std::int64_t kv_head);
  void write_key_value(const PlanLayer& layer, std::int64_t row, std::int64_t kv_head);
  void norm_whole_heads(const PlanLayer& layer, std::int64_t row);
  void norm_heads(const PlanNorm& norm, float* heads, std::int64_t dim, std::int64_t count, std::int64_t first);
  void attend(const Worker& worker, const PlanLayer& layer);
  cpu::AttentionRow row_of(const PlanLayer& layer, std::size_t sequence, std::int64_t k) const;
  void merge(const Worker& worker, const PlanLayer& layer);
  cpu::AttentionShape shape_of(const PlanLayer& layer) const;
  void mlp(const Worker& worker, const PlanLayer& layer);
  void up_product(const Worker& worker, const PlanLayer& layer, const std::optional<PlanNorm>& norm);
  void norm_x(const Worker& worker, const std::optional<PlanNorm>& norm);
  void head(const Worker& worker);

  // Mixtures of experts, up to the products of gate and up, and from there on (plan_moe.cpp).
  void experts_up(const Worker& worker, const PlanLayer& layer, const std::optional<PlanNorm>& norm);
  void experts_down(const Worker& worker, const PlanLayer& layer);
  void shared_down(const Worker& worker, const PlanLayer& layer, Range panels);
  const PlanRoutes& route(const Worker& worker, const PlanLayer& layer);
  void route_row(const PlanLayer& layer, PlanRoutes& routes, std::int64_t row, std::vector<float>& probabilities) const;
  PlanRoutes& routes_of(const Worker& worker) const;
  void reserve_experts(const Moe& moe, std::int64_t router_width);
  template <typename SourceOf>
  PlanInput& prepare_slots(const Worker& worker, const PlanProduct& product, std::int64_t count, SourceOf source_of);

  // `many`: of each row.
  PlanInput& prepare(const Worker& worker, const PlanProduct& product, const std::vector<char>& many, std::int64_t rows,
                     Source source);
  PlanInput& prepare(const Worker& worker, const PlanProduct& product, const Source& source) {
    return prepare(worker, product, buffers_.many, rows_, source);
  }
  bool is_many(std::int64_t row) const { return buffers_.many[static_cast<std::size_t>(row)] != 0; }
  void prepare_row(PlanInput& input, const PlanProduct& product, std::int64_t row, const Source& source);
  // The worker's columns [begin, end) of y = input * product.
  Range multiply(const Worker& worker, const PlanProduct& product, PlanInput& input, std::int64_t rows, float* y);
  // Some rows by some panels; `y` is where the first of the rows goes.
  void multiply(const Worker& worker, const PlanMatrix& matrix, PlanInput& input, Range rows, Range panels, float* y,
                std::int64_t y_stride) const;
  void multiply_many(const Worker& worker, const PlanMatrix& matrix, const PlanInput& input, Range rows, Range panels,
                     float* y, std::int64_t y_stride) const;
  // x += multiplier * norm(input * product).
  void add_branch(const Worker& worker, const PlanProduct& product, PlanInput& input, const Block& block,
                  const std::optional<PlanNorm>& norm);
  // The same of a branch whose `columns` the worker has written.
  void add_branch(const Worker& worker, Range columns, const Block& block, const std::optional<PlanNorm>& norm);

  const Plan& plan_;
  const PackedBatch& batch_;
  KvCache& cache_;
  PlanBuffers& buffers_;
  float* logits_;
  const cpu::CpuKernels& kernels_;
  std::int64_t rows_;
  bool alone_ = true;  // no row reads a key of another row of this pass
};

}  // namespace powerhouse
