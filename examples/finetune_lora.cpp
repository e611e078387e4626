// Fine-tune a model with LoRA on questions and answers, and ask the same before and after.
//
//     python3 examples/data/trivia.py trivia.jsonl
//     finetune_lora SmolLM2-135M-Instruct.Q4_1.gguf trivia.jsonl adapter/
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
    std::cerr << "usage: finetune_lora MODEL DATA.jsonl ADAPTER\n";
    return 2;
  }
  try {
    auto model = powerhouse::CausalLM::from_pretrained(argv[1], {.dtype = powerhouse::Dtype::bf16});
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    const auto data = powerhouse::Dataset::open(tokenizer, {{.path = argv[2]}}, {.val_set_size = 0.1});
    std::cout << data.report().text() << "\n";
    ask(model, tokenizer);

    model.add_adapter("trivia", {.rank = 16, .alpha = 32, .target_modules = {"all-linear"}});
    powerhouse::Trainer trainer(model, data, {.learning_rate = 3e-4, .epochs = 2, .micro_batch_size = 8});
    const powerhouse::TrainingResult result = trainer.train();
    std::cout << result.steps << " steps, " << result.tokens_per_second << " tokens/s, held-back loss "
              << *result.final_eval_loss << "\n\n";

    ask(model, tokenizer);
    model.save_adapter("trivia", argv[3]);  // adapter_config.json and adapter_model.safetensors, for PEFT too
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
