// PlanPass: one pass of a plan over a batch, as every worker of the team runs it.
#pragma once

#include <vector>

#include "model/few_rows.h"
#include "model/plan.h"
#include "model/plan_adapters.h"
#include "model/plan_buffers.h"

namespace powerhouse {

/// More new rows of one sequence than this are multiplied by weights that are made plain numbers in passing, which
/// costs about as much as multiplying so many rows. A row's bits depend on how many its own sequence brings, never on
/// others.
inline constexpr std::int64_t kManyRows = 32;

/// A norm over `size` elements; the weight begins at `weight_offset`.
void norm_row(const cpu::CpuKernels& kernels, const PlanNorm& norm, const float* x, float* y, std::int64_t size,
              std::int64_t weight_offset = 0);

/// Looks at the activations of a pass on one thread for the first point that is not finite.
class PlanWatch {
 public:
  /// `rows` rows of `width` floats, `stride` apart. Within a layer, steps need not come in the order of their points.
  void look(PlanPoint at, const float* values, std::int64_t rows, std::int64_t width, std::int64_t stride) noexcept;
  const std::optional<PlanPoint>& found() const { return found_; }

 private:
  std::optional<PlanPoint> found_{};
};

class PlanPass {
 public:
  /// Makes all room that up to `workers` need. `adapters` may be null. `logits` has room for [logits_count(),
  /// vocab_size]; null where none are wanted.
  PlanPass(const Plan& plan, const PackedBatch& batch, KvCache& cache, PlanBuffers& buffers,
           const PlanAdapters* adapters, int workers, float* logits);
  void run(int worker, int workers, Barrier& barrier) noexcept;
  /// Of a pass that one worker runs, up to the end of the layer where something is found.
  void watch(PlanWatch& watch) { watch_ = &watch; }

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
  void find_sequences();
  void make_room(int workers);
  void make_attention_room();
  void turn_positions();
  void embed(const Worker& worker);
  void attention(const Worker& worker, const PlanLayer& layer);
  void cut_rows(const PlanLayer& layer);
  void turn_heads(const Worker& worker, const PlanLayer& layer);
  void turn_head(const PlanLayer& layer, std::int64_t row, std::int64_t kv_head);
  void write_key_value(const PlanLayer& layer, std::int64_t row, std::int64_t kv_head);
  void norm_whole_heads(const PlanLayer& layer, std::int64_t row);
  void norm_heads(const PlanNorm& norm, float* heads, std::int64_t dim, std::int64_t count, std::int64_t first);
  void attend(const Worker& worker, const PlanLayer& layer);
  cpu::AttentionRow row_of(const PlanLayer& layer, std::size_t sequence, std::int64_t k) const;
  void merge(const Worker& worker, const PlanLayer& layer) const;
  cpu::AttentionShape shape_of(const PlanLayer& layer) const;
  std::int64_t index_of(const PlanLayer& layer) const { return &layer - plan_.layers_.data(); }
  // Whether the new rows of a sequence are attended one by one.
  bool one_by_one(std::int64_t rows) const { return batch_.singly || rows <= ops::kSingleRows; }

  void mlp(const Worker& worker, const PlanLayer& layer);
  void up_product(const Worker& worker, const PlanLayer& layer, const std::optional<PlanNorm>& norm);
  void norm_x(const Worker& worker, const std::optional<PlanNorm>& norm);
  void head(const Worker& worker);
  void keep_early(const Worker& worker, std::int64_t layer);
  void early_head(const Worker& worker);
  void scale_logits(Range columns, float* logits, std::int64_t rows) const;

  // Mixtures of experts, up to the products of gate and up, and from there on (plan_moe.cpp).
  void experts_up(const Worker& worker, const PlanLayer& layer, const std::optional<PlanNorm>& norm);
  void experts_down(const Worker& worker, const PlanLayer& layer);
  void shared_down(const Worker& worker, const PlanLayer& layer, Range panels);
  const PlanRoutes& route(const Worker& worker, const PlanLayer& layer);
  void route_row(const PlanLayer& layer, PlanRoutes& routes, std::int64_t row, std::vector<float>& probabilities) const;
  PlanRoutes& routes_of(const Worker& worker) const;
  template <typename SourceOf>
  PlanInput& prepare_slots(const Worker& worker, const PlanProduct& product, std::int64_t count, SourceOf source_of);

  // What a watch is shown; nothing without one.
  void look(HookPoint point, std::int64_t layer, const float* values, std::int64_t width) const {
    if (watch_ != nullptr) watch_->look({point, layer}, values, rows_, width, width);
  }
  void look(HookPoint point, std::int64_t layer, const PlanInput& input) const {
    if (watch_ != nullptr) watch_->look({point, layer}, input.floats.data(), rows_, input.width, input.stride);
  }
  void look_at_heads(const PlanLayer& layer) const;

  // `many`: of each row.
  PlanInput& prepare(const Worker& worker, const PlanProduct& product, const std::vector<char>& many, std::int64_t rows,
                     Source source);
  PlanInput& prepare(const Worker& worker, const PlanProduct& product, const Source& source) {
    return prepare(worker, product, buffers_.many, rows_, source);
  }
  bool is_many(std::int64_t row) const { return buffers_.many[static_cast<std::size_t>(row)] != 0; }
  void prepare_row(PlanInput& input, const PlanProduct& product, std::int64_t row, const Source& source);
  // The worker's columns [begin, end) of y = input * product, with the terms of adapters.
  Range multiply(const Worker& worker, const PlanProduct& product, PlanInput& input, std::int64_t rows, float* y);
  // Some rows by some panels; `y` is where the first of the rows goes.
  void multiply(const Worker& worker, const PlanMatrix& matrix, PlanInput& input, Range rows, Range panels, float* y,
                std::int64_t y_stride) const;
  void multiply_many(const Worker& worker, const PlanMatrix& matrix, const PlanInput& input, Range rows, Range panels,
                     float* y, std::int64_t y_stride) const;
  // Low-rank terms (plan_low_rank.cpp): t of all rows, shared by the workers; and B t added to the worker's columns.
  struct Piece;
  void multiply_inner(const Worker& worker, const ProductTerms& terms, const PlanInput& input, std::int64_t rows) const;
  void inner_few(const Worker& worker, const ProductTerms& terms, const PlanInput& input, Range rows) const;
  void inner_many(const Worker& worker, const ProductTerms& terms, const PlanInput& input, Range rows) const;
  void add_terms(const Worker& worker, const ProductTerms& terms, const PlanInput& input, std::int64_t rows,
                 Range columns, float* y, std::int64_t y_stride) const;
  void add_run(const Worker& worker, const PlanTerm& term, const TermRun& run, const Piece& piece) const;
  // x += multiplier * norm(input * product).
  void add_branch(const Worker& worker, const PlanProduct& product, PlanInput& input, const Block& block,
                  const std::optional<PlanNorm>& norm);
  // The same of a branch whose `columns` the worker has written.
  void add_branch(const Worker& worker, Range columns, const Block& block, const std::optional<PlanNorm>& norm);

  const Plan& plan_;
  const PackedBatch& batch_;
  KvCache& cache_;
  PlanBuffers& buffers_;
  const PlanAdapters* adapters_;
  float* logits_;
  const cpu::CpuKernels& kernels_;
  std::int64_t rows_;
  PlanWatch* watch_ = nullptr;
  bool alone_ = true;  // no row reads a key of another row of this pass
};

}  // namespace powerhouse
