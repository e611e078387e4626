// What a session holds, and its passes.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "model/causal_lm_impl.h"
#include "model/decode_graphs.h"
#include "model/kv_cache.h"
#include "model/sequence_records.h"
#include "model/virtual_tokens.h"
#include "powerhouse/session.h"

namespace powerhouse {

struct Session::Impl {
  // What comes of a pass.
  struct Wanted {
    std::span<const TokenDraw> draws{};  // one for each of the batch, or none: then logits are what is wanted
    PassOptions how{};
  };

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

}  // namespace powerhouse
