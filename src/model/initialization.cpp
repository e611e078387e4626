#include "model/initialization.h"

#include <cmath>

#include "model/api_guard.h"
#include "model/causal_lm_impl.h"
#include "ops/device_kernels.h"
#include "ops/tensors.h"
#include "support/normal.h"

namespace powerhouse {
namespace {

const Norm& norm_of(const ModelConfig& config, const ParameterSpec& spec) {
  const Block* block = spec.layer < 0 ? nullptr : &config.layers[static_cast<std::size_t>(spec.layer)];
  switch (spec.role) {
    case Role::embedding_norm: return *config.embedding_norm;
    case Role::final_norm: return *config.final_norm;
    case Role::q_norm:
    case Role::k_norm: return block->attention.qk_norm->norm;
    default: return block->norm;
  }
}

bool is_norm(Role role) {
  switch (role) {
    case Role::embedding_norm:
    case Role::attention_norm:
    case Role::q_norm:
    case Role::k_norm:
    case Role::attention_post_norm:
    case Role::mlp_norm:
    case Role::mlp_post_norm:
    case Role::final_norm: return true;
    default: return false;
  }
}

bool writes_into_residual(Role role) {
  return role == Role::o_proj || role == Role::down_proj || role == Role::experts_down ||
         role == Role::shared_down_proj;
}

}  // namespace

at::Tensor initial_parameter(const ModelConfig& config, const ParameterSpec& spec, std::uint32_t index,
                             double deviation, std::uint64_t seed) {
  at::Tensor tensor = empty_tensor(spec.shape, at::kFloat);
  if (spec.is_bias || spec.role == Role::sinks) return tensor.zero_();
  if (is_norm(spec.role)) return tensor.fill_(norm_of(config, spec).unit_offset ? 0 : 1);
  if (writes_into_residual(spec.role)) deviation /= std::sqrt(2.0 * static_cast<double>(config.layers.size()));
  fill_normal(tensor.data_ptr<float>(), tensor.numel(), deviation, Random(seed, RandomStream::initialization, index));
  return tensor;
}

ModelConfig config_from_json(std::string_view config_json) {
  const Json json = Json::parse(config_json, "config");
  ModelConfig config = read_hf_config(find_architecture(json), json);
  check_config(config);
  return config;
}

CausalLM CausalLM::from_config(const ModelConfig& config, const InitializationOptions& options) {
  return guarded([&] {
    check_config(config);
    check_vocabulary_head(config);
    const at::Device device = ops::torch_device(options.device);
    const Architecture& architecture = find_architecture(std::string_view(config.architecture));
    const at::ScalarType type = options.dtype == Dtype::automatic ? at::kFloat : to_scalar_type(options.dtype);
    DecoderWeights weights(parameter_specs(architecture, config), config);
    std::uint32_t index = 0;
    for (const ParameterSpec& spec : weights.specs()) {
      const at::Tensor tensor =
          initial_parameter(config, spec, index++, options.initializer_range, options.seed).to(type);
      weights.weight(spec) = Weight::dense(spec.name, tensor, spec.transposed);
    }
    weights.move_to(device);
    auto impl = std::make_shared<Impl>();
    impl->model =
        std::make_shared<Model>(architecture, config, std::move(weights), type, options.tokenizer, Numerics::fast);
    return CausalLM(std::move(impl));
  });
}

}  // namespace powerhouse
