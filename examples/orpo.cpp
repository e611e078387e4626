// ORPO: preference and supervised fine-tuning in one loss, without a reference model.
//
//     python3 examples/data/trivia_pairs.py pairs.jsonl
//     orpo SmolLM2-135M-Instruct.Q4_1.gguf pairs.jsonl adapter/
#include <powerhouse/powerhouse.h>
#include <iostream>

namespace {

void ask(const powerhouse::CausalLM& model, const powerhouse::Tokenizer& tokenizer) {
  const char* question = "What is the capital of France?";
  const auto answer = powerhouse::chat(model, tokenizer, {{"user", question}}, {.max_new_tokens = 40});
  std::cout << "> " << question << "\n" << answer.text << "\n\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: orpo MODEL PAIRS.jsonl ADAPTER\n";
    return 2;
  }
  try {
    auto model = powerhouse::CausalLM::from_pretrained(argv[1], {.dtype = powerhouse::Dtype::bf16});
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    const auto data = powerhouse::PreferenceDataset::open(tokenizer, {{.path = argv[2]}}, {.val_set_size = 0.2});
    ask(model, tokenizer);

    model.add_adapter("orpo", {.rank = 16, .alpha = 32, .target_modules = {"all-linear"}});
    powerhouse::TrainingCallbacks callbacks;
    callbacks.on_step = [](const powerhouse::TrainingStep& step, powerhouse::TrainingControl&) {
      if (step.step % 5 != 0) return;
      std::cout << "step " << step.step << ": loss " << step.loss;
      for (const auto& [name, value] : step.metrics) {
        if (name == "nll_loss" || name == "rewards/accuracies") std::cout << ", " << name << " " << value;
      }
      std::cout << "\n";
    };
    const powerhouse::TrainingOptions options{.learning_rate = 2e-4, .epochs = 2, .micro_batch_size = 4};
    powerhouse::Trainer(model, data, powerhouse::OrpoOptions{.beta = 0.1}, options, {}, callbacks).train();

    ask(model, tokenizer);
    model.save_adapter("orpo", argv[3]);
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
