#include "generation/sampling_chain.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string>

#include "generation/option_bounds.h"
#include "generation/row_sampler.h"
#include "generation/row_statistics.h"
#include "generation/sampler.h"
#include "generation/sampling_lanes.h"
#include "generation/stopping.h"
#include "generation/typical.h"
#include "generation/warpers.h"
#include "generation/watermark_bias.h"
#include "ops/vocabulary.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

using processors::Ties;

// The model's own logits are finite; what a processor makes of them, or a penalty near zero, may not be.
void check_numbers(std::span<const float> logits) {
  if (logits.empty() || ops::maximum(logits) <= std::numeric_limits<float>::max()) return;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] <= std::numeric_limits<float>::max()) continue;
    throw Error(ErrorKind::numeric, "a processor left a logit that is neither finite nor -infinity",
                {.field = "logits[" + std::to_string(i) + "]", .found = std::to_string(logits[i])});
  }
}

bool samples_as_common(const GenerationOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  return sampling.order == SamplerOrder::hf && sampling.samplers.empty() && sampling.dynatemp_range == 0 &&
         sampling.typical_p == 1 && sampling.epsilon_cutoff == 0 && sampling.eta_cutoff == 0 && sampling.top_h == 0 &&
         sampling.top_n_sigma == 0 && sampling.xtc_probability == 0 && sampling.mirostat == 0 && !sampling.watermark;
}

bool penalizes(const GenerationOptions& options) {
  return options.repetition_penalty != 1.0f || options.sampling.frequency_penalty != 0 ||
         options.sampling.presence_penalty != 0;
}

processors::Penalties penalties(const GenerationOptions& options) {
  return {.repetition = options.repetition_penalty,
          .frequency = options.sampling.frequency_penalty,
          .presence = options.sampling.presence_penalty,
          .last_n = options.sampling.penalty_last_n};
}

processors::Dry dry(const SamplingOptions& sampling, const ChainSetting& setting) {
  processors::Dry found{.multiplier = sampling.dry_multiplier,
                        .base = sampling.dry_base,
                        .allowed_length = sampling.dry_allowed_length,
                        .last_n = sampling.dry_penalty_last_n};
  if (setting.tokenizer != nullptr && !sampling.dry_sequence_breakers.empty()) {
    found.breakers.emplace(*setting.tokenizer, sampling.dry_sequence_breakers);
  }
  return found;
}

constexpr std::string_view kHf[] = {"temperature", "top_n_sigma", "top_h",          "top_k",      "top_p",
                                    "min_p",       "typ_p",       "epsilon_cutoff", "eta_cutoff", "xtc"};
constexpr std::string_view kLlamaCpp[] = {"penalties", "dry", "top_n_sigma", "top_k", "typ_p",          "top_p",
                                          "min_p",     "xtc", "temperature", "top_h", "epsilon_cutoff", "eta_cutoff"};

}  // namespace

std::string_view to_string(SamplerOrder order) noexcept { return order == SamplerOrder::hf ? "hf" : "llama.cpp"; }

SamplerOrder parse_sampler_order(std::string_view text) {
  for (const SamplerOrder order : {SamplerOrder::hf, SamplerOrder::llama_cpp}) {
    if (text == to_string(order)) return order;
  }
  throw Error(ErrorKind::usage, "no such order of samplers",
              {.field = "sampler_order", .expected = "hf or llama.cpp", .found = std::string(text)});
}

GenerationOptions llama_cpp_options() {
  GenerationOptions options{.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f};
  options.sampling.order = SamplerOrder::llama_cpp;
  options.sampling.penalty_last_n = 64;
  return options;
}

ChainSetting chain_setting(const ModelConfig& config, const Tokenizer& tokenizer, const GenerationOptions& options,
                           std::int64_t limit) {
  const auto ends = end_ids(config, tokenizer, options);
  return {
      .vocab_size = config.vocab_size, .eos_ids = {ends.begin(), ends.end()}, .limit = limit, .tokenizer = &tokenizer};
}

