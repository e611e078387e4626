// Session: the cache's sequences, and passes in pieces that bound memory.
#include "powerhouse/session.h"

#include <c10/core/GradMode.h>

#include <algorithm>

#include "model/api_guard.h"
#include "model/cache_reservation.h"
#include "model/causal_lm_impl.h"
#include "model/decode_graphs.h"
#include "model/kv_cache.h"
#include "model/sequence_records.h"
#include "model/session_file.h"
#include "model/virtual_tokens.h"
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

// What comes of a pass.
struct Wanted {
  std::span<const TokenDraw> draws{};  // one for each of the batch, or none: then logits are what is wanted
  PassOptions how{};
};

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

struct Session::Impl {
  CausalLM model;  // a handle of its own: the caller's may move or end
  SessionOptions options;
  KvCache cache;
  SequenceRecords records;
  VirtualTokens virtual_tokens;               // of the model's adapter, in the cache before each sequence
  std::unique_ptr<DecodeGraphs> graphs;       // on a device; null: none are wanted
  std::vector<at::Tensor>* hidden = nullptr;  // what forward_with_hidden is about to return, a part each pass

  ModelGate::Reading reading() const { return ModelGate::Reading(model.impl().gate); }
  void check(std::span<const SequenceInput> batch) const;
  // The next pieces of inputs, in the batch's order: each of prefill_chunk rows, or what is left of the input.
  at::Tensor pass(std::span<const SequenceInput> batch, std::vector<std::size_t>& done,
                  std::span<const std::int64_t> rope_lengths, const Wanted& wanted);
  // All passes, for sequences whose cache is of the regime they need; `rope_lengths` says of which.
  at::Tensor run(std::span<const SequenceInput> batch, std::span<const std::int64_t> rope_lengths, const Wanted& wanted,
                 const std::stop_token& cancel);
  std::int64_t rope_length(const SequenceInput& input) const {
    const std::int64_t total = cache.length(input.sequence) + static_cast<std::int64_t>(input.ids.size());
    return records.wanted(input.sequence, total);
  }
  // The same for sequences of which some have outgrown their regime: those are computed from their first token.
  at::Tensor run_again(std::span<const SequenceInput> batch, const Wanted& wanted, const std::stop_token& cancel);
  at::Tensor forward(std::span<const SequenceInput> batch, const Wanted& wanted, const std::stop_token& cancel);
  void drop(SequenceId sequence) {
    cache.remove(sequence);
    records.remove(sequence);
  }
};

void Session::Impl::check(std::span<const SequenceInput> batch) const {
  virtual_tokens.check_same(model.impl());
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const SequenceInput& input = batch[i];
    const std::int64_t before = cache.length(input.sequence);
    if (input.ids.empty()) throw Error(ErrorKind::usage, "a pass needs at least one token", {.field = "ids"});
    check_ids(model.config(), input.ids);
    check_length(model.config(), before + static_cast<std::int64_t>(input.ids.size()), virtual_tokens.count());
    for (const SequenceInput& other : batch.first(i)) {
      if (other.sequence == input.sequence) {
        throw Error(ErrorKind::usage, "a sequence stands twice in one batch",
                    {.field = "sequence", .found = std::to_string(input.sequence)});
      }
    }
  }
}

at::Tensor Session::Impl::pass(std::span<const SequenceInput> batch, std::vector<std::size_t>& done,
                               std::span<const std::int64_t> rope_lengths, const Wanted& wanted) {
  PackedBatch packed;
  packed.singly = wanted.how.singly;
  packed.layers = wanted.how.layers;
  packed.early.assign(wanted.how.early.begin(), wanted.how.early.end());
  std::vector<TokenDraw> drawn;  // of the rows of logits
  CacheReservation reservation(cache);
  const auto chunk = static_cast<std::size_t>(options.prefill_chunk);
  std::size_t room = chunk;
  bool whole = true;  // all inputs before are done, so that rows of logits keep the batch's order
  for (std::size_t i = 0; i < batch.size() && whole; ++i) {
    const SequenceInput& input = batch[i];
    const std::size_t rows = std::min(input.ids.size() - done[i], chunk);
    if (rows == 0) continue;
    // A piece is never cut to the room that others leave: how a row is computed must not depend on who is beside it.
    // Single rows need no room, so that decoding never costs a pass of its own.
    if (rows > 1) {
      if (rows > room) break;
      room -= rows;
    }
    const auto first = static_cast<std::int64_t>(packed.ids.size());
    reservation.take(input.sequence, static_cast<std::int64_t>(rows));
    packed.sequences.push_back(input.sequence);
    packed.add(input.ids.subspan(done[i], rows), cache.length(input.sequence), rope_lengths[i]);
    done[i] += rows;
    whole = done[i] == input.ids.size();
    const auto last = static_cast<std::int64_t>(packed.ids.size()) - 1;
    if (!wanted.draws.empty()) {
      if (!whole) continue;
      packed.logits_rows.push_back(last);
      drawn.push_back(wanted.draws[i]);
    } else if (input.logits == LogitsOf::all) {
      for (std::int64_t row = first; row <= last; ++row) packed.logits_rows.push_back(row);
    } else if (input.logits == LogitsOf::last && whole) {
      packed.logits_rows.push_back(last);
    }
  }
  at::Tensor rows;
  at::Tensor logits = model.impl().forward(
      packed, &cache, {.graphs = graphs.get(), .draws = drawn, .hidden = hidden == nullptr ? nullptr : &rows});
  reservation.commit();
  if (rows.defined()) hidden->push_back(std::move(rows));
  return logits;
}

