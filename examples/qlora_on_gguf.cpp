// LoRA on a quantized GGUF file: the base stays as small as its file, only the adapter is trained.
//
//     qlora_on_gguf SmolLM2-135M-Instruct.Q4_1.gguf trivia.jsonl adapter.gguf
#include <powerhouse/powerhouse.h>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: qlora_on_gguf MODEL.gguf DATA.jsonl ADAPTER\n";
    return 2;
  }
  try {
    // Without a named type quantized weights stay what they are; each is made dense for its product alone.
    auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    const auto data = powerhouse::Dataset::open(tokenizer, {{.path = argv[2]}}, {.val_set_size = 0.1});

    model.add_adapter("default", {.rank = 8, .alpha = 16, .target_modules = {"all-linear"}});
    powerhouse::Trainer trainer(model, data, {.learning_rate = 3e-4, .micro_batch_size = 8, .checkpointed_layers = -1});
    const powerhouse::TrainingResult result = trainer.train();
    std::cout << "held-back loss " << *result.final_eval_loss << ", " << result.tokens_per_second << " tokens/s, peak "
              << powerhouse::peak_memory_bytes() / 1048576 << " MiB\n";
    model.save_adapter("default", argv[3]);  // a name that ends in .gguf is for llama.cpp, a folder for PEFT
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
