#include "model/adapted_module.h"

#include <ATen/ops/embedding_ops.h>

#include <algorithm>
#include <vector>

#include "model/decoder.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// The base's matrix as rows of outputs, or what stands in its place.
at::Tensor matrix_of(const BaseModule& base, const ModuleAdapters& adapters, const at::Tensor& x) {
  at::Tensor matrix = adapters.weight.defined() ? adapters.weight.to(x.scalar_type()) : base.weight.tensor();
  if (adapters.rows.defined()) matrix = matrix.index_copy(0, adapters.rows, adapters.new_rows.to(x.scalar_type()));
  return base.weight.handed_out_transposed() ? matrix.transpose(-2, -1) : matrix;
}

at::Tensor bias_of(const BaseModule& base, const ModuleAdapters& adapters, at::ScalarType type) {
  return adapters.bias.defined() ? adapters.bias.to(type) : base.bias;
}

// (x Aᵀ) Bᵀ in x's type.
at::Tensor low_rank(const at::Tensor& x, const ops::LowRankTerm& term, Numerics numerics) {
  const at::Tensor inner = ops::linear(x, term.a.to(x.scalar_type()), {}, numerics);
  return ops::linear(inner, term.b.to(x.scalar_type()), {}, numerics);
}

// |W + scale B A| of each output. The gradient does not pass: the paper's section 4.3, and PEFT.
at::Tensor dora_norm(const at::Tensor& matrix, const ModuleTerm& term) {
  const at::Tensor delta = term.low_rank.b.detach().matmul(term.low_rank.a.detach());
  return matrix.detach().add(delta.to(matrix.scalar_type()), term.low_rank.scale).norm(2, {1}, false);
}

// A term with the dropout that the pass draws.
ops::LowRankTerm drawn(const ModuleTerm& term, std::size_t place, const AdaptedPass& pass) {
  ops::LowRankTerm out = term.low_rank;
  if (!pass.dropout_key) out.dropout.rate = 0;
  out.dropout.seed = pass.dropout_key.value_or(0);
  out.dropout.lane += static_cast<std::uint32_t>(place) << 20;  // each adapter draws its own
  return out;
}

ops::LinearPart plain_part(const BaseModule& base, const ModuleAdapters& adapters, const at::Tensor& bias,
                           const AdaptedPass& pass) {
  ops::LinearPart part{.weight = base.weight, .bias = bias};
  for (std::size_t i = 0; i < adapters.terms.size(); ++i) part.terms.push_back(drawn(adapters.terms[i], i, pass));
  return part;
}

// y with a term added: plain LoRA, or DoRA (Liu et al. 2024), which also scales what was there.
at::Tensor with_term(const at::Tensor& y, const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                     std::size_t place, const AdaptedPass& pass) {
  const ModuleTerm& term = adapters.terms[place];
  const ops::LowRankTerm own = drawn(term, place, pass);
  const at::Tensor seen = ops::dropped(x, own.dropout);
  at::Tensor product = low_rank(seen, own, pass.numerics);
  if (term.bias.defined()) product = product.add(term.bias.to(product.scalar_type()));
  if (!term.magnitude.defined()) return y.add(product, own.scale);
  const at::Tensor matrix = matrix_of(base, adapters, x);
  const at::Tensor factor = term.magnitude.div(dora_norm(matrix, term)).to(y.scalar_type()).unsqueeze(0);
  at::Tensor plain = y;
  if (own.dropout.rate > 0.0f) {
    plain = ops::linear(seen, matrix, {}, pass.numerics);
  } else if (const at::Tensor bias = bias_of(base, adapters, x.scalar_type()); bias.defined()) {
    plain = y.sub(bias);
  }
  return y.add(factor.sub(1).mul(plain)).add(factor.mul(product), own.scale);
}

bool is_plain(const ModuleAdapters& adapters) {
  return !adapters.weight.defined() && !adapters.rows.defined() && !adapters.output_scale.defined() &&
         std::all_of(adapters.terms.begin(), adapters.terms.end(),
                     [](const ModuleTerm& term) { return !term.magnitude.defined() && !term.bias.defined(); });
}

at::Tensor product(const at::Tensor& input, const BaseModule& base, const ModuleAdapters& adapters,
                   const AdaptedPass& pass, bool in_f32) {
  const at::Tensor x = adapters.input_scale.defined() ? input.mul(adapters.input_scale).to(input.scalar_type()) : input;
  const at::Tensor bias = bias_of(base, adapters, x.scalar_type());
  if (is_plain(adapters) && !in_f32) {
    ops::LinearPart part = plain_part(base, adapters, bias, pass);
    if (!pass.keep_blocks) part.matrix = base.weight.matrix();
    return ops::adapted_linears(x, {&part, 1}, pass.numerics)[0];
  }
  const at::Tensor matrix = matrix_of(base, adapters, x);
  at::Tensor y = in_f32 ? ops::linear_f32(x, matrix, bias, pass.numerics) : ops::linear(x, matrix, bias, pass.numerics);
  for (std::size_t i = 0; i < adapters.terms.size(); ++i) y = with_term(y, x, base, adapters, i, pass);
  if (adapters.output_scale.defined()) y = y.mul(adapters.output_scale).to(y.scalar_type());
  return y;
}

