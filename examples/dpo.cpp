// Direct Preference Optimization: the model with an adapter learns to prefer one answer to another, measured against
// itself without the adapter.
//
//     python3 examples/data/trivia_pairs.py pairs.jsonl
//     dpo SmolLM2-135M-Instruct.Q4_1.gguf pairs.jsonl adapter/
#include <powerhouse/powerhouse.h>
#include <iostream>

namespace {

void print(const char* when, const powerhouse::Evaluation& evaluation) {
  std::cout << when << ": loss " << evaluation.eval_loss;
  for (const auto& [name, value] : evaluation.metrics) {
    if (name.starts_with("rewards/")) std::cout << ", " << name << " " << value;
  }
  std::cout << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: dpo MODEL PAIRS.jsonl ADAPTER\n";
    return 2;
  }
  try {
    auto model = powerhouse::CausalLM::from_pretrained(argv[1], {.dtype = powerhouse::Dtype::bf16});
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    const auto data = powerhouse::PreferenceDataset::open(tokenizer, {{.path = argv[2]}}, {.val_set_size = 0.2});
    std::cout << data.report().text() << "\n";

    model.add_adapter("dpo", {.rank = 16, .alpha = 32, .target_modules = {"all-linear"}});
    const powerhouse::TrainingOptions options{.learning_rate = 5e-5, .epochs = 2, .micro_batch_size = 4};
    powerhouse::Trainer trainer(model, data, powerhouse::DpoOptions{.beta = 0.1}, options);
    print("before", trainer.evaluate());
    trainer.train();
    print("after", trainer.evaluate());
    model.save_adapter("dpo", argv[3]);
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