bool draws_by_warpers_alone(const GenerationOptions& options) {
  SamplingOptions others = options.sampling;
  others.dry_base = SamplingOptions().dry_base;  // what only qualifies others
  return options.processors.empty() && !options.constraint && options.repetition_penalty == 1.0f &&
         others == SamplingOptions();
}

// ---- the row ----

struct SamplingChain::Row {
  std::span<float> whole;
  std::vector<float> logits{};      // of the tokens that are left, where those are few
  std::vector<std::int64_t> ids{};  // theirs, rising
  bool is_short = false;
  std::int64_t candidates = std::ssize(whole);

  std::span<float> values() { return is_short ? std::span<float>(logits) : whole; }

  std::int64_t left() { return count_left(values()); }

  /// Goes on with what is left as a short row, where that is few.
  void shorten(std::int64_t left) {
    const std::span<const float> row = values();
    if (left > std::ssize(row) / 4) return;
    std::size_t kept = 0;
    if (!is_short) {
      logits.resize(static_cast<std::size_t>(left));
      ids.resize(static_cast<std::size_t>(left));
    }
    ops::for_each_at_least(row, kLowest, [&](std::size_t i) {
      ids[kept] = is_short ? ids[i] : static_cast<std::int64_t>(i);
      logits[kept++] = row[i];
    });
    logits.resize(kept);
    ids.resize(kept);
    is_short = true;
  }

  /// Calls `apply` for the whole row, and keeps a short one short.
  template <typename Apply>
  void on_whole(Apply apply) {
    spread();
    apply(whole);
    for (std::size_t i = 0; i < ids.size(); ++i) logits[i] = whole[static_cast<std::size_t>(ids[i])];
  }

  /// What is left, in the whole row.
  void spread() {
    if (!is_short) return;
    std::fill(whole.begin(), whole.end(), kForbidden);
    for (std::size_t i = 0; i < ids.size(); ++i) whole[static_cast<std::size_t>(ids[i])] = logits[i];
  }
};

// ---- what runs ----

SamplingChain::SamplingChain(const GenerationOptions& options, const ChainSetting& setting)
    : min_tokens_to_keep_(setting.min_tokens_to_keep) {
  check_ids(options, setting.vocab_size);
  add_rules(options, setting);
  const SamplingOptions& sampling = options.sampling;
  const bool hf = sampling.order == SamplerOrder::hf && sampling.samplers.empty();
  greedy_ = hf && options.temperature == 0.0f;
  if (samples_as_common(options) && min_tokens_to_keep_ == 1) {
    common_.temperature = options.temperature;
    common_.top_k = options.top_k;
    common_.top_p = options.top_p;
    common_.min_p = options.min_p;
    return;
  }
  common_.temperature = 1.0f;
  if (!greedy_) add_samplers(options, setting);
  if (sampling.watermark) samplers_.push_back({.watermark = sampling.watermark});
}

void SamplingChain::add_rules(const GenerationOptions& options, const ChainSetting& setting) {
  const SamplingOptions& sampling = options.sampling;
  const auto add = [this](bool wanted, auto processor) {
    if (wanted) rules_.push_back(std::move(processor));
  };
  const bool hf = sampling.order == SamplerOrder::hf && sampling.samplers.empty();
  std::vector<SequenceBias> bad_words;
  for (const auto& word : sampling.bad_words_ids) {
    const bool eos = word.size() == 1 &&
                     std::find(setting.eos_ids.begin(), setting.eos_ids.end(), word.front()) != setting.eos_ids.end();
    if (!eos) bad_words.push_back({.ids = word, .bias = kForbidden});
  }
  add(!sampling.logit_bias.empty(), processors::LogitBias{sampling.logit_bias});
  add(!sampling.sequence_bias.empty(), processors::SequenceBiases{sampling.sequence_bias});
  add(hf && penalizes(options), penalties(options));
  if (hf && sampling.dry_multiplier > 0) add(true, dry(sampling, setting));
  add(sampling.no_repeat_ngram_size > 0, processors::NoRepeatNgram{sampling.no_repeat_ngram_size});
  add(!bad_words.empty(), processors::SequenceBiases{bad_words});
  add(sampling.min_length > 0, processors::MinLength{.length = sampling.min_length, .ids = setting.eos_ids});
  add(sampling.min_new_tokens > 0,
      processors::MinLength{.new_tokens = sampling.min_new_tokens, .ids = setting.eos_ids});
  add(sampling.forced_bos_token_id.has_value(), processors::ForcedBos{sampling.forced_bos_token_id.value_or(0)});
  add(!sampling.forced_eos_token_id.empty(),
      processors::ForcedEos{.limit = setting.limit, .ids = sampling.forced_eos_token_id});
  add(sampling.exponential_decay_length_penalty.has_value(),
      processors::ExponentialDecay{.decay = sampling.exponential_decay_length_penalty.value_or(LengthDecay()),
                                   .ids = setting.eos_ids});
  add(!sampling.suppress_tokens.empty(), processors::SuppressTokens{sampling.suppress_tokens});
  add(!sampling.begin_suppress_tokens.empty(),
      processors::SuppressAtBegin{.ids = sampling.begin_suppress_tokens,
                                  .forced = sampling.forced_bos_token_id.has_value()});
  for (const LogitsProcessor& processor : options.processors) rules_.push_back(processor);
}