// rows by one expert's matrix and its share of the terms.
at::Tensor expert_product(const at::Tensor& x, const LayerWeights& weights, Role role, std::int64_t expert,
                          std::int64_t experts, const ModuleAdapters* adapters, Numerics numerics) {
  const at::Tensor& biases = weights.bias(role);
  at::Tensor y = ops::linear(x, weights.matrix(role).select(0, expert),
                             biases.defined() ? biases.select(0, expert) : biases, numerics);
  if (adapters == nullptr) return y;
  for (const ModuleTerm& term : adapters->terms) {
    ops::LowRankTerm own = term.low_rank;
    own.a = own.a.view({experts, -1, own.a.size(1)}).select(0, expert);
    own.b = own.b.view({own.b.size(0), -1, experts}).select(2, expert);
    y = y.add(low_rank(x, own, numerics), own.scale);
  }
  return y;
}

}  // namespace

std::optional<ops::LinearPart> linear_part(const BaseModule& base, const ModuleAdapters* adapters,
                                           const AdaptedPass& pass) {
  if (adapters == nullptr) return ops::LinearPart{.weight = base.weight, .bias = base.bias};
  if (!is_plain(*adapters) || adapters->input_scale.defined()) return std::nullopt;
  return plain_part(base, *adapters, bias_of(base, *adapters, base.weight.compute_type()), pass);
}

at::Tensor adapted_product(const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                           const AdaptedPass& pass) {
  return product(x, base, adapters, pass, false);
}

at::Tensor adapted_product_f32(const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                               const AdaptedPass& pass) {
  return product(x, base, adapters, pass, true);
}

at::Tensor adapted_embedding(const at::Tensor& ids, const Weight& weight, const ModuleAdapters& adapters) {
  const auto embedding = [&ids](const at::Tensor& matrix) {
    return at::_ops::embedding::call(matrix, ids, -1, false, false);
  };
  const at::ScalarType type = weight.compute_type();
  at::Tensor matrix = adapters.weight.defined() ? adapters.weight.to(type) : weight.tensor();
  if (adapters.rows.defined()) matrix = matrix.index_copy(0, adapters.rows, adapters.new_rows.to(type));
  at::Tensor y = embedding(matrix);
  for (const ModuleTerm& term : adapters.terms) {
    const ops::LowRankTerm& own = term.low_rank;
    at::Tensor added = ops::linear(embedding(own.a.transpose(0, 1)), own.b).mul(own.scale).to(y.scalar_type());
    if (term.magnitude.defined()) {
      const at::Tensor delta = own.b.detach().matmul(own.a.detach()).transpose(0, 1);
      const at::Tensor norm = matrix.detach().add(delta.to(matrix.scalar_type()), own.scale).norm(2, {0}, false);
      const at::Tensor factor = term.magnitude.div(norm).to(y.scalar_type()).unsqueeze(0);
      y = factor.mul(y);
      added = factor.mul(added);
    }
    y = y.add(added);
  }
  return y;
}

ops::Experts adapted_experts(const LayerWeights& weights, const Moe& choice, const ModuleAdapters* gate_up,
                             const ModuleAdapters* down, Numerics numerics) {
  const std::int64_t experts = choice.num_experts;
  const bool interleaved = choice.interleaved_gate_up;
  return {.gate_up_by =
              [&weights, experts, gate_up, interleaved, numerics](std::int64_t expert, const at::Tensor& x) {
                const at::Tensor y =
                    expert_product(x, weights, Role::experts_gate_up, expert, experts, gate_up, numerics);
                return interleaved ? y.unflatten(1, {y.size(1) / 2, 2}).transpose(1, 2).flatten(1, 2) : y;
              },
          .down_by =
              [&weights, experts, down, numerics](std::int64_t expert, const at::Tensor& x) {
                return expert_product(x, weights, Role::experts_down, expert, experts, down, numerics);
              }};
}

PackedBatch with_virtual_tokens(const PackedBatch& batch, const AdapterTable& adapters) {
  const std::int64_t count = adapters.virtual_tokens();
  const std::int64_t rows = adapters.prompt.defined() ? count : 0;
  PackedBatch out{.sequences = batch.sequences, .prefixes = batch.prefixes};
  std::vector<std::int64_t> moved;  // rows of each sequence, by so many
  for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
    // A sequence that continues another stands behind that one's.
    const bool continues = !batch.prefixes.empty() && batch.prefixes[i] >= 0;
    for (std::int64_t row = 0; row < (continues ? 0 : rows); ++row) {
      out.prompt_rows.push_back(static_cast<std::int64_t>(out.ids.size()));
      out.ids.push_back(0);
      out.position_ids.push_back(row);
    }
    moved.push_back(static_cast<std::int64_t>(out.ids.size()) - batch.cu_seqlens[i]);
    for (auto row = batch.cu_seqlens[i]; row < batch.cu_seqlens[i + 1]; ++row) {
      out.ids.push_back(batch.ids[static_cast<std::size_t>(row)]);
      out.position_ids.push_back(batch.position_ids[static_cast<std::size_t>(row)] + count);
    }
    out.cu_seqlens.push_back(static_cast<std::int64_t>(out.ids.size()));
    out.rope_lengths.push_back(batch.rope_lengths[i] + count);
  }
  std::size_t sequence = 0;
  for (const std::int64_t row : batch.logits_rows) {
    while (row >= batch.cu_seqlens[sequence + 1]) ++sequence;
    out.logits_rows.push_back(row + moved[sequence]);
  }
  return out;
}

}  // namespace powerhouse
