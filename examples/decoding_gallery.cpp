// One prompt, every strategy: a table of what each writes and how long it takes.
//
//     decoding_gallery SmolLM2-135M-Instruct.Q4_1.gguf ["The prompt"]
#include <powerhouse/powerhouse.h>

#include <chrono>
#include <functional>
#include <iomanip>
#include <iostream>
#include <regex>
#include <string>
#include <vector>

namespace {

using powerhouse::GenerationOptions;
using powerhouse::SamplingOptions;

constexpr std::int64_t kTokens = 24;

void show(const std::string& name, const std::function<std::string()>& write) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string text = std::regex_replace(write(), std::regex("\\s+"), " ");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::cout << std::left << std::setw(28) << name << std::right << std::setw(6) << std::fixed << std::setprecision(2)
            << seconds.count() << " s  " << text << "\n"
            << std::flush;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) throw powerhouse::Error(powerhouse::ErrorKind::usage, "usage: decoding_gallery MODEL [PROMPT]");
  const std::string prompt = argc > 2 ? argv[2] : "The three things that a traveller in the desert needs most are";
  const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
  const auto ids = tokenizer.encode(prompt);
  const auto sampled = [&](const SamplingOptions& sampling, GenerationOptions options = {.temperature = 0.8f}) {
    options.max_new_tokens = kTokens;
    options.seed = 1;
    options.sampling = sampling;
    return powerhouse::generate(model, tokenizer, prompt, options).text;
  };
  const GenerationOptions greedy{.max_new_tokens = kTokens};
  const auto beams = [&](powerhouse::BeamSearchOptions options) {
    options.generation.max_new_tokens = kTokens;
    return powerhouse::beam_search(model, tokenizer, prompt, options).front().text;
  };

  std::cout << prompt << " ...\n\n";
  show("greedy", [&] { return powerhouse::generate(model, tokenizer, prompt, greedy).text; });
  show("temperature 0.8", [&] { return sampled({}); });
  show("dynamic temperature", [&] { return sampled({.dynatemp_range = 0.5f}); });
  show("top-k 40", [&] { return sampled({}, {.temperature = 0.8f, .top_k = 40}); });
  show("top-p 0.9", [&] { return sampled({}, {.temperature = 0.8f, .top_p = 0.9f}); });
  show("min-p 0.05", [&] { return sampled({}, {.temperature = 0.8f, .min_p = 0.05f}); });
  show("typical 0.9", [&] { return sampled({.typical_p = 0.9f}); });
  show("epsilon 0.001", [&] { return sampled({.epsilon_cutoff = 0.001f}); });
  show("eta 0.001", [&] { return sampled({.eta_cutoff = 0.001f}); });
  show("top-h 0.4", [&] { return sampled({.top_h = 0.4f}); });
  show("top-n-sigma 1", [&] { return sampled({.top_n_sigma = 1}); });
  show("XTC", [&] { return sampled({.xtc_probability = 0.5f}); });
  show("mirostat 2", [&] { return sampled({.mirostat = 2}); });
  show("DRY", [&] { return sampled({.dry_multiplier = 0.8f}); });
  show("watermark", [&] { return sampled({.watermark = powerhouse::WatermarkOptions{}}); });
  show("guidance 1.5", [&] { return sampled({.guidance_scale = 1.5f}); });
  show("llama.cpp's defaults", [&] {
    GenerationOptions options = powerhouse::llama_cpp_options();
    return sampled(options.sampling, options);
  });
  show("beam search, 4", [&] { return beams({.num_beams = 4}); });
  show("beam sampling, 4", [&] { return beams({.num_beams = 4, .generation = {.temperature = 0.8f, .seed = 1}}); });
  show("diverse beams, 2 x 2", [&] { return beams({.num_beams = 4, .num_beam_groups = 2, .diversity_penalty = 1}); });
  show("constrained beams: \"water\"", [&] {
    return beams({.num_beams = 4, .force_words_ids = {{tokenizer.encode(" water", {.add_special_tokens = false})}}});
  });
  show("contrastive search",
       [&] { return powerhouse::contrastive_search(model, tokenizer, prompt, {.generation = greedy}).text; });
  show("DoLa, high layers", [&] {
    const powerhouse::DolaOptions dola{.layers = powerhouse::dola_layers(model.config(), "high")};
    auto penalized = greedy;
    penalized.repetition_penalty = 1.2f;
    return powerhouse::generate_dola(model, tokenizer, ids, dola, penalized).generation.text;
  });
  show("context-aware", [&] {
    const auto with_context =
        tokenizer.encode("In this desert water is everywhere, but nobody may carry salt. " + prompt);
    return powerhouse::generate_context_aware(model, tokenizer, with_context, ids, {}, greedy).text;
  });
  show("best of 4, the longest", [&] {
    const powerhouse::CompletionRewards longest = [](std::span<const powerhouse::RankedCompletion> all) {
      std::vector<double> rewards;
      for (const auto& one : all) rewards.push_back(static_cast<double>(one.text.size()));
      return rewards;
    };
    return powerhouse::best_of_n(model, tokenizer, ids, longest,
                                 {.generation = {.max_new_tokens = kTokens, .temperature = 0.8f, .seed = 1}})
        .front()
        .text;
  });
  show("prompt lookup (greedy)", [&] {
    const auto drafter = powerhouse::prompt_lookup();
    return powerhouse::generate_speculatively(model, tokenizer, ids, *drafter, {}, greedy).generation.text;
  });
  show("a list by its grammar", [&] {
    auto options = greedy;
    options.constraint = powerhouse::Constraint::from_regex(tokenizer, R"((?: [a-z]+,){2} and [a-z]+\.)");
    return powerhouse::generate(model, tokenizer, prompt, options).text;
  });
} catch (const powerhouse::Error& error) {
  std::cerr << error.what() << "\n";
  return error.kind() == powerhouse::ErrorKind::usage ? 2 : 1;
}
