// A small GPT from random weights, on any plain text: its tokenizer is trained first, then the model, and samples show
// how it learns words, then sentences.
//
//     pretrain_from_scratch TEXT OUTPUT [STEPS]
#include <powerhouse/powerhouse.h>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace {

constexpr const char* kEnd = "<|endoftext|>";
constexpr const char* kConfig = R"({
  "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
  "vocab_size": 512, "n_positions": 128, "n_embd": 128, "n_layer": 4, "n_head": 4,
  "layer_norm_epsilon": 1e-5, "bos_token_id": 0, "eos_token_id": 0})";

// A whole number above 0; 0: the text is none.
std::int64_t count_of(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
  return failure == std::errc() && end == text.data() + text.size() ? std::max<std::int64_t>(0, count) : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t steps = argc == 4 ? count_of(argv[3]) : 300;
  if (argc < 3 || argc > 4 || steps == 0) {
    std::cerr << "usage: pretrain_from_scratch TEXT OUTPUT [STEPS]; STEPS is a number above 0\n";
    return 2;
  }
  try {
    const std::string text = argv[1], output = argv[2];
    std::filesystem::create_directories(output);
    powerhouse::train_tokenizer(
        {text},
        {.trainer = powerhouse::BpeTrainerOptions{.vocab_size = 512, .special_tokens = {kEnd}}, .preset = "gpt2"})
        .save(output + "/tokenizer.json");
    std::ofstream(output + "/tokenizer_config.json")
        << R"({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": ")" << kEnd << "\"}\n";
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(output);

    auto config = powerhouse::config_from_json(kConfig);
    config.vocab_size = static_cast<std::int64_t>(tokenizer.vocab_size());  // a short text has fewer tokens to give
    auto model = powerhouse::CausalLM::from_config(config, {.tokenizer = output});
    model.set_requires_grad(true);
    const auto data = powerhouse::Dataset::open(tokenizer, {{.path = text, .format = "text", .type = "completion"}},
                                                {.sequence_len = 128});
    powerhouse::TrainingCallbacks callbacks;
    callbacks.on_step = [&](const powerhouse::TrainingStep& step, powerhouse::TrainingControl&) {
      if (step.step % std::max<std::int64_t>(1, steps / 5) != 0) return;
      const auto sample = powerhouse::generate(model, tokenizer, "The ", {.max_new_tokens = 40, .temperature = 0.7f});
      std::cout << "step " << step.step << ", loss " << step.loss << ": The " << sample.text << "\n\n";
    };
    powerhouse::Trainer trainer(
        model, data,
        {.learning_rate = 1e-3,
         .max_steps = steps,
         .micro_batch_size = 16,
         .optimizer = powerhouse::AdamWOptions{.beta2 = 0.95, .weight_decay = 0.1},
         .schedule = {.kind = powerhouse::ScheduleKind::cosine, .warmup_ratio = 0.05, .min_lr_ratio = 0.1}},
        callbacks);
    trainer.train();
    model.save_pretrained(output);  // config.json, model.safetensors and the tokenizer
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
