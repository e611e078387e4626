#include "model/adapted_module.h"

#include <algorithm>
#include <vector>

#include "model/decoder.h"
#include "model/dora.h"
#include "ops/block_product.h"
#include "ops/linear.h"
#include "ops/tensors.h"

namespace powerhouse {
namespace {

// x with autograd looking on through the module itself or one of its terms.
bool learns(const at::Tensor& x, const ops::LinearPart& part) {
  return needs_autograd(x, part.matrix, part.bias) ||
         std::any_of(part.terms.begin(), part.terms.end(),
                     [](const ops::LowRankTerm& term) { return needs_autograd(term.a, term.b); });
}

at::Tensor bias_of(const BaseModule& base, const ModuleAdapters& adapters, at::ScalarType type) {
  return adapters.bias.defined() ? adapters.bias.to(type) : base.bias;
}

// The base's weight, or what stands in its place, as the op takes it: neither copied nor converted.
ops::LinearPart base_part(const BaseModule& base, const ModuleAdapters& adapters, const at::Tensor& bias,
                          const AdaptedPass& pass) {
  ops::LinearPart part{.bias = bias};
  if (adapters.weight.defined()) {
    part.matrix = base.weight.handed_out_transposed() ? adapters.weight.transpose(-2, -1) : adapters.weight;
  } else if (pass.keep_blocks) {
    part.weight = base.weight;
  } else {
    part.matrix = base.weight.matrix();
  }
  return part;
}

// In x's type, or float32. Where nothing learns, few rows have a kernel of their own, which rounds once.
at::Tensor multiply(const at::Tensor& x, const ops::LinearPart& part, const AdaptedPass& pass, bool in_f32) {
  if (part.matrix.defined() && part.terms.empty() && !learns(x, part)) {
    const at::ScalarType type = part.matrix.scalar_type();
    const at::Tensor bias = part.bias.defined() ? part.bias.to(type) : part.bias;
    if (in_f32) return ops::linear_f32(x.to(type), part.matrix, bias, pass.numerics);
    return ops::linear(x.to(type), part.matrix, bias, pass.numerics).to(x.scalar_type());
  }
  const at::Tensor y = ops::adapted_linears(x, {&part, 1}, pass.numerics)[0];
  return in_f32 && y.scalar_type() != at::kDouble ? y.to(at::kFloat) : y;
}

// (x Aᵀ) Bᵀ in x's type.
at::Tensor low_rank(const at::Tensor& x, const ops::LowRankTerm& term, Numerics numerics) {
  const at::Tensor inner = ops::linear(x, term.a.to(x.scalar_type()), {}, numerics);
  return ops::linear(inner, term.b.to(x.scalar_type()), {}, numerics);
}

// Dropout that autograd sees.
at::Tensor with_dropout(const at::Tensor& x, const ops::Dropout& dropout) {
  return dropout.rate > 0.0f ? x.mul(ops::dropped(x.detach().new_ones(x.sizes()), dropout)) : x;
}

// A term with the dropout that the pass draws.
ops::LowRankTerm drawn(const ModuleTerm& term, std::size_t place, const AdaptedPass& pass) {
  ops::LowRankTerm out = term.low_rank;
  if (!pass.dropout_key) out.dropout.rate = 0;
  out.dropout.seed = pass.dropout_key.value_or(0);
  out.dropout.lane += static_cast<std::uint32_t>(place) << 20;  // each adapter draws its own
  out.dropout.counter += static_cast<std::uint64_t>(pass.first_row * ((out.a.size(1) + 7) / 8));
  return out;
}

std::vector<ops::LowRankTerm> all_drawn(const ModuleAdapters& adapters, const AdaptedPass& pass) {
  std::vector<ops::LowRankTerm> terms;
  for (std::size_t i = 0; i < adapters.terms.size(); ++i) terms.push_back(drawn(adapters.terms[i], i, pass));
  return terms;
}

bool is_low_rank(const ModuleTerm& term) { return !term.magnitude.defined() && !term.bias.defined(); }

// Whether y is the base's product with the terms added, and nothing else is done to it.
bool is_plain(const ModuleAdapters& adapters) {
  return !adapters.rows.defined() && !adapters.output_scale.defined() &&
         std::all_of(adapters.terms.begin(), adapters.terms.end(), is_low_rank);
}

// y with a term added: plain LoRA, or DoRA (Liu et al. 2024), which also scales what was there but for the bias.
at::Tensor with_term(const at::Tensor& y, const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                     std::size_t place, const AdaptedPass& pass) {
  const ModuleTerm& term = adapters.terms[place];
  const ops::LowRankTerm own = drawn(term, place, pass);
  const at::Tensor seen = with_dropout(x, own.dropout);
  at::Tensor product = low_rank(seen, own, pass.numerics);
  if (term.bias.defined()) product = product.add(term.bias.to(product.scalar_type()));
  if (!term.magnitude.defined()) return y.add(product, own.scale);
  const at::Tensor factor = dora_factor(base.weight, adapters, term).to(y.scalar_type());
  if (own.dropout.rate > 0.0f) {
    const at::Tensor plain = multiply(seen, base_part(base, adapters, {}, pass), pass, false);
    return y.add(factor.sub(1).mul(plain)).add(factor.mul(product), own.scale);
  }
  const at::Tensor bias = bias_of(base, adapters, x.scalar_type());
  if (!bias.defined()) return y.add(product, own.scale).mul(factor);
  return y.sub(bias).add(product, own.scale).mul(factor).add(bias);
}

// Tokens of a tied head that train have logits of their own.
at::Tensor with_rows(const at::Tensor& y, const at::Tensor& x, const ModuleAdapters& adapters, const at::Tensor& bias,
                     const AdaptedPass& pass) {
  const at::Tensor places = adapters.rows.to(y.device());
  const at::Tensor own_bias = bias.defined() ? bias.index_select(0, places) : bias;
  const at::Tensor own = ops::linear_f32(x, adapters.new_rows.to(x.scalar_type()), own_bias, pass.numerics);
  return y.index_copy(1, places, own.to(y.scalar_type()));
}

// A few rows by blocks on a device as they lie, plain terms added by a kernel; undefined where that is not so.
at::Tensor by_device_blocks(const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                            const at::Tensor& bias, const AdaptedPass& pass) {
  if (!base.weight.device_blocks().defined() || adapters.weight.defined() || !is_plain(adapters)) return {};
  const ops::LinearPart terms{.bias = bias, .terms = all_drawn(adapters, pass)};
  if (learns(x, terms) || !std::all_of(terms.terms.begin(), terms.terms.end(),
                                       [&](const ops::LowRankTerm& term) { return ops::DeviceTerm::takes(x, term); })) {
    return {};
  }
  at::Tensor y = ops::block_product(x, base.weight, bias);
  for (std::size_t i = 0; i < terms.terms.size(); ++i) adapters.terms[i].on_device->add(y, x, terms.terms[i]);
  return y;
}

at::Tensor product(const at::Tensor& input, const BaseModule& base, const ModuleAdapters& adapters,
                   const AdaptedPass& pass, bool in_f32) {
  const at::Tensor x = adapters.input_scale.defined() ? input.mul(adapters.input_scale).to(input.scalar_type()) : input;
  const at::Tensor bias = bias_of(base, adapters, x.scalar_type());
  if (!in_f32) {
    if (at::Tensor y = by_device_blocks(x, base, adapters, bias, pass); y.defined()) return y;
  }
  ops::LinearPart part = base_part(base, adapters, bias, pass);
  if (is_plain(adapters)) {
    part.terms = all_drawn(adapters, pass);
    if (!in_f32 || learns(x, part) || part.terms.empty()) return multiply(x, part, pass, in_f32);
    part.terms.clear();
  }
  at::Tensor y = multiply(x, part, pass, in_f32);
  if (adapters.rows.defined()) y = with_rows(y, x, adapters, bias, pass);
  for (std::size_t i = 0; i < adapters.terms.size(); ++i) y = with_term(y, x, base, adapters, i, pass);
  if (adapters.output_scale.defined()) y = y.mul(adapters.output_scale).to(y.scalar_type());
  return y;
}

// rows by one expert's matrix and its share of the terms.
at::Tensor expert_product(const at::Tensor& x, const LayerWeights& weights, Role role, std::int64_t expert,
                          std::int64_t experts, const ModuleAdapters* adapters, const AdaptedPass& pass) {
  const at::Tensor& biases = weights.bias(role);
  ops::LinearPart part{.bias = biases.defined() ? biases.select(0, expert) : biases};
  if (pass.keep_blocks && is_quantized(weights.weight(role))) {
    part.weight = weights.weight(role).expert(expert);
  } else {
    part.matrix = weights.matrix(role).select(0, expert);
  }
  if (adapters != nullptr) {
    for (const ModuleTerm& term : adapters->terms) {
      ops::LowRankTerm own = term.low_rank;
      own.a = own.a.view({experts, -1, own.a.size(1)}).select(0, expert);
      own.b = own.b.view({own.b.size(0), -1, experts}).select(2, expert);
      part.terms.push_back(own);
    }
  }
  return ops::adapted_linears(x, {&part, 1}, pass.numerics)[0];
}

}  // namespace

std::optional<ops::LinearPart> linear_part(const BaseModule& base, const ModuleAdapters* adapters,
                                           const AdaptedPass& pass) {
  if (adapters == nullptr) return ops::LinearPart{.weight = base.weight, .bias = base.bias};
  if (!is_plain(*adapters) || adapters->input_scale.defined()) return std::nullopt;
  ops::LinearPart part = base_part(base, *adapters, bias_of(base, *adapters, base.weight.compute_type()), pass);
  part.terms = all_drawn(*adapters, pass);
  return part;
}

at::Tensor adapted_product(const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                           const AdaptedPass& pass) {
  return product(x, base, adapters, pass, false);
}

at::Tensor adapted_product_f32(const at::Tensor& x, const BaseModule& base, const ModuleAdapters& adapters,
                               const AdaptedPass& pass) {
  return product(x, base, adapters, pass, true);
}

ops::Experts adapted_experts(const LayerWeights& weights, const Moe& choice, const ModuleAdapters* gate_up,
                             const ModuleAdapters* down, const AdaptedPass& pass) {
  const std::int64_t experts = choice.num_experts;
  const bool interleaved = choice.interleaved_gate_up;
  return {.gate_up_by =
              [&weights, experts, gate_up, interleaved, pass](std::int64_t expert, const at::Tensor& x) {
                const at::Tensor y = expert_product(x, weights, Role::experts_gate_up, expert, experts, gate_up, pass);
                return interleaved ? y.unflatten(1, {y.size(1) / 2, 2}).transpose(1, 2).flatten(1, 2) : y;
              },
          .down_by =
              [&weights, experts, down, pass](std::int64_t expert, const at::Tensor& x) {
                return expert_product(x, weights, Role::experts_down, expert, experts, down, pass);
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