at::Tensor Session::Impl::run(std::span<const SequenceInput> batch, std::span<const std::int64_t> rope_lengths,
                              const Wanted& wanted, const std::stop_token& cancel) {
  std::vector<std::int64_t> before;
  for (const SequenceInput& input : batch) before.push_back(cache.length(input.sequence));
  try {
    std::vector<std::size_t> done(batch.size(), 0);
    std::vector<at::Tensor> parts;
    const auto unfinished = [&] {
      for (std::size_t i = 0; i < batch.size(); ++i) {
        if (done[i] < batch[i].ids.size()) return true;
      }
      return false;
    };
    while (unfinished()) {
      if (cancel.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled between passes");
      if (at::Tensor logits = pass(batch, done, rope_lengths, wanted); logits.defined())
        parts.push_back(std::move(logits));
    }
    for (std::size_t i = 0; i < batch.size(); ++i) records.append(batch[i].sequence, batch[i].ids, rope_lengths[i]);
    if (parts.empty()) return {};
    return parts.size() == 1 ? parts[0] : concatenate(parts, 0);
  } catch (...) {
    for (std::size_t i = 0; i < before.size(); ++i) {
      cache.truncate(batch[i].sequence, before[i]);
      records.truncate(batch[i].sequence, before[i] - virtual_tokens.count());
    }
    throw;
  }
}

at::Tensor Session::Impl::run_again(std::span<const SequenceInput> batch, const Wanted& wanted,
                                    const std::stop_token& cancel) {
  virtual_tokens.check_none("RoPE that depends on the length");
  std::vector<SequenceInput> inputs(batch.begin(), batch.end());
  std::vector<std::pair<SequenceId, SequenceId>> replaced;  // old, and computed anew
  try {
    std::vector<std::vector<std::int64_t>> pasts(batch.size());
    std::vector<SequenceInput> again;
    std::vector<std::int64_t> lengths, lengths_again;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const SequenceId old = batch[i].sequence;
      lengths.push_back(rope_length(batch[i]));
      if (!records.outgrown(old, lengths.back())) continue;
      inputs[i].sequence = cache.create();
      replaced.emplace_back(old, inputs[i].sequence);
      pasts[i] = records.at(old).tokens;
      again.push_back({.sequence = inputs[i].sequence, .ids = pasts[i], .logits = LogitsOf::none});
      lengths_again.push_back(lengths.back());
    }
    run(again, lengths_again, {}, cancel);
    at::Tensor logits = run(inputs, lengths, wanted, cancel);
    for (const auto& [old, fresh] : replaced) {
      cache.swap(old, fresh);
      records.swap(old, fresh);
      drop(fresh);
    }
    return logits;
  } catch (...) {
    for (const auto& [old, fresh] : replaced) drop(fresh);
    throw;
  }
}

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

at::Tensor Session::Impl::forward(std::span<const SequenceInput> batch, const Wanted& wanted,
                                  const std::stop_token& cancel) {
  const auto reading_model = reading();  // over all passes: they must see the same adapters
  check(batch);
  if (batch.empty()) return {};
  const c10::AutoGradMode no_grad(false);
  return guarded([&] {
    std::vector<std::int64_t> lengths;
    bool again = false;
    for (const SequenceInput& input : batch) {
      lengths.push_back(rope_length(input));
      again = again || records.outgrown(input.sequence, lengths.back());
    }
    return again ? run_again(batch, wanted, cancel) : run(batch, lengths, wanted, cancel);
  });
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
