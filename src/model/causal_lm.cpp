// CausalLM: loading, the padded forward, parameters and hooks.
#include "powerhouse/causal_lm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_ops.h>

#include <algorithm>

#include "formats/bitsandbytes.h"
#include "formats/checkpoint.h"
#include "model/api_guard.h"
#include "model/causal_lm_impl.h"
#include "model/gguf_saver.h"
#include "model/loader.h"
#include "model/numeric_check.h"
#include "model/packed_saver.h"
#include "model/quantize_at_load.h"
#include "model/saver.h"
#include "ops/device_sampling.h"
#include "ops/rope.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// Of a dense weight; a plan reads all that it packs.
std::size_t read_for_token(const ModelConfig& config, const ParameterSpec& spec, std::size_t bytes) {
  switch (spec.role) {
    case Role::embed_tokens: return config.tie_word_embeddings && !config.sequence_head ? bytes : 0;
    case Role::position_embeddings: return 0;
    case Role::experts_gate_up:
    case Role::experts_down: {
      const Moe& moe = *config.layers[static_cast<std::size_t>(spec.layer)].mlp.moe;
      return bytes / static_cast<std::size_t>(moe.num_experts) * static_cast<std::size_t>(moe.num_experts_per_tok);
    }
    default: return bytes;
  }
}

// Of a file's blocks that are used in place, without a dense form.
std::size_t block_bytes(const Weight& weight) {
  std::size_t bytes = 0;
  if (weight.stored() == nullptr || weight.dense_bytes() > 0) return bytes;
  for (const TensorView& view : weight.stored()->views) bytes += view.bytes;
  return bytes;
}

// What `options` ask for as a type of the weights.
at::ScalarType weight_type(const Checkpoint& checkpoint, const LoadOptions& options) {
  if (options.numerics == Numerics::exact) {
    if (options.dtype == Dtype::automatic || options.dtype == Dtype::f32) return at::kFloat;
    throw Error(ErrorKind::unsupported, "exact numerics compute in float32",
                {.field = "dtype", .expected = "auto or f32", .found = std::string(to_string(options.dtype))});
  }
  return options.dtype == Dtype::automatic ? automatic_type(checkpoint) : to_scalar_type(options.dtype);
}

// RoPE that changes with the length turns the same token otherwise in a longer sequence.
void check_exact_lengths(const ModelConfig& config, const PackedBatch& batch) {
  for (const Block& block : config.layers) {
    if (block.position != PositionKind::rope || !ops::depends_on_length(block.rope)) continue;
    const std::int64_t longest = block.rope.original_max_position_embeddings;
    for (const std::int64_t length : batch.rope_lengths) {
      if (length <= longest) continue;
      throw Error(ErrorKind::unsupported, "exact numerics end where RoPE begins to depend on the length",
                  {.field = "ids", .expected = "at most " + std::to_string(longest), .found = std::to_string(length)});
    }
  }
}

// The rows of [batch, length] that are no padding, packed.
PackedBatch pack(const ModelConfig& config, const at::Tensor& input_ids, const at::Tensor& attention_mask,
                 std::vector<std::int64_t>& places) {
  const at::Tensor ids = input_ids.to(at::kCPU).contiguous();
  const at::Tensor mask = attention_mask.defined() ? attention_mask.to(at::kCPU).ne(0).contiguous() : at::Tensor();
  const std::int64_t length = ids.size(1);
  PackedBatch batch;
  std::vector<std::int64_t> row_ids;
  for (std::int64_t row = 0; row < ids.size(0); ++row) {
    row_ids.clear();
    const std::int64_t* row_data = ids.const_data_ptr<std::int64_t>() + row * length;
    const bool* keep = mask.defined() ? mask.const_data_ptr<bool>() + row * length : nullptr;
    for (std::int64_t i = 0; i < length; ++i) {
      if (keep != nullptr && !keep[i]) continue;
      row_ids.push_back(row_data[i]);
      places.push_back(row * length + i);
    }
    check_ids(config, row_ids);
    if (!row_ids.empty()) batch.add(row_ids, 0);
  }
  for (std::size_t i = 0; i < batch.ids.size(); ++i) batch.logits_rows.push_back(static_cast<std::int64_t>(i));
  return batch;
}