void SamplingChain::add_samplers(const GenerationOptions& options, const ChainSetting& setting) {
  const SamplingOptions& sampling = options.sampling;
  if (sampling.mirostat != 0) return add_mirostat(options);
  if (!sampling.samplers.empty()) {
    for (const std::string& name : sampling.samplers) add_sampler(name, options, setting, true);
  } else if (sampling.order == SamplerOrder::llama_cpp) {
    for (const std::string_view name : kLlamaCpp) add_sampler(name, options, setting, true);
  } else {
    for (const std::string_view name : kHf) add_sampler(name, options, setting, false);
  }
}

void SamplingChain::add_mirostat(const GenerationOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  if (options.temperature != 1.0f) samplers_.push_back({.apply = processors::Temperature{options.temperature}});
  samplers_.push_back({.apply = processors::Mirostat(sampling.mirostat, sampling.mirostat_tau, sampling.mirostat_eta),
                       .count = Count::left,
                       .by_id = true});
}

void SamplingChain::add_sampler(std::string_view name, const GenerationOptions& options, const ChainSetting& setting,
                                bool listed) {
  const SamplingOptions& sampling = options.sampling;
  const Ties ties = listed ? Ties::cut : Ties::keep;
  const auto cut = [this](bool wanted, auto processor, bool keeps = true) {
    if (wanted) samplers_.push_back({.apply = std::move(processor), .count = Count::left, .keeps = keeps});
  };
  if (name == "penalties") {
    if (penalizes(options)) samplers_.push_back({.apply = penalties(options), .by_id = true});
  } else if (name == "dry") {
    if (sampling.dry_multiplier > 0) samplers_.push_back({.apply = dry(sampling, setting), .by_id = true});
  } else if (name == "top_n_sigma") {
    if (sampling.top_n_sigma > 0) {
      samplers_.push_back({.apply = processors::TopNSigma{sampling.top_n_sigma}, .forbids = true});
    }
  } else if (name == "top_k") {
    if (options.top_k > 0) {
      samplers_.push_back({.apply = processors::TopK{options.top_k, ties},
                           .count = Count::limited,
                           .limit = options.top_k,
                           .keeps = true});
    }
  } else if (name == "typ_p" || name == "typical_p") {
    const auto typical = [p = sampling.typical_p, ties, kept = min_tokens_to_keep_](std::span<float> logits,
                                                                                    const LogitsContext& /*context*/) {
      apply_typical_p(logits, p, ties, kept);
    };
    cut(sampling.typical_p < 1, typical, /*keeps=*/false);  // it keeps the most typical, not the best
  } else if (name == "top_p") {
    cut(options.top_p < 1, processors::TopP{options.top_p});
  } else if (name == "min_p") {
    cut(options.min_p > 0, processors::MinP{options.min_p});
  } else if (name == "xtc") {
    if (sampling.xtc_probability > 0) {
      samplers_.push_back(
          {.apply = processors::Xtc{sampling.xtc_probability, sampling.xtc_threshold}, .count = Count::less});
    }
  } else if (name == "top_h") {
    cut(sampling.top_h > 0, processors::TopH{sampling.top_h}, /*keeps=*/false);
  } else if (name == "epsilon_cutoff") {
    cut(sampling.epsilon_cutoff > 0, processors::EpsilonCutoff{sampling.epsilon_cutoff});
  } else if (name == "eta_cutoff") {
    cut(sampling.eta_cutoff > 0, processors::EtaCutoff{sampling.eta_cutoff});
  } else if (name == "temperature") {
    if (sampling.dynatemp_range > 0) {
      samplers_.push_back({.dynamic = processors::DynamicTemperature{.temperature = options.temperature,
                                                                     .range = sampling.dynatemp_range,
                                                                     .exponent = sampling.dynatemp_exponent}});
    } else if (options.temperature == 0.0f) {
      cut(true, processors::Temperature{0.0f});
    } else if (options.temperature != 1.0f) {
      samplers_.push_back({.apply = processors::Temperature{options.temperature}});
    }
  } else {
    throw Error(ErrorKind::usage, "no such sampler",
                {.field = "samplers",
                 .expected = "penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature, top_h, "
                             "epsilon_cutoff or eta_cutoff",
                 .found = std::string(name)});
  }
}

