#include "training/rollouts.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>

#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "powerhouse/tensor_file.h"

namespace powerhouse {
namespace {

constexpr std::string_view kOfCompletions = "completions.", kOfTokens = "tokens.";

std::vector<std::int64_t> integers(const std::map<std::string, at::Tensor>& saved, const std::string& name,
                                   const std::string& path) {
  const auto found = saved.find(name);
  if (found == saved.end() || found->second.scalar_type() != at::kLong || found->second.dim() != 1) {
    throw Error(ErrorKind::format, "damaged rollouts", {.file = path, .field = name});
  }
  const auto* const values = found->second.const_data_ptr<std::int64_t>();
  return {values, values + found->second.size(0)};
}

}  // namespace

at::Tensor RolloutBatch::value(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? at::Tensor() : found->second;
}

std::int64_t Rollouts::tokens() const {
  std::int64_t count = 0;
  for (const PreferenceSequence& sequence : sequences) count += sequence.completion_tokens();
  return count;
}

RolloutBatch Rollouts::batch(std::vector<std::int64_t> chosen) const {
  const auto row = [&](std::int64_t i) { return rows[static_cast<std::size_t>(i)]; };
  std::stable_sort(chosen.begin(), chosen.end(), [&](auto a, auto b) { return row(a) < row(b); });
  RolloutBatch out{.chosen = chosen};
  std::vector<const PreferenceSequence*> siblings;
  for (std::size_t k = 0; k < chosen.size(); ++k) {
    siblings.push_back(&sequences[static_cast<std::size_t>(chosen[k])]);
    if (share_prompts && k + 1 < chosen.size() && row(chosen[k + 1]) == row(chosen[k])) continue;
    out.completions.add_siblings(siblings);
    siblings.clear();
  }
  for (const auto& [name, value] : of_completions) out.values[name] = value.index_select(0, index_tensor(chosen));
  const at::Tensor places = index_tensor(places_of(chosen));
  for (const auto& [name, value] : of_tokens) out.values[name] = value.index_select(0, places);
  return out;
}

std::vector<std::int64_t> Rollouts::places_of(const std::vector<std::int64_t>& chosen) const {
  std::vector<std::int64_t> begins{0}, places;
  for (const PreferenceSequence& sequence : sequences) begins.push_back(begins.back() + sequence.completion_tokens());
  for (const std::int64_t i : chosen) {
    for (std::int64_t at = begins[static_cast<std::size_t>(i)]; at < begins[static_cast<std::size_t>(i) + 1]; ++at) {
      places.push_back(at);
    }
  }
  return places;
}

at::Tensor Rollouts::each_token(std::int64_t batch_size, const std::function<at::Tensor(const TokenBatch&)>& of) const {
  const c10::AutoGradMode no_gradients(false);
  at::Tensor out = empty_tensor({tokens()}, at::kFloat);
  for (std::int64_t first = 0; first < completions(); first += batch_size) {
    std::vector<std::int64_t> some(static_cast<std::size_t>(std::min(batch_size, completions() - first)));
    std::iota(some.begin(), some.end(), first);
    const RolloutBatch one = batch(std::move(some));
    if (one.completions.completion_targets.empty()) continue;  // all of them cut off
    out.index_copy_(0, index_tensor(places_of(one.chosen)), of(one.completions.tokens));
  }
  return out;
}

void Rollouts::save(const std::string& path) const {
  std::vector<std::int64_t> ids, begins{0}, prompts, ends;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    ids.insert(ids.end(), sequences[i].input_ids.begin(), sequences[i].input_ids.end());
    begins.push_back(std::ssize(ids));
    prompts.push_back(sequences[i].prompt_tokens);
    ends.push_back(ended[i] ? 1 : 0);
  }
  std::vector<NamedTensor> tensors{{"ids", index_tensor(ids)},
                                   {"begins", index_tensor(begins)},
                                   {"prompt_tokens", index_tensor(prompts)},
                                   {"ended", index_tensor(ends)},
                                   {"rows", index_tensor(rows)}};
  for (const auto& [name, value] : of_completions) tensors.emplace_back(std::string(kOfCompletions) + name, value);
  for (const auto& [name, value] : of_tokens) tensors.emplace_back(std::string(kOfTokens) + name, value);
  save_safetensors(path, tensors);
}

Rollouts Rollouts::load(const std::string& path) {
  std::map<std::string, at::Tensor> saved;
  for (auto& [name, tensor] : load_safetensors(path)) saved.emplace(name, tensor);
  const auto read = [&](const char* name) { return integers(saved, name, path); };
  const std::vector<std::int64_t> ids = read("ids"), begins = read("begins"), prompts = read("prompt_tokens");
  Rollouts out;
  out.rows = read("rows");
  for (const std::int64_t end : read("ended")) out.ended.push_back(end != 0);
  const std::size_t count = prompts.size();
  const bool whole = begins.size() == count + 1 && out.rows.size() == count && out.ended.size() == count &&
                     begins.front() == 0 && begins.back() == std::ssize(ids) &&
                     std::is_sorted(begins.begin(), begins.end());
  if (!whole) throw Error(ErrorKind::format, "damaged rollouts", {.file = path});
  for (std::size_t i = 0; i < count; ++i) {
    out.sequences.push_back({{ids.begin() + begins[i], ids.begin() + begins[i + 1]}, prompts[i]});
    if (prompts[i] < 1 || out.sequences.back().completion_tokens() < 0)
      throw Error(ErrorKind::format, "damaged rollouts", {.file = path, .field = "prompt_tokens"});
  }
  for (const auto& [name, tensor] : saved) {
    const auto keep = [&](std::string_view prefix, std::map<std::string, at::Tensor>& into, std::int64_t size) {
      if (!name.starts_with(prefix)) return;
      if (tensor.dim() < 1 || tensor.size(0) != size)
        throw Error(ErrorKind::format, "damaged rollouts", {.file = path, .field = name});
      into.emplace(name.substr(prefix.size()), tensor);
    };
    keep(kOfCompletions, out.of_completions, out.completions());
    keep(kOfTokens, out.of_tokens, out.tokens());
  }
  return out;
}

at::Tensor token_log_probs(const CausalLM& model, const Rollouts& rollouts, std::int64_t batch_size,
                           float temperature) {
  return rollouts.each_token(
      batch_size, [&](const TokenBatch& batch) { return model.score(batch, {.temperature = temperature}).log_probs; });
}

}  // namespace powerhouse