void check_input(const at::Tensor& input_ids, const at::Tensor& attention_mask) {
  if (!input_ids.defined() || input_ids.dim() != 2 || input_ids.scalar_type() != at::kLong) {
    throw Error(ErrorKind::usage, "wrong input", {.field = "input_ids", .expected = "int64 [batch, length]"});
  }
  if (attention_mask.defined() && attention_mask.sizes() != input_ids.sizes()) {
    throw Error(ErrorKind::usage, "wrong input", {.field = "attention_mask", .expected = "the shape of input_ids"});
  }
}

}  // namespace

void check_ids(const ModelConfig& config, std::span<const std::int64_t> ids) {
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= config.vocab_size) {
      throw Error(
          ErrorKind::range, "token id outside the vocabulary",
          {.field = "ids", .expected = "0 to " + std::to_string(config.vocab_size - 1), .found = std::to_string(id)});
    }
  }
}

void check_length(const ModelConfig& config, std::int64_t length, std::int64_t virtual_tokens) {
  const std::int64_t longest = longest_sequence(config);
  if (length <= longest) return;
  const std::string among =
      virtual_tokens > 0 ? ", the adapter's " + std::to_string(virtual_tokens) + " virtual ones among them" : "";
  throw Error(
      ErrorKind::range, "more tokens than the model's context",
      {.field = "ids", .expected = "at most " + std::to_string(longest) + among, .found = std::to_string(length)});
}

void check_lengths(const ModelConfig& config, std::span<const std::int64_t> cu_seqlens, std::int64_t virtual_tokens) {
  for (std::size_t i = 0; i + 1 < cu_seqlens.size(); ++i) {
    check_length(config, virtual_tokens + cu_seqlens[i + 1] - cu_seqlens[i], virtual_tokens);
  }
}

at::Tensor CausalLM::Impl::forward(const PackedBatch& batch, KvCache* cache, const DevicePass& on_device) const {
  check_vocabulary_head(model->config);
  const ModelGate::Reading reading_hooks(gate);
  const ModelGate::Reading reading_model(model->gate);
  if (cache == nullptr) check_lengths(model->config, batch.cu_seqlens, virtual_tokens());
  if (model->numerics == Numerics::exact) check_exact_lengths(model->config, batch);
  return guarded([&] {
    HookTable tapped;
    if (on_device.hidden != nullptr) {
      tapped = hooks;
      tapped.add({HookPoint::final_norm, -1}, [&](const at::Tensor& x, const HookContext&) {
        *on_device.hidden = downloaded(x).to(at::kFloat);
        return at::Tensor();
      });
    }
    const HookTable& heard = on_device.hidden != nullptr ? tapped : hooks;
    bool planned = cache != nullptr && heard.empty() && model->plan != nullptr;
    std::shared_ptr<const PlanAdapters> terms;
    if (planned && adapters != nullptr) {
      if (model->numerics == Numerics::fast) terms = plan_adapters.of(model->config, adapters);
      planned = terms != nullptr;
    }
    // A session has put an adapter's virtual tokens into its cache.
    const bool prompted = cache == nullptr && virtual_tokens() > 0;
    const PackedBatch longer = prompted ? with_virtual_tokens(batch, *adapters) : PackedBatch();
    const PackedBatch& rows = prompted ? longer : batch;
    at::Tensor logits = planned ? model->plan->forward(rows, *cache, terms.get())
                                : model->decoder.forward(rows, cache, heard, arithmetic(), on_device.graphs);
    if (logits.defined() && !on_device.draws.empty()) {
      const std::vector<std::int64_t> drawn = ops::draw_on_device(logits, on_device.draws);
      if (std::find(drawn.begin(), drawn.end(), -1) == drawn.end()) return index_tensor(drawn);
      if (all_finite(logits)) throw Error(ErrorKind::numeric, "every token is forbidden", {.field = "logits"});
    }
    if (logits.defined() && cache != nullptr) logits = downloaded(logits);  // whoever draws from them is there
    if (logits.defined() && !logits.requires_grad() && !all_finite(logits)) {
      report_not_finite(*model, rows, cache, hooks, arithmetic(), planned, terms.get());
    }
    return logits;
  });
}

