// Passes of a session, in pieces that bound memory.
#include "model/session_impl.h"

#include <c10/core/GradMode.h>

#include <utility>

#include "model/api_guard.h"
#include "model/cache_reservation.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {

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

}  // namespace powerhouse
