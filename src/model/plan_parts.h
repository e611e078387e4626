// What a plan is made of: matrices as products read them, norms, and the layers in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/cpu/kernels.h"
#include "ops/packed_bf16.h"
#include "ops/packed_matrix.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

/// Rows of blocks that have no panels: they stay as they lie, and products make them numbers a tile at a time.
struct BlockRows {
  BlockFormat format = BlockFormat::f32;
  std::shared_ptr<const std::vector<const std::byte*>> rows{};  // where each begins
  std::int64_t first = 0;                                       // of this matrix among them
  std::shared_ptr<const void> made{};                           // where they lie, if not in a file
  std::vector<ColumnOrder> orders{};                            // of each; empty: all in order

  /// Rows [begin, begin + count) of `inputs` elements, one behind the other.
  void read(const cpu::CpuKernels& kernels, std::int64_t begin, std::int64_t count, std::int64_t inputs, Element type,
            void* out) const noexcept;
};

/// Rows of outputs, in panels, in blocks, or as plain numbers of a float type.
struct PlanMatrix {
  std::optional<PackedMatrix> packed{};
  std::optional<PackedBf16> bf16{};
  std::optional<BlockRows> blocks{};
  at::Tensor dense{};           // or this; its rows' elements lie together
  Element type = Element::f32;  // of `dense`
  std::size_t own_bytes = 0;   // of `dense`, where it is a copy; 0 where it is a weight's tensor. Of `blocks` in memory
  std::size_t file_bytes = 0;  // of `dense` and `blocks`, where they lie in the file
  std::vector<float> bias{};
  ColumnOrder order{};  // of `packed`: it meets the columns of x in this order
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;

  /// Whether many rows are multiplied by it in bf16: where the processor does, and its numbers have no more bits.
  bool takes_bf16() const {
    return cpu::kernels().gemm_type == Element::bf16 && (packed || bf16 || blocks || type == Element::bf16);
  }
};

/// Matrices that read the same rows and write side by side.
struct PlanProduct {
  std::vector<PlanMatrix> matrices{};
  std::int64_t place = -1;  // product_of (model/plan_adapters.h)
  std::int64_t width() const;
  /// Whether some matrix reads few rows in codes; many in bf16.
  bool reads_codes() const;
  bool reads_bf16() const;
  /// The order of x's columns that all packed matrices read; null: x's own.
  ColumnOrder order() const;
};

/// A router and its experts. All experts' rows are packed one behind the other; each expert is a part of that.
struct PlanMoe {
  PlanProduct router{};      // logits; of an MLP that sees every token its gate, and its gate and up, beside them
  PlanProduct up{}, down{};  // one matrix each, of all experts; rows of `up` are gate, then up
  std::vector<PlanMatrix> ups{}, downs{};
  PlanProduct shared_down{};
};

struct PlanNorm {
  Norm choice{};
  std::vector<float> weight{}, bias{};
  std::int64_t weight_head_stride = 0;
};

struct PlanLayer {
  const Block* block = nullptr;
  std::optional<PlanNorm> attention_norm{}, attention_post_norm{}, mlp_norm{}, mlp_post_norm{};
  // x itself is normed, in front of the layer, between attention and MLP, or behind: where residuals are the norm's
  // result, or the norm stands behind the sum.
  std::optional<PlanNorm> first_norm{}, middle_norm{}, last_norm{};
  std::optional<PlanNorm> q_norm{}, k_norm{};
  PlanProduct qkv{}, output{}, up{}, down{};  // `up`: gate and up beside each other where gated
  std::optional<PlanMoe> moe{};               // instead of `up` and `down`
  std::size_t rope = 0;
  std::vector<float> alibi_slopes{}, sinks{};
  float scale = 1.0f;

  std::int64_t query_width() const { return block->attention.num_heads * block->attention.head_dim; }
  std::int64_t key_value_width() const { return block->attention.num_key_value_heads * block->attention.head_dim; }
};

/// Elements that a row takes as products read it, in floats, in codes and in bf16.
struct PlanRowSize {
  std::int64_t floats = 0, codes = 0, bf16 = 0;
  std::int64_t ordered = 0, ordered_bf16 = 0;  // with columns in a product's order
  std::int64_t tile = 0;                       // floats of a worker: rows of blocks as numbers

  /// A row with zeros up to a multiple of kGemmPad behind it. Rows that lie a multiple of 4096 bytes apart would take
  /// each other's place in the first-level cache: a step more.
  static constexpr std::int64_t stride(std::int64_t width) {
    return (width + cpu::kGemmPad - 1) / cpu::kGemmPad * cpu::kGemmPad + cpu::kGemmPad;
  }
  /// From now on a row that `product` reads has room too.
  void include(const PlanProduct& product);
};

/// What the widest of a plan's layers takes, so that a pass has all its room before its first step.
struct PlanSizes {
  PlanRowSize input{}, routed{};              // of a row in PlanBuffers::input and ::routed
  std::int64_t qkv = 0, context = 0, up = 0;  // floats of a row; of `up` with a row's experts side by side
  std::int64_t router = 0, chosen = 0;        // logits of a row, and the experts that it goes to
  std::int64_t experts = 0;                   // of a layer
  std::int64_t partial = 0;                   // floats of a part of a row that attends alone
  std::int64_t scratch = 0;                   // floats of a worker

  void include(const PlanLayer& layer);
};

/// A RoPE that some layers share. Where it depends on the length, frequencies are computed for each sequence.
struct PlanRope {
  const Rope* rope = nullptr;
  std::vector<float> frequencies{};
};

}  // namespace powerhouse
