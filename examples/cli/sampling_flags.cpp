#include "sampling_flags.h"

#include <charconv>
#include <cmath>

#include "common.h"

namespace cli {
namespace {

using powerhouse::GenerationOptions;
using powerhouse::SamplingOptions;

constexpr const char* kTruncation = "Truncation";
constexpr const char* kRepetition = "Against repetition";
constexpr const char* kRules = "Rules about tokens";
constexpr const char* kWatermark = "Watermark";

// A number, or "-inf" for a bias that forbids. Nothing else begins or ends the text.
bool parse_bias(std::string_view text, float& bias) {
  if (text == "-inf") {
    bias = -std::numeric_limits<float>::infinity();
    return true;
  }
  const auto [next, failure] = std::from_chars(text.data(), text.data() + text.size(), bias);
  return failure == std::errc() && next == text.data() + text.size() && std::isfinite(bias);
}

// Calls `take` with each occurrence of a flag, as it stands.
template <typename Take>
CLI::Option* each(CLI::App& command, const char* group, const std::string& name, const std::string& help, Take take) {
  return command
      .add_option_function<std::string>(
          name, [](const std::string&) {}, help)
      ->each(take)
      ->group(group)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

// Ids, or a complaint that names the flag.
std::vector<std::int64_t> ids_of(const std::string& flag, const std::string& text) {
  try {
    auto ids = parse_ids(text);
    if (!ids.empty()) return ids;
  } catch (const powerhouse::Error&) {
  }
  throw CLI::ValidationError(flag, "expected token ids, \"1 2 3\", found " + text);
}

// "1 2 3:-4.5": ids and a bias.
powerhouse::SequenceBias bias_of(const std::string& flag, const std::string& text) {
  const auto colon = text.rfind(':');
  powerhouse::SequenceBias found;
  if (colon == std::string::npos || !parse_bias(std::string_view(text).substr(colon + 1), found.bias)) {
    throw CLI::ValidationError(flag, "expected ids:bias, a number or -inf, found " + text);
  }
  found.ids = ids_of(flag, text.substr(0, colon));
  return found;
}

class Adder {
 public:
  Adder(CLI::App& command, const char* group) : command_(command), group_(group) {}

  template <typename Value>
  Adder& operator()(const char* name, Value& value, const char* help, const CLI::Validator& bounds) {
    command_.add_option(name, value, help)->capture_default_str()->transform(bounds)->group(group_);
    return *this;
  }

 private:
  CLI::App& command_;
  const char* group_;
};

void add_truncation(CLI::App& command, GenerationOptions& options) {
  SamplingOptions& sampling = options.sampling;
  Adder add(command, kTruncation);
  add("--temperature", options.temperature, "0 is greedy", number(0, kLargest));
  add("--dynatemp-range", sampling.dynatemp_range, "temperature +- this, by entropy; 0 is off", number(0, kLargest));
  add("--dynatemp-exp,--dynatemp-exponent", sampling.dynatemp_exponent, "how entropy maps to it", number(0, kLargest));
  add("--top-k", options.top_k, "keep the k most probable tokens; 0 is off", integer(0));
  add("--top-p", options.top_p, "keep the smallest set with this probability", number(0, 1, true));
  add("--min-p", options.min_p, "drop tokens below this share of the best", number(0, 1));
  add("--typical-p", sampling.typical_p, "keep what is closest to the entropy; 1 is off", number(0, 1, true));
  add("--epsilon-cutoff", sampling.epsilon_cutoff, "drop tokens less probable; 0 is off", number(0, 0.999999f));
  add("--eta-cutoff", sampling.eta_cutoff, "the same, by entropy; 0 is off", number(0, 0.999999f));
  add("--top-h", sampling.top_h, "keep this share of the best 100 tokens' entropy; 0 is off", number(0, 1));
  add("--top-n-sigma", sampling.top_n_sigma, "keep logits within n deviations of the best; 0 is off",
      number(0, kLargest));
  add("--xtc-probability", sampling.xtc_probability, "how often the top choices are left out", number(0, 1));
  add("--xtc-threshold", sampling.xtc_threshold, "tokens at least so probable are top choices", number(0, 1));
  add("--mirostat", sampling.mirostat, "1 or 2: hold the surprise, in place of truncation", integer(0, 2));
  add("--mirostat-tau,--mirostat-ent", sampling.mirostat_tau, "that surprise, in bits", number(0, kLargest));
  add("--mirostat-eta,--mirostat-lr", sampling.mirostat_eta, "how fast it is corrected", number(0, kLargest));
}

void add_repetition(CLI::App& command, GenerationOptions& options) {
  SamplingOptions& sampling = options.sampling;
  Adder add(command, kRepetition);
  add("--repetition-penalty,--repeat-penalty", options.repetition_penalty, "1 is none", number(0, kLargest, true));
  add("--frequency-penalty", sampling.frequency_penalty, "for each occurrence", number(-kLargest, kLargest));
  add("--presence-penalty", sampling.presence_penalty, "for any occurrence", number(-kLargest, kLargest));
  add("--penalty-last-n,--repeat-last-n", sampling.penalty_last_n, "tokens that penalties look back; -1 is all",
      integer(-1));
  add("--dry-multiplier", sampling.dry_multiplier, "DRY; 0 is off", number(0, kLargest));
  add("--dry-base", sampling.dry_base, "its growth for each token repeated", number(1, kLargest));
  add("--dry-allowed-length", sampling.dry_allowed_length, "repetitions that it lets pass", integer(0));
  add("--dry-penalty-last-n", sampling.dry_penalty_last_n, "tokens that it looks back; -1 is all", integer(-1));
  add("--no-repeat-ngram-size", sampling.no_repeat_ngram_size, "no n tokens occur twice; 0 is off", integer(0));
  // The first one named replaces the default; "none" is none.
  auto named = std::make_shared<bool>(false);
  each(command, kRepetition, "--dry-sequence-breaker",
       "a text that DRY does not look across, instead of newline, :, \" and *; may be repeated; none",
       [&sampling, named](const std::string& text) {
         if (!*named) sampling.dry_sequence_breakers.clear();
         *named = true;
         if (text != "none") sampling.dry_sequence_breakers.push_back(text);
       })
      ->check(not_empty());
}

void add_rules(CLI::App& command, GenerationOptions& options) {
  SamplingOptions& sampling = options.sampling;
  each(command, kRules, "--logit-bias", "id:bias, -inf forbids; may be repeated", [&sampling](const std::string& text) {
    for (const std::int64_t id : bias_of("--logit-bias", text).ids) {
      sampling.logit_bias.push_back({.id = id, .bias = bias_of("--logit-bias", text).bias});
    }
  });
  each(command, kRules, "--sequence-bias", "\"ids:bias\" of a sequence; may be repeated",
       [&sampling](const std::string& text) { sampling.sequence_bias.push_back(bias_of("--sequence-bias", text)); });
  each(command, kRules, "--bad-words-ids", "ids of a sequence that must not occur; may be repeated",
       [&sampling](const std::string& text) { sampling.bad_words_ids.push_back(ids_of("--bad-words-ids", text)); });
  const auto list = [&command](const char* name, std::vector<std::int64_t>& ids, const char* help) {
    each(command, kRules, name, help, [&ids, flag = std::string(name)](const std::string& text) {
      for (const std::int64_t id : ids_of(flag, text)) ids.push_back(id);
    });
  };
  list("--suppress-tokens", sampling.suppress_tokens, "ids that must not occur");
  list("--begin-suppress-tokens", sampling.begin_suppress_tokens, "ids that must not come first");
  Adder add(command, kRules);
  add("--min-length", sampling.min_length, "no end before so many tokens, prompt included", integer(0));
  add("--min-new-tokens", sampling.min_new_tokens, "no end before so many new tokens", integer(0));
  command.add_option("--forced-bos-token-id", sampling.forced_bos_token_id, "what follows a prompt of one token")
      ->transform(integer(0))
      ->group(kRules);
  list("--forced-eos-token-id", sampling.forced_eos_token_id, "ids of which one comes last");
  each(command, kRules, "--exponential-decay-length-penalty", "\"start factor\": the end gets likelier",
       [&sampling](const std::string& text) {
         const auto blank = text.find(' ');
         powerhouse::LengthDecay decay;
         const char* const end = text.data() + std::min(blank, text.size());
         const auto [next, failure] = std::from_chars(text.data(), end, decay.start);
         if (blank == std::string::npos || failure != std::errc() || next != end || decay.start < 0 ||
             !parse_bias(std::string_view(text).substr(blank + 1), decay.factor) || !(decay.factor > 0)) {
           throw CLI::ValidationError("--exponential-decay-length-penalty",
                                      "expected \"start factor\", an integer and a number above 0, found " + text);
         }
         sampling.exponential_decay_length_penalty = decay;
       });
}

void add_watermark(CLI::App& command, GenerationOptions& options) {
  auto mark = std::make_shared<powerhouse::WatermarkOptions>();
  std::vector<CLI::Option*> settings;
  const auto add = [&](const char* name, auto& value, const char* help, const CLI::Validator& bounds) {
    settings.push_back(
        command.add_option(name, value, help)->capture_default_str()->transform(bounds)->group(kWatermark));
  };
  add("--watermark-ratio", mark->greenlist_ratio, "share of the vocabulary that is preferred", number(0, 1, true));
  add("--watermark-bias", mark->bias, "by how much", number(-kLargest, kLargest));
  add("--watermark-key", mark->hashing_key, "the secret", integer(0));
  add("--watermark-context", mark->context_width, "tokens that decide", integer(1));
  // Last, so that it finds the others set.
  const auto set = [&sampling = options.sampling, mark](const std::string& text) {
    mark->seeding_scheme = powerhouse::parse_watermark_seeding(text);
    sampling.watermark = *mark;
  };
  CLI::Option* const flag =
      command.add_option_function<std::string>("--watermark", set, "mark the text: lefthash or selfhash")
          ->check(CLI::IsMember({"lefthash", "selfhash"}))
          ->group(kWatermark);
  for (CLI::Option* const setting : settings) setting->needs(flag);
}

void add_order(CLI::App& command, GenerationOptions& options) {
  const auto order = [&command, &options](const std::string& text) {
    options.sampling.order = powerhouse::parse_sampler_order(text);
    if (options.sampling.order != powerhouse::SamplerOrder::llama_cpp) return;
    const GenerationOptions defaults = powerhouse::llama_cpp_options();
    const auto take = [&command](const char* flag, auto& value, const auto& otherwise) {
      if (command.count(flag) == 0) value = otherwise;
    };
    take("--temperature", options.temperature, defaults.temperature);
    take("--top-k", options.top_k, defaults.top_k);
    take("--top-p", options.top_p, defaults.top_p);
    take("--min-p", options.min_p, defaults.min_p);
    take("--penalty-last-n", options.sampling.penalty_last_n, defaults.sampling.penalty_last_n);
  };
  command
      .add_option_function<std::string>(
          "--sampler-order", order, "hf, or llama.cpp: its order of samplers, and its defaults for what is not named")
      ->check(CLI::IsMember({"hf", "llama.cpp"}))
      ->group(kTruncation);
  command
      .add_option_function<std::string>(
          "--samplers",
          [&options](const std::string& text) {
            for (std::size_t first = 0; first <= text.size();) {
              const std::size_t end = std::min(text.find_first_of(";,", first), text.size());
              options.sampling.samplers.push_back(text.substr(first, end - first));
              first = end + 1;
            }
          },
          "samplers in the order in which they run, \"top_k;top_p;temperature\"; others do not")
      ->check(not_empty())
      ->group(kTruncation);
}

}  // namespace

void add_sampling(CLI::App& command, GenerationOptions& options) {
  add_truncation(command, options);
  add_order(command, options);
  add_repetition(command, options);
  add_rules(command, options);
  command
      .add_option("--guidance-scale", options.sampling.guidance_scale,
                  "classifier-free guidance, above 1 away from --negative-prompt")
      ->capture_default_str()
      ->transform(number(-kLargest, kLargest))
      ->group(kRules);
  add_watermark(command, options);
}

}  // namespace cli
