// Take any layer's output as a tensor, change it, and go on: hooks see every named activation (hooks.h lists them).
//
//     inspect_activations SmolLM2-135M-Instruct.Q4_1.gguf
#include <ATen/core/Tensor.h>
#include <powerhouse/powerhouse.h>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: inspect_activations MODEL\n";
    return 2;
  }
  try {
    auto model = powerhouse::CausalLM::from_pretrained(argv[1], {.dtype = powerhouse::Dtype::f32});
    const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
    const char* prompt = "The capital of France is";

    // See: the norm of the residual stream behind every layer, at the last token.
    std::vector<double> norms;
    auto watch = model.add_hook({powerhouse::HookPoint::layer_output},
                                [&](const at::Tensor& x, const powerhouse::HookContext&) -> at::Tensor {
                                  norms.push_back(x.select(0, -1).norm().item<double>());
                                  return {};  // as it is
                                });
    powerhouse::Session session(model);
    session.forward(session.create(), tokenizer.encode(prompt));
    model.remove_hook(watch);
    for (std::size_t layer = 0; layer < norms.size(); ++layer)
      std::cout << "layer " << layer << ": " << norms[layer] << "\n";

    // Change: without its last MLPs the model goes on, differently, also while generating.
    std::cout << "as it is:" << powerhouse::generate(model, tokenizer, prompt, {.max_new_tokens = 12}).text << "\n";
    const auto layers = static_cast<std::int64_t>(model.config().layers.size());
    for (std::int64_t layer = layers - 4; layer < layers; ++layer) {
      model.add_hook({powerhouse::HookPoint::mlp_output, layer},
                     [](const at::Tensor& x, const powerhouse::HookContext&) { return x.mul(0); });
    }
    std::cout << "ablated:" << powerhouse::generate(model, tokenizer, prompt, {.max_new_tokens = 12}).text << "\n";
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
