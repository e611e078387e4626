#include "contrast_flags.h"

#include "common.h"

namespace cli {
namespace {

// "low", "high", or a list of layers.
std::vector<std::int64_t> layers_of(const std::string& text, const powerhouse::ModelConfig& config) {
  if (text == "low" || text == "high") return powerhouse::dola_layers(config, text);
  std::string ids = text;
  for (char& c : ids) c = c == ',' ? ' ' : c;
  return parse_ids(ids, "--dola-layers");
}

}  // namespace

void ContrastFlags::add(CLI::App& command) {
  command.add_option("--context", context, "of context-aware: the text before --prompt whose influence is amplified")
      ->check(not_empty());
  command.add_option("--amateur", amateur, "of contrastive-decoding: a weaker model of the same vocabulary")
      ->check(not_empty());
  command.add_option("--dola-layers", dola_layers, "of dola: low, high, or a list of layers (0: the embeddings)")
      ->capture_default_str()
      ->check(not_empty());
  command
      .add_option_function<float>(
          "--contrast-alpha",
          [this](float value) {
            alpha = value;
            alpha_given = true;
          },
          "of context-aware: how much is amplified, 0.5; of contrastive-decoding and dola: tokens below this share of "
          "the best one's probability are forbidden, 0.1")
      ->transform(number(0, kLargest));
  command.add_option("--contrast-tau", tau, "of contrastive-decoding: weight of the amateur's log-probabilities")
      ->capture_default_str()
      ->transform(number(0, kLargest));
}

bool ContrastFlags::is_named(std::string_view strategy) {
  return strategy == "context-aware" || strategy == "contrastive-decoding" || strategy == "dola";
}

void ContrastFlags::check(std::string_view strategy) const {
  const ContrastFlags plain;
  const bool aware = strategy == "context-aware", contrastive = strategy == "contrastive-decoding",
             dola = strategy == "dola";
  if (aware && context.empty()) refuse_flag("there is nothing to contrast with", "--context", "a text");
  if (contrastive && amateur.empty()) refuse_flag("there is nothing to contrast with", "--amateur", "a model");
  if (!aware && !context.empty()) refuse_flag("a flag of another strategy", "--context", "--strategy context-aware");
  if (!contrastive && !amateur.empty()) {
    refuse_flag("a flag of another strategy", "--amateur", "--strategy contrastive-decoding");
  }
  if (!contrastive && tau != plain.tau) {
    refuse_flag("a flag of another strategy", "--contrast-tau", "--strategy contrastive-decoding");
  }
  if (!dola && dola_layers != plain.dola_layers) {
    refuse_flag("a flag of another strategy", "--dola-layers", "--strategy dola");
  }
  if (!is_named(strategy) && alpha_given) {
    refuse_flag("a flag of another strategy", "--contrast-alpha", "context-aware, contrastive-decoding or dola");
  }
}

powerhouse::DolaResult ContrastFlags::run(std::string_view strategy, const powerhouse::CausalLM& model,
                                          const powerhouse::Tokenizer& tokenizer, const std::vector<std::int64_t>& ids,
                                          const std::vector<std::int64_t>& with_context,
                                          const powerhouse::GenerationOptions& options) const {
  if (strategy == "context-aware") {
    powerhouse::ContextAwareOptions contrast;
    if (alpha_given) contrast.alpha = alpha;
    return {.generation = powerhouse::generate_context_aware(model, tokenizer, with_context, ids, contrast, options)};
  }
  if (strategy == "contrastive-decoding") {
    powerhouse::ContrastiveDecodingOptions contrast{.tau = tau};
    if (alpha_given) contrast.alpha = alpha;
    const auto other = powerhouse::CausalLM::from_pretrained(amateur);
    const auto words = powerhouse::Tokenizer::from_pretrained(amateur);
    return {.generation = powerhouse::generate_contrastive(model, tokenizer, {other, words}, ids, contrast, options)};
  }
  powerhouse::DolaOptions contrast{.layers = layers_of(dola_layers, model.config())};
  if (alpha_given) contrast.relative_top = alpha;
  return powerhouse::generate_dola(model, tokenizer, ids, contrast, options);
}

}  // namespace cli
