#include "generation/beam_options.h"

#include <algorithm>
#include <cmath>

#include "generation/option_bounds.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

void expect(bool holds, const std::string& field, const std::string& expected, const std::string& found = {}) {
  if (!holds) {
    throw Error(ErrorKind::usage, "option out of bounds", {.field = field, .expected = expected, .found = found});
  }
}

void check_phrases(const std::vector<PhraseAlternatives>& constraints, std::int64_t vocabulary) {
  for (std::size_t c = 0; c < constraints.size(); ++c) {
    const std::string field = "force_words_ids[" + std::to_string(c) + "]";
    expect(!constraints[c].empty(), field, "at least one phrase");
    for (const std::vector<std::int64_t>& phrase : constraints[c]) {
      expect(!phrase.empty(), field, "phrases of at least one token");
      for (const std::int64_t id : phrase) {
        expect(id >= 0 && id < vocabulary, field, "ids of the vocabulary", std::to_string(id));
      }
    }
  }
}

void check_generation(const GenerationOptions& options) {
  check_options(options);
  check_search(options);
  expect(options.max_new_tokens >= 1, "max_new_tokens", "1 or more", std::to_string(options.max_new_tokens));
  for (const auto& [field, stops] :
       {std::pair{"stop", !options.stop.empty()}, std::pair{"stop_regex", !options.stop_regex.empty()},
        std::pair{"stop_token_ids", !options.stop_token_ids.empty()}}) {
    expect(!stops, field, "none: hypotheses end by EOS alone");
  }
  expect(!options.on_token, "on_token", "none: hypotheses are not streamed");
}

// Whether temperature is a sampler, which at 0 cuts all but a beam's first tokens; in transformers' order none is at 0.
bool has_temperature(const SamplingOptions& sampling) {
  if (sampling.samplers.empty()) return sampling.order == SamplerOrder::llama_cpp;
  return std::find(sampling.samplers.begin(), sampling.samplers.end(), "temperature") != sampling.samplers.end();
}

}  // namespace

std::string_view to_string(EarlyStopping when) noexcept {
  switch (when) {
    case EarlyStopping::no: return "false";
    case EarlyStopping::yes: return "true";
    case EarlyStopping::never: return "never";
  }
  return "";
}

EarlyStopping parse_early_stopping(std::string_view text) {
  for (const EarlyStopping when : {EarlyStopping::no, EarlyStopping::yes, EarlyStopping::never}) {
    if (text == to_string(when)) return when;
  }
  throw Error(ErrorKind::usage, "no such rule",
              {.field = "early_stopping", .expected = "false, true or never", .found = std::string(text)});
}

void check_options(const BeamSearchOptions& options, std::int64_t vocabulary) {
  check_generation(options.generation);
  expect(options.num_beams >= 1 && options.num_beams <= 1024, "num_beams", "1 to 1024",
         std::to_string(options.num_beams));
  expect(options.num_return_sequences >= 1 && options.num_return_sequences <= options.num_beams, "num_return_sequences",
         "1 to num_beams", std::to_string(options.num_return_sequences));
  expect(std::isfinite(options.length_penalty), "length_penalty", "a finite number");
  expect(options.num_beam_groups >= 1 && options.num_beams % options.num_beam_groups == 0, "num_beam_groups",
         "a divisor of num_beams", std::to_string(options.num_beam_groups));
  expect(std::isfinite(options.diversity_penalty) && options.diversity_penalty >= 0, "diversity_penalty", "0 or more",
         std::to_string(options.diversity_penalty));
  expect(options.diversity_penalty == 0 || options.num_beam_groups > 1, "diversity_penalty",
         "0 where there is one group of beams", std::to_string(options.diversity_penalty));
  check_phrases(options.force_words_ids, vocabulary);
  const bool samples = options.generation.temperature > 0;
  expect(samples || !has_temperature(options.generation.sampling), "temperature",
         "above 0 with sampler_order llama.cpp or samplers that name it: at 0 it cuts what beams choose from");
  expect(options.num_beam_groups == 1 || !samples, "temperature", "0 with groups of beams");
  expect(options.force_words_ids.empty() || !samples, "temperature", "0 with force_words_ids");
  expect(options.force_words_ids.empty() || options.num_beam_groups == 1, "num_beam_groups", "1 with force_words_ids");
}

}  // namespace powerhouse
