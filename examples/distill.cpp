// Distillation: a student of a third of the teacher's layers, cut out of it, learns the same rows twice: from the
// tokens alone, and from what the teacher says of each of them. The held-back cross entropy shows what the teacher is
// worth.
//
//     python3 examples/data/trivia.py trivia.jsonl
//     distill SmolLM2-135M-Instruct.Q4_1.gguf trivia.jsonl student/ [STEPS]
#include <ATen/core/Tensor.h>
#include <powerhouse/powerhouse.h>
#include <cstdlib>
#include <iostream>

namespace {

using namespace powerhouse;

// Every third layer, and all that is no layer's.
CausalLM cut(const CausalLM& teacher, const std::string& tokenizer) {
  constexpr std::size_t kEvery = 3;
  ModelConfig config = teacher.config();
  std::vector<std::int64_t> kept;
  for (std::size_t layer = 0; layer < config.layers.size(); layer += kEvery)
    kept.push_back(static_cast<std::int64_t>(layer));
  std::vector<Block> layers;
  for (const std::int64_t layer : kept) layers.push_back(config.layers[static_cast<std::size_t>(layer)]);
  config.layers = layers;
  CausalLM student = CausalLM::from_config(config, {.dtype = Dtype::bf16, .tokenizer = tokenizer});
  for (auto& [name, parameter] : student.named_parameters()) {
    std::string from = name;
    const std::string layer_prefix = "model.layers.";
    if (name.rfind(layer_prefix, 0) == 0) {
      const std::size_t end = name.find('.', layer_prefix.size());
      const auto layer = static_cast<std::size_t>(std::stoll(name.substr(layer_prefix.size())));
      from = layer_prefix + std::to_string(kept[layer]) + name.substr(end);
    }
    parameter.copy_(teacher.parameter(from));
  }
  student.set_requires_grad(true);
  return student;
}

double cross_entropy(const Evaluation& evaluation) {
  for (const auto& [name, value] : evaluation.metrics) {
    if (name == "ce_loss") return value;
  }
  return evaluation.eval_loss;  // of training on tokens alone there is nothing else
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: distill TEACHER DATA.jsonl STUDENT [STEPS]\n";
    return 2;
  }
  try {
    const auto teacher = CausalLM::from_pretrained(argv[1], {.dtype = Dtype::bf16});
    const auto data = Dataset::open(Tokenizer::from_pretrained(argv[1]), {{.path = argv[2]}}, {.val_set_size = 0.1});
    const TrainingOptions options{.learning_rate = 2e-4,
                                  .max_steps = argc > 4 ? std::atoll(argv[4]) : 100,
                                  .micro_batch_size = 8,
                                  .schedule = {.kind = ScheduleKind::cosine, .warmup_ratio = 0.05},
                                  .evaluation = {.steps = 0.25}};
    TrainingCallbacks callbacks;
    callbacks.on_evaluate = [](const Evaluation& evaluation, TrainingControl&) {
      std::cout << "step " << evaluation.step << ": held-back cross entropy " << cross_entropy(evaluation) << "\n";
    };
    std::cout << "from the tokens alone\n";
    CausalLM alone = cut(teacher, argv[1]);
    Trainer(alone, data, options, callbacks).train();
    std::cout << "from the teacher too\n";
    CausalLM student = cut(teacher, argv[1]);
    const DistillationOptions method{.divergence = {.beta = 0}, .alpha = 0.5};
    Trainer(student, teacher, data, method, options, callbacks).train();
    student.save_pretrained(argv[3]);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
