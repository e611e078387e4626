// KTO: each answer is good or bad by itself; here the halves of pairs. As many of both are not needed.
//
//     python3 examples/data/trivia_pairs.py pairs.jsonl
//     kto SmolLM2-135M-Instruct.Q4_1.gguf pairs.jsonl adapter/
#include <powerhouse/powerhouse.h>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: kto MODEL DATA.jsonl ADAPTER\n";
    return 2;
  }
  try {
    auto model = powerhouse::CausalLM::from_pretrained(argv[1], {.dtype = powerhouse::Dtype::bf16});
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    // Rows of prompt, completion and label are taken as they are, pairs apart.
    const auto data =
        powerhouse::PreferenceDataset::open(tokenizer, {{.path = argv[2]}}, {.unpaired = true, .val_set_size = 0.2});
    std::cout << data.train().size() << " completions to train on, " << data.validation().size() << " held back\n";

    model.add_adapter("kto", {.rank = 16, .alpha = 32, .target_modules = {"all-linear"}});
    // The divergence from the reference is estimated within a micro batch: the larger, the better.
    const powerhouse::TrainingOptions options{.learning_rate = 5e-5, .epochs = 2, .micro_batch_size = 8};
    powerhouse::Trainer trainer(model, data, powerhouse::KtoOptions{.beta = 0.1}, options);
    for (const char* when : {"before", "after"}) {
      if (std::string_view(when) == "after") trainer.train();
      const powerhouse::Evaluation evaluation = trainer.evaluate();
      std::cout << when << ": loss " << evaluation.eval_loss;
      for (const auto& [name, value] : evaluation.metrics) std::cout << ", " << name << " " << value;
      std::cout << "\n";
    }
    model.save_adapter("kto", argv[3]);
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
