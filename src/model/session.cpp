// Session: the cache's sequences. Its passes are in session_pass.cpp.
#include "powerhouse/session.h"

#include <algorithm>

#include "model/api_guard.h"
#include "model/session_file.h"
#include "model/session_impl.h"
#include "ops/device_sampling.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

std::vector<KvCache::LayerShape> cache_layers(const ModelConfig& config) {
  std::vector<KvCache::LayerShape> layers;
  for (const Block& block : config.layers) {
    layers.push_back({block.attention.num_key_value_heads, block.attention.head_dim});
  }
  return layers;
}

BlockFormat cache_format(KvType type, const CausalLM& model) {
  if (model.numerics() == Numerics::exact && type != KvType::automatic && type != KvType::f32) {
    throw Error(ErrorKind::unsupported, "exact numerics keep keys and values in float32",
                {.field = "kv_type", .expected = "auto or f32", .found = std::string(to_string(type))});
  }
  switch (type) {
    case KvType::automatic: break;
    case KvType::f32: return BlockFormat::f32;
    case KvType::bf16: return BlockFormat::bf16;
    case KvType::f16: return BlockFormat::f16;
    case KvType::q8_0: return BlockFormat::q8_0;
    case KvType::q5_1: return BlockFormat::q5_1;
    case KvType::q5_0: return BlockFormat::q5_0;
    case KvType::q4_1: return BlockFormat::q4_1;
    case KvType::q4_0: return BlockFormat::q4_0;
    case KvType::iq4_nl: return BlockFormat::iq4_nl;
  }
  const bool in_f16 = model.impl().model->plan && model.dtype() != Dtype::f32;
  return in_f16 ? BlockFormat::f16 : to_block_format(to_scalar_type(model.dtype()));
}

KvCache::Formats cache_formats(const SessionOptions& options, const CausalLM& model) {
  return {cache_format(options.kv_type, model), cache_format(options.value_type.value_or(options.kv_type), model)};
}

void check_layers(const ModelConfig& config, const PassOptions& how, LogitsOf logits) {
  const auto layers = static_cast<std::int64_t>(config.layers.size());
  const std::int64_t run = how.layers == 0 ? layers : how.layers;
  if (run < 1 || run > layers) {
    throw Error(ErrorKind::range, "a pass of no so many layers",
                {.field = "layers", .expected = "1 to " + std::to_string(layers), .found = std::to_string(how.layers)});
  }
  for (const std::int64_t layer : how.early) {
    if (layer >= 0 && layer < run) continue;
    throw Error(ErrorKind::range, "no early layer",
                {.field = "early", .expected = "0 to " + std::to_string(run - 1), .found = std::to_string(layer)});
  }
  if (how.early.empty()) return;
  if (config.embedding_size > 0) {
    throw Error(ErrorKind::unsupported, "the head does not fit what early layers give", {.field = "early"});
  }
  if (logits != LogitsOf::last) {
    throw Error(ErrorKind::usage, "early layers give logits of the last token alone", {.field = "logits"});
  }
}

}  // namespace

Session::Session(const CausalLM& model, const SessionOptions& options) {
  check_vocabulary_head(model.config());
  if (options.page_tokens < 1 || options.page_tokens > 4096) {
    throw Error(ErrorKind::range, "page size out of range",
                {.field = "page_tokens", .expected = "1 to 4096", .found = std::to_string(options.page_tokens)});
  }
  if (options.prefill_chunk < 1) {
    throw Error(ErrorKind::range, "a pass needs rows",
                {.field = "prefill_chunk", .expected = "at least 1", .found = std::to_string(options.prefill_chunk)});
  }
  const at::Device device = model.impl().model->device();
  impl_ = std::make_unique<Impl>(
      Impl{CausalLM(model.impl_), options,
           KvCache(cache_layers(model.config()), cache_formats(options, model), options.page_tokens, device),
           SequenceRecords(model.config()), VirtualTokens(model.impl()),
           options.cuda_graphs && DecodeGraphs::wanted(device) ? std::make_unique<DecodeGraphs>(device) : nullptr});
}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