CausalLM::CausalLM(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
CausalLM::CausalLM(CausalLM&&) noexcept = default;
CausalLM& CausalLM::operator=(CausalLM&&) noexcept = default;
CausalLM::~CausalLM() = default;

std::shared_ptr<CausalLM::Impl> load_impl(const std::string& path, const LoadOptions& options,
                                          const std::function<void(const Checkpoint&, LoadedConfig&)>& adjust) {
  const at::Device device = device_of(options);
  check_kernels();
  check(options.quantization);
  return guarded([&] {
    const Checkpoint checkpoint = open_checkpoint(path);
    LoadedConfig loaded = load_config(checkpoint);
    adjust(checkpoint, loaded);
    const at::ScalarType type = weight_type(checkpoint, options);
    if (options.numerics == Numerics::exact && !Plan::has_steps(loaded.config)) {
      throw Error(ErrorKind::unsupported, "our kernels don't know this model's ALiBi",
                  {.file = path, .field = "numerics", .found = "exact"});
    }
    DecoderWeights weights = load_weights(checkpoint, loaded, type);
    quantize_at_load(weights, options.quantization, type);
    const bool classifier = loaded.config.sequence_head.has_value();
    auto impl = std::make_shared<CausalLM::Impl>();
    impl->model = std::make_shared<Model>(*loaded.architecture, std::move(loaded.config), std::move(weights), type,
                                          path, options.numerics);
    Model& model = *impl->model;
    model.packed = packed_origin(checkpoint);
    if (options.dtype == Dtype::automatic && !classifier && device.is_cpu()) {
      model.plan = Plan::compile(model.config, model.weights, options.numerics);
    }
    if (!model.plan) {
      // Plans write tokens alone, on the CPU: others' blocks are made dense for one product, as in training.
      const bool keep_blocks = (classifier || !device.is_cpu()) && options.dtype == Dtype::automatic;
      for (const ParameterSpec& spec : model.weights.specs()) {
        const Weight& weight = model.weights.weight(spec);
        if (!is_bitsandbytes(weight.format()) && !(keep_blocks && is_quantized(weight))) weight.tensor();
      }
    }
    model.weights.move_to(device);
    return impl;
  });
}

CausalLM CausalLM::from_pretrained(const std::string& path, const LoadOptions& options) {
  return CausalLM(load_impl(path, options, [&](const Checkpoint&, const LoadedConfig& loaded) {
    if (!loaded.config.sequence_head) return;
    throw Error(ErrorKind::usage, "the model has a head over sequences, not over the vocabulary",
                {.file = path, .field = "architectures", .expected = "SequenceClassifier::from_pretrained"});
  }));
}

CausalLM CausalLM::clone() const {
  return guarded([&] {
    const Model& from = *impl_->model;
    DecoderWeights weights(from.weights.specs(), from.config);
    for (const ParameterSpec& spec : weights.specs()) {
      const at::Tensor& source = from.weights.weight(spec).tensor();
      weights.weight(spec) =
          Weight::dense(spec.name, source.detach().clone().set_requires_grad(source.requires_grad()), spec.transposed);
    }
    auto impl = std::make_shared<Impl>();
    impl->model = std::make_shared<Model>(*from.architecture, from.config, std::move(weights), from.type, from.origin,
                                          from.numerics);
    return CausalLM(std::move(impl));
  });
}

CausalLM CausalLM::share() const {
  auto impl = std::make_shared<Impl>();
  impl->model = impl_->model;
  return CausalLM(std::move(impl));
}

const ModelConfig& CausalLM::config() const { return impl_->model->config; }

Dtype CausalLM::dtype() const { return to_dtype(impl_->model->type); }

Numerics CausalLM::numerics() const { return impl_->model->numerics; }

Device CausalLM::device() const {
  const at::Device device = impl_->model->device();
  return device.is_cpu() ? Device{} : Device{DeviceKind::cuda, device.index()};
}

MemoryAccount CausalLM::memory() const {
  MemoryAccount account;
  for (const ParameterSpec& spec : impl_->model->weights.specs()) {
    const Weight& weight = impl_->model->weights.weight(spec);
    // What a plan uses of the file it says itself.
    if (impl_->model->plan && weight.is_mapped()) continue;
    const std::size_t blocks = impl_->model->plan ? 0 : block_bytes(weight);
    const bool in_file = weight.is_mapped() || (blocks > 0 && weight.device().is_cpu());
    (in_file ? account.mapped : account.weights) += weight.dense_bytes() + blocks;
    account.read_per_token += read_for_token(config(), spec, weight.dense_bytes() + blocks);
  }
  if (impl_->model->plan) {
    account.weights += impl_->model->plan->bytes();
    account.read_per_token += impl_->model->plan->bytes_per_token();
    account.mapped += impl_->model->plan->mapped_bytes();
  }
  return account;
}

at::Tensor CausalLM::forward(const at::Tensor& input_ids, const at::Tensor& attention_mask) const {
  check_input(input_ids, attention_mask);
  return guarded([&] {
    std::vector<std::int64_t> places;
    const PackedBatch batch = pack(config(), input_ids, attention_mask, places);
    const std::int64_t rows = input_ids.size(0);
    const std::int64_t length = input_ids.size(1);
    if (batch.ids.empty()) {
      return at::_ops::zeros::call({rows, length, config().vocab_size}, at::kFloat, {}, {}, {});
    }
    const at::Tensor packed = impl_->forward(batch, nullptr);
    if (static_cast<std::int64_t>(places.size()) == rows * length) return packed.view({rows, length, -1});
    const at::Tensor index = index_tensor(places, packed.device());
    const at::Tensor padded = packed.new_zeros({rows * length, packed.size(1)}).index_copy(0, index, packed);
    return padded.view({rows, length, -1});
  });
}

at::Tensor CausalLM::forward(const at::Tensor& input_ids) const { return forward(input_ids, at::Tensor{}); }

std::vector<std::pair<std::string, at::Tensor>> CausalLM::named_parameters() const {
  const ModelGate::Writing writing(impl_->model->gate, "handing out parameters");
  impl_->model->plan.reset();
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  for (const ParameterSpec& spec : impl_->model->weights.specs()) {
    parameters.emplace_back(spec.name, impl_->model->weights.weight(spec).materialize());
  }
  return parameters;
}

at::Tensor CausalLM::parameter(std::string_view name) const {
  const ModelGate::Writing writing(impl_->model->gate, "handing out a parameter");
  impl_->model->plan.reset();
  if (Weight* weight = impl_->model->weights.find(name)) return weight->materialize();
  if (at::Tensor part = impl_->model->weights.find_part(name); part.defined()) return part;
  throw Error(ErrorKind::not_found, "no such parameter", {.field = std::string(name)});
}

void CausalLM::set_requires_grad(bool requires_grad) {
  const ModelGate::Writing writing(impl_->model->gate, "changing requires_grad");
  impl_->model->plan.reset();
  guarded([&] {
    for (const ParameterSpec& spec : impl_->model->weights.specs()) {
      Weight& weight = impl_->model->weights.weight(spec);
      (requires_grad ? weight.own() : weight.materialize()).set_requires_grad(requires_grad);
    }
  });
}

HookHandle CausalLM::add_hook(HookSite site, Hook hook) {
  const auto layers = static_cast<std::int64_t>(config().layers.size());
  if (!hook) throw Error(ErrorKind::usage, "a hook must be callable", {.field = std::string(to_string(site.point))});
  if (site.layer < -1 || site.layer >= (is_per_layer(site.point) ? layers : 0)) {
    throw Error(ErrorKind::range, "no such layer at this point",
                {.field = std::string(to_string(site.point)),
                 .expected = is_per_layer(site.point) ? "-1 to " + std::to_string(layers - 1) : "-1",
                 .found = std::to_string(site.layer)});
  }
  const ModelGate::Writing writing(impl_->gate, "adding a hook");
  return impl_->hooks.add(site, std::move(hook));
}

void CausalLM::remove_hook(HookHandle handle) {
  const ModelGate::Writing writing(impl_->gate, "removing a hook");
  if (!impl_->hooks.remove(handle)) {
    throw Error(ErrorKind::not_found, "no such hook", {.field = "handle", .found = std::to_string(handle)});
  }
}

void CausalLM::save_pretrained(const std::string& path, const SaveOptions& options) const {
  const ModelGate::Reading reading(impl_->model->gate);
  guarded(
      [&] { path.ends_with(".gguf") ? save_gguf(*impl_->model, path) : save_folder(*impl_->model, path, options); });
}

}  // namespace powerhouse
