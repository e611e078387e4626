// Train a reward model with LoRA on pairs of answers, and let it choose the best of several.
//
//     python3 examples/data/trivia_pairs.py pairs.jsonl
//     reward_model SmolLM2-135M-Instruct.Q4_1.gguf pairs.jsonl adapter/
#include <powerhouse/powerhouse.h>

#include <algorithm>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: reward_model MODEL PAIRS.jsonl ADAPTER\n";
    return 2;
  }
  try {
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    const auto data = powerhouse::PreferenceDataset::open(
        tokenizer, {{.path = argv[2]}}, {.truncation_mode = powerhouse::TruncationMode::drop, .val_set_size = 0.2});
    std::cout << data.report().text() << "\n";

    // A head of one number in the place of the vocabulary's; LoRA trains it along.
    auto judge = powerhouse::SequenceClassifier::from_causal_lm(argv[1], {.pad_token_id = tokenizer.pad_token_id()},
                                                                {.dtype = powerhouse::Dtype::bf16});
    judge.model().add_adapter("reward", {.rank = 16, .alpha = 32, .target_modules = {"all-linear"}});
    powerhouse::Trainer trainer(judge, data, powerhouse::RewardOptions{.center_rewards_coefficient = 0.01},
                                {.learning_rate = 1e-4, .epochs = 2, .micro_batch_size = 8});
    const auto accuracy = [&] {
      const powerhouse::Evaluation held_back = trainer.evaluate();
      const auto found = std::find_if(held_back.metrics.begin(), held_back.metrics.end(),
                                      [](const auto& metric) { return metric.first == "accuracy"; });
      return found->second;
    };
    const double before = accuracy();
    trainer.train();
    std::cout << "held-back accuracy " << before << ", then " << accuracy() << "\n";
    judge.model().save_adapter("reward", argv[3]);  // PEFT's task type SEQ_CLS

    const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
    const char* question = "What is the largest planet?";
    std::cout << "> " << question << "\n";
    for (const auto& answer :
         powerhouse::best_of_n(model, tokenizer, {{"user", question}}, judge, tokenizer,
                               {.n = 4, .generation = {.max_new_tokens = 40, .temperature = 1.0f, .seed = 1}})) {
      std::cout << answer.reward << "  " << answer.text << "\n";
    }
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
