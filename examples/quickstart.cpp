// Load a model, continue a text, and look at the numbers behind it.
//
//     quickstart SmolLM2-135M-Instruct.Q4_1.gguf
#include <ATen/core/Tensor.h>
#include <powerhouse/powerhouse.h>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: quickstart MODEL\n";
    return 2;
  }
  try {
    const auto model = powerhouse::CausalLM::from_pretrained(argv[1]);
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);

    // Text in, text out: greedy unless a temperature is set.
    const auto result = powerhouse::generate(model, tokenizer, "The capital of France is", {.max_new_tokens = 16});
    std::cout << "The capital of France is" << result.text << "\n\n";

    // The same through tensors: a session holds the sequence's cache and returns float32 logits.
    powerhouse::Session session(model);
    const auto ids = tokenizer.encode("The capital of France is");
    const at::Tensor logits = session.forward(session.create(), ids);  // [1, vocabulary], of the last token
    const auto [probabilities, best] = logits.select(0, 0).softmax(-1).topk(5);
    for (std::int64_t i = 0; i < 5; ++i) {
      const auto id = best.select(0, i).item<std::int64_t>();
      std::cout << probabilities.select(0, i).item<float>() << "  " << tokenizer.decode(std::span(&id, 1)) << "\n";
    }
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
