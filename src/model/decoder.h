// Decoder: the one forward pass of every family. It reads the choices of ModelConfig and nothing else.
//
// Batches are packed: one row a token, `cu_seqlens` saying where each sequence begins. Padding exists only in
// CausalLM::forward, which packs and unpacks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "model/adapter_table.h"
#include "model/hook_table.h"
#include "model/kv_cache.h"
#include "model/projections.h"
#include "model/weights.h"
#include "ops/linear_cross_entropy.h"
#include "ops/moe.h"
#include "ops/rope.h"
#include "powerhouse/device.h"
#include "powerhouse/model_config.h"

namespace powerhouse {

/// Tokens of several sequences in one pass.
struct PackedBatch {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> position_ids;
  std::vector<std::int64_t> cu_seqlens{0};  // row where each sequence begins, and the total at the end
  std::vector<std::int64_t> sequences;      // of the cache, one a sequence; empty without a cache
  std::vector<std::int64_t> logits_rows;    // rows whose logits are wanted
  std::vector<std::int64_t> rope_lengths;   // of each sequence, for RoPE that depends on the length
  std::vector<std::int64_t> prompt_rows;    // rows that hold a prompt adapter's embeddings, sequence by sequence
  std::vector<std::int64_t> prefixes;       // TokenBatch::prefixes; empty with a cache

  /// `rope_length` 0: the sequence's length behind this pass.
  void add(std::span<const std::int64_t> tokens, std::int64_t first_position, std::int64_t rope_length = 0);
};

/// The same where an adapter's virtual tokens stand before each sequence: rows of a prompt, positions of a prefix.
PackedBatch with_virtual_tokens(const PackedBatch& batch, const AdapterTable& adapters);

class DecodeGraphs;
class Plan;

/// How a pass computes. With a plan in exact numerics, products are those by its matrices. A module with adapters
/// (null: none) is computed without the plan, in exact numerics by our own kernel.
struct Arithmetic {
  Numerics numerics = Numerics::fast;
  const Plan* plan = nullptr;
  std::shared_ptr<const AdapterTable> adapters{};
  std::optional<std::uint64_t> dropout_key{};  // adapters draw by it; none: no dropout

  bool planned() const { return numerics == Numerics::exact && plan != nullptr; }
};

/// What a training pass wants beside the values.
struct TrainingPass {
  at::ScalarType type = at::kFloat;      // of activations
  std::int64_t checkpointed_layers = 0;  // these run again in the backward pass
  std::shared_ptr<const void> owner{};   // of the decoder, which lives until the backward pass is over
};

class Decoder {
 public:
  /// Both must outlive the decoder.
  Decoder(const ModelConfig& config, const DecoderWeights& weights);

  /// Logits [logits_rows, vocabulary] in float32 (float64 for float64 weights); undefined where none are wanted. With a
  /// cache, keys and values are written into room that the caller has reserved; the caller commits. With graphs, steps
  /// of decoding that they take are run by them, and the next one overwrites what is returned.
  at::Tensor forward(const PackedBatch& batch, KvCache* cache, const HookTable& hooks,
                     const Arithmetic& arithmetic = {}, DecodeGraphs* graphs = nullptr) const;

  /// What the head reads, [logits_rows, hidden]: behind the final norm and projection. Frozen weights of blocks are
  /// made dense for each product alone.
  at::Tensor hidden_states(const PackedBatch& batch, const HookTable& hooks, const Arithmetic& arithmetic,
                           const TrainingPass& training) const;
  /// Logits of such rows. In a training pass `first_row` says where they stand among all, which dropout depends on.
  at::Tensor logits(const at::Tensor& hidden, const Arithmetic& arithmetic = {},
                    std::optional<std::int64_t> first_row = {}) const;
  /// Of a head over sequences, [rows, labels] in float32.
  at::Tensor scores(const at::Tensor& hidden, const Arithmetic& arithmetic) const;
  /// The head that they are made by, for operations that never hold them all; none in exact numerics and where adapters
  /// do more than stand in its place.
  std::optional<ops::VocabularyHead> vocabulary_head(const Arithmetic& arithmetic) const;

