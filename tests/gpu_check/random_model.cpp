#include "gpu_check/random_model.h"

#include "model/causal_lm_impl.h"
#include "model/quantize_at_load.h"
#include "ops/tensors.h"

namespace powerhouse::gpu_check {

namespace {

ModelConfig config_of(const ModelShape& shape) {
  ModelConfig config{.architecture = "llama",
                     .vocab_size = shape.vocabulary,
                     .hidden_size = shape.hidden,
                     .max_position_embeddings = 8192};
  Block block;
  block.rope.rotary_dim = shape.hidden / shape.heads;
  block.attention.num_heads = shape.heads;
  block.attention.num_key_value_heads = shape.kv_heads;
  block.attention.head_dim = shape.hidden / shape.heads;
  block.mlp.intermediate_size = shape.intermediate;
  config.layers.assign(static_cast<std::size_t>(shape.layers), block);
  return config;
}

}  // namespace

CausalLM model_here(const ModelShape& shape, Dtype dtype, bool four_bit) {
  CausalLM model = CausalLM::from_config(config_of(shape), {.dtype = dtype, .seed = 3});
  Model& inside = *model.impl().model;
  if (four_bit) quantize_at_load(inside.weights, {.load_in_4bit = true, .bnb_4bit_quant_type = "nf4"}, inside.type);
  return model;
}

CausalLM model_there(const Machine& machine, const ModelShape& shape, Dtype dtype, bool four_bit) {
  CausalLM model = model_here(shape, dtype, four_bit);
  DecoderWeights& weights = model.impl().model->weights;
  for (const ParameterSpec& spec : weights.specs()) weights.weight(spec).move_to(machine.device);
  return model;
}

}  // namespace powerhouse::gpu_check