SequenceId Session::create() {
  const auto reading = impl_->reading();
  return guarded([&] {
    const SequenceId sequence = impl_->cache.create();
    try {
      impl_->virtual_tokens.write(impl_->model.impl(), impl_->cache, sequence);
    } catch (...) {
      impl_->drop(sequence);
      throw;
    }
    return sequence;
  });
}
SequenceId Session::fork(SequenceId sequence) {
  return guarded([&] {
    const SequenceId copy = impl_->cache.fork(sequence);
    try {
      impl_->records.fork(sequence, copy);
    } catch (...) {
      impl_->drop(copy);
      throw;
    }
    return copy;
  });
}
void Session::truncate(SequenceId sequence, std::int64_t length) {
  impl_->cache.truncate(sequence, length + impl_->virtual_tokens.count());
  impl_->records.truncate(sequence, length);
}
void Session::remove(SequenceId sequence) { impl_->drop(sequence); }
void Session::replace(SequenceId sequence, SequenceId by) {
  impl_->cache.swap(sequence, by);
  impl_->records.swap(sequence, by);
  impl_->drop(by);
}
std::int64_t Session::length(SequenceId sequence) const {
  return impl_->cache.length(sequence) - impl_->virtual_tokens.count();
}
std::int64_t Session::room(SequenceId sequence) const {
  return longest_sequence(impl_->model.config()) - impl_->cache.length(sequence);
}
std::span<const std::int64_t> Session::tokens(SequenceId sequence) const {
  impl_->cache.length(sequence);  // whether there is one
  return impl_->records.at(sequence).tokens;
}

std::int64_t Session::keep_prefix(SequenceId sequence, std::span<const std::int64_t> ids) {
  const auto past = tokens(sequence);
  const auto same = std::mismatch(past.begin(), past.end(), ids.begin(), ids.end());
  const std::int64_t kept = std::max<std::int64_t>(0, std::min(same.second - ids.begin(), std::ssize(ids) - 1));
  truncate(sequence, kept);
  return kept;
}

void Session::save(SequenceId sequence, const std::string& path) const {
  tokens(sequence);
  impl_->virtual_tokens.check_none("saving a sequence");
  guarded([&] { save_sequence(path, impl_->model, impl_->cache, sequence, impl_->records.at(sequence)); });
}

SequenceId Session::restore(const std::string& path) {
  impl_->virtual_tokens.check_none("restoring a sequence");
  return guarded([&] { return restore_sequence(path, impl_->model, impl_->cache, impl_->records); });
}

at::Tensor Session::forward(SequenceId sequence, std::span<const std::int64_t> ids, LogitsOf logits,
                            const std::stop_token& cancel) {
  const SequenceInput input{sequence, ids, logits};
  return forward(std::span(&input, 1), cancel);
}

at::Tensor Session::forward(SequenceId sequence, std::span<const std::int64_t> ids, LogitsOf logits,
                            const PassOptions& options, const std::stop_token& cancel) {
  const SequenceInput input{sequence, ids, logits};
  return forward({&input, 1}, options, cancel);
}

at::Tensor Session::forward(std::span<const SequenceInput> batch, const PassOptions& options,
                            const std::stop_token& cancel) {
  if (!options.early.empty() && batch.size() > 1) {
    throw Error(ErrorKind::usage, "early layers are those of one sequence",
                {.field = "early", .expected = "1 sequence", .found = std::to_string(batch.size())});
  }
  for (const SequenceInput& input : batch) check_layers(impl_->model.config(), options, input.logits);
  return impl_->forward(batch, {.how = options}, cancel);
}

at::Tensor Session::forward(std::span<const SequenceInput> batch, const std::stop_token& cancel) {
  return impl_->forward(batch, {}, cancel);
}

at::Tensor Session::forward_with_hidden(std::span<const SequenceInput> batch, at::Tensor& hidden,
                                        const std::stop_token& cancel) {
  std::vector<at::Tensor> parts;
  const auto stop_watching = [](Impl* impl) { impl->hidden = nullptr; };
  const std::unique_ptr<Impl, decltype(stop_watching)> watching(impl_.get(), stop_watching);
  watching->hidden = &parts;
  at::Tensor logits = impl_->forward(batch, {}, cancel);
  hidden = parts.empty() ? at::Tensor() : concatenate(parts, 0);
  return logits;
}

std::vector<std::int64_t> Session::draw(std::span<const SequenceInput> batch, std::span<const TokenDraw> draws,
                                        const std::stop_token& cancel) {
  if (!can_draw()) {
    throw Error(ErrorKind::unsupported, "tokens are drawn from logits on the CPU",
                {.field = "device", .found = impl_->cache.device().str()});
  }
  if (draws.size() != batch.size()) {
    throw Error(ErrorKind::usage, "each sequence needs a rule for its draw",
                {.field = "draws", .expected = std::to_string(batch.size()), .found = std::to_string(draws.size())});
  }
  const at::Tensor tokens = impl_->forward(batch, {.draws = draws}, cancel);
  if (!tokens.defined()) return {};
  const auto* const begin = tokens.const_data_ptr<std::int64_t>();
  return {begin, begin + tokens.numel()};
}

bool Session::can_draw() const { return ops::device_draws(impl_->cache.device(), impl_->model.config().vocab_size); }

std::size_t Session::cache_bytes() const { return impl_->cache.bytes(); }
std::size_t Session::cache_bytes_per_token() const { return impl_->cache.bytes_per_token(); }
const CausalLM& Session::model() const { return impl_->model; }

}  // namespace powerhouse