 private:
  friend class LayerwisePass;
  struct Pass;
  struct KeptPass;
  struct Gathered;
  at::Tensor embed(const Pass& pass) const;
  at::Tensor embedding_rows(const Pass& pass, Role role, const at::Tensor& ids) const;
  at::Device device() const;
  Gathered gather(const Pass& pass, std::int64_t least_pages) const;
  static void read(Pass& pass, const Gathered& all);
  void prepare(Pass& pass) const;
  bool may_replay(const Pass& pass, DecodeGraphs& graphs) const;
  at::Tensor replayed(Pass& pass, DecodeGraphs& graphs) const;
  at::Tensor computed(Pass& pass) const;
  at::Tensor layers(Pass& pass) const;
  at::Tensor final_hidden(Pass& pass, at::Tensor x) const;
  // Whether anybody reads the numbers of what is computed; its gradients are wanted either way.
  enum class Values { read, unread };
  at::Tensor linear(const Pass& pass, std::int64_t layer, Role role, const at::Tensor& x,
                    Values values = Values::read) const;
  std::vector<at::Tensor> linears(const Pass& pass, std::int64_t layer, std::span<const Role> roles,
                                  const at::Tensor& x) const;
  at::Tensor norm(const Pass& pass, std::int64_t layer, Role role, const Norm& choice, const at::Tensor& x) const;
  QueryKeyValue project(const Pass& pass, std::int64_t layer, const at::Tensor& x) const;
  at::Tensor layer(Pass& pass, std::int64_t layer, const at::Tensor& x, Values values = Values::read) const;
  bool takes_few_rows(const Pass& pass) const;
  std::vector<at::Tensor> normed_products(const Pass& pass, std::int64_t layer, Role norm_role,
                                          std::span<const Role> roles, const at::Tensor& x) const;
  at::Tensor product_added(const Pass& pass, std::int64_t layer, Role role, const at::Tensor& x,
                           const at::Tensor& residual) const;
  at::Tensor few_rows_mlp(const Pass& pass, std::int64_t layer, const at::Tensor& x) const;
  at::Tensor few_rows_layer(Pass& pass, std::int64_t layer, const at::Tensor& x) const;
  at::Tensor few_rows_logits(const Pass& pass, const at::Tensor& x) const;
  at::Tensor scaled_logits(at::Tensor logits, const Arithmetic& arithmetic) const;
  at::Tensor attention(Pass& pass, std::int64_t layer, const at::Tensor& x, Values values = Values::read) const;
  /// What o_proj reads, from the projections on.
  at::Tensor attention_context(Pass& pass, std::int64_t layer, QueryKeyValue heads) const;
  at::Tensor attend(Pass& pass, std::int64_t layer, const at::Tensor& query, const at::Tensor& key,
                    const at::Tensor& value, bool written) const;
  at::Tensor mlp(Pass& pass, std::int64_t layer, const at::Tensor& x, Values values = Values::read) const;
  ops::Experts experts_of(const Pass& pass, std::int64_t layer) const;
  ops::Experts observed_experts(const Pass& pass, std::int64_t layer) const;
  at::Tensor mixture(Pass& pass, std::int64_t layer, const at::Tensor& x) const;
  // A RoPE that some layers share. Where it depends on the length, frequencies are computed for each sequence.
  struct DistinctRope {
    const Rope* rope;
    std::vector<float> frequencies;
  };
  ops::RopeTable rope_table(const DistinctRope& distinct, const PackedBatch& batch) const;

  const ModelConfig& config_;
  const DecoderWeights& weights_;
  std::vector<DistinctRope> ropes_;
  std::vector<std::size_t> rope_of_;        // layer -> index into ropes_
  std::vector<std::vector<float>> slopes_;  // of ALiBi, that some layers share
  std::vector<std::size_t> slopes_of_;      // layer -> index into slopes_
};

}  // namespace powerhouse
