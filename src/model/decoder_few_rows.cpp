// A step of decoding on a device, with launches joined: the norm with the products that read it, gate, up and their
// activation, a product and what it is added to, RoPE and the way of keys and values into the cache. Six launches a
// layer, each of which prepares itself while the one before still runs; numbers are those of Decoder::layer, rounded
// where it rounds; sums have another order. What has no such kernel (GPTQ's and AWQ's codes among others) is computed
// step by step in its place.
#include <c10/core/GradMode.h>

#include <algorithm>
#include <array>

#include "model/decoder_pass.h"
#include "ops/activation.h"
#include "ops/few_rows.h"

namespace powerhouse {
namespace {

// Nothing on this way writes weights, and what did was queued before its first launch.
constexpr bool kEarly = true;

// Empty where one of them has no kernel.
std::vector<ops::FewRowsMap> few_rows_maps(const LayerWeights& weights, std::span<const Role> roles) {
  std::vector<ops::FewRowsMap> maps;
  for (const Role role : roles) {
    auto map = ops::few_rows_map(weights.weight(role), weights.bias(role));
    if (!map) return {};
    maps.push_back(*std::move(map));
  }
  return maps;
}

// A launch for maps of one format: files give keys and values other ones than queries now and then.
std::vector<at::Tensor> few_rows_products(const ops::FewRows& in, std::span<const ops::FewRowsMap> maps) {
  std::vector<at::Tensor> all;
  while (!maps.empty()) {
    const auto other =
        std::find_if(maps.begin(), maps.end(), [&](const auto& map) { return map.format != maps[0].format; });
    const auto alike = maps.first(static_cast<std::size_t>(other - maps.begin()));
    if (!ops::few_rows_take(in, alike)) return {};
    const std::vector<at::Tensor> some = ops::few_rows_products(in, alike, kEarly);
    if (some.empty()) return {};
    all.insert(all.end(), some.begin(), some.end());
    maps = maps.subspan(alike.size());
  }
  return all;
}

}  // namespace

bool Decoder::takes_few_rows(const Pass& pass) const {
  return !pass.device.is_cpu() && pass.cache != nullptr && pass.hooks.empty() && pass.training == nullptr &&
         pass.observer == nullptr && !pass.layerwise && pass.arithmetic.adapters == nullptr &&
         pass.arithmetic.numerics == Numerics::fast && !c10::GradMode::is_enabled() &&
         std::ssize(pass.batch.ids) <= ops::kMostFewRows;
}

std::vector<at::Tensor> Decoder::normed_products(const Pass& pass, std::int64_t layer, Role norm_role,
                                                 std::span<const Role> roles, const at::Tensor& x) const {
  const LayerWeights& weights = weights_.layer(layer);
  const Norm& choice = config_.layers[static_cast<std::size_t>(layer)].norm;
  const ops::FewRows in{x, &choice, weights[norm_role]};
  if (std::vector<at::Tensor> out = few_rows_products(in, few_rows_maps(weights, roles)); !out.empty()) return out;
  return linears(pass, layer, roles, norm(pass, layer, norm_role, choice, x));
}

at::Tensor Decoder::product_added(const Pass& pass, std::int64_t layer, Role role, const at::Tensor& x,
                                  const at::Tensor& residual) const {
  const ops::FewRows in{x};
  if (const auto maps = few_rows_maps(weights_.layer(layer), {&role, 1});
      !maps.empty() && ops::few_rows_take(in, maps)) {
    if (at::Tensor y = ops::few_rows_added(in, maps[0], residual, kEarly); y.defined()) return y;
  }
  return residual.add(linear(pass, layer, role, x));
}

// What down_proj reads.
at::Tensor Decoder::few_rows_mlp(const Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  constexpr std::array kGateUp = {Role::gate_proj, Role::up_proj};
  const LayerWeights& weights = weights_.layer(layer);
  const Block& block = config_.layers[static_cast<std::size_t>(layer)];
  const Activation activation = block.mlp.activation;
  if (!block.mlp.gated) {
    constexpr std::array kUp = {Role::up_proj};
    return ops::activate(activation, normed_products(pass, layer, Role::mlp_norm, kUp, x)[0]);
  }
  const ops::FewRows in{x, &block.norm, weights[Role::mlp_norm]};
  if (const auto maps = few_rows_maps(weights, kGateUp); !maps.empty() && ops::few_rows_take(in, maps)) {
    if (at::Tensor y = ops::few_rows_gated(in, maps[0], maps[1], activation, kEarly); y.defined()) return y;
  }
  const std::vector<at::Tensor> both = normed_products(pass, layer, Role::mlp_norm, kGateUp, x);
  return ops::gated_activation(activation, both[0], both[1]);
}

at::Tensor Decoder::few_rows_layer(Pass& pass, std::int64_t layer, const at::Tensor& x) const {
  constexpr std::array kRoles = {Role::q_proj, Role::k_proj, Role::v_proj};
  const Attention& choice = config_.layers[static_cast<std::size_t>(layer)].attention;
  const std::vector<at::Tensor> all = normed_products(pass, layer, Role::attention_norm, kRoles, x);
  QueryKeyValue heads = powerhouse::project(choice, [&](Role role) {
    return all[role == Role::q_proj ? 0 : role == Role::k_proj ? 1 : 2];
  });
  const at::Tensor context = attention_context(pass, layer, std::move(heads));
  const at::Tensor middle = product_added(pass, layer, Role::o_proj, context, x);
  return product_added(pass, layer, Role::down_proj, few_rows_mlp(pass, layer, middle), middle);
}

// The final norm and the head; undefined where they are computed apart.
at::Tensor Decoder::few_rows_logits(const Pass& pass, const at::Tensor& x) const {
  const PackedBatch& batch = pass.batch;
  if (!pass.few_rows || !config_.final_norm || config_.embedding_size > 0) return {};
  const LayerWeights& outside = weights_.outside();
  const auto map = ops::few_rows_map(weights_.lm_head_weight(), outside.bias(Role::lm_head));
  if (!map) return {};
  const bool all = batch.logits_rows.size() == batch.ids.size();
  const ops::FewRows in{all ? x : x.index_select(0, pass.logits_rows), &*config_.final_norm, outside[Role::final_norm]};
  if (!ops::few_rows_take(in, {&*map, 1})) return {};
  at::Tensor logits = ops::few_rows_f32(in, *map, kEarly);
  return logits.defined() ? scaled_logits(std::move(logits), pass.arithmetic) : logits;
}

}  // namespace powerhouse