void SamplingChain::apply(const Sampler& sampler, std::span<float> logits, const LogitsContext& context) const {
  if (!sampler.keeps || min_tokens_to_keep_ == 1) return sampler.apply(logits, context);
  const std::vector<Candidate> best = ranked_candidates(logits, min_tokens_to_keep_);
  sampler.apply(logits, context);
  for (const Candidate& one : best) logits[static_cast<std::size_t>(one.id)] = one.logit;
}

void SamplingChain::run(Row& row, const LogitsContext& context, ConstraintMatcher* matcher) {
  for (const LogitsProcessor& rule : rules_) rule(row.whole, context);
  if (!rules_.empty()) check_numbers(row.whole);
  if (matcher != nullptr) matcher->mask(row.whole);
  for (const Sampler& sampler : samplers_) {
    const std::int64_t before = sampler.count == Count::less ? row.left() : 0;
    if (sampler.dynamic) {
      processors::DynamicTemperature dynamic = *sampler.dynamic;
      dynamic.candidates = row.candidates;
      dynamic(row.values(), context);
    } else if (sampler.watermark) {
      bias_green(*sampler.watermark, row.values(), row.ids, row.whole.size(), context);
    } else if (sampler.by_id) {
      row.on_whole([&](std::span<float> whole) { sampler.apply(whole, context); });
    } else {
      apply(sampler, row.values(), context);
    }
    if (sampler.count == Count::unchanged && !sampler.forbids) continue;
    const std::int64_t left = row.left();
    if (sampler.count == Count::limited) row.candidates = std::min(row.candidates, sampler.limit);
    if (sampler.count == Count::less) row.candidates -= before - left;
    if (sampler.count == Count::left) row.candidates = left;
    row.shorten(left);
  }
}

std::int64_t SamplingChain::choose(std::span<float> logits, const LogitsContext& context, ConstraintMatcher* matcher) {
  Row row{.whole = logits};
  run(row, context, matcher);
  if (greedy_) return greedy_token(logits);
  const Random random = sampling_random(context.seed, SamplingLane::token);
  const auto place = static_cast<std::uint64_t>(context.new_tokens());
  if (!row.is_short) return sample_row(logits, common_, random, place);
  if (row.ids.empty()) return greedy_token(std::span<const float>());  // says why
  return row.ids[static_cast<std::size_t>(sample_token(row.logits, random, place))];
}

void SamplingChain::process(std::span<float> logits, const LogitsContext& context, ConstraintMatcher* matcher) {
  Row row{.whole = logits};
  run(row, context, matcher);
  row.spread();
  if (!greedy_) apply_warpers(logits, common_);
}

}  // namespace powerhouse
