// GRPO with a verifiable reward: sums of two digits, in the form that two examples in the prompt show. Asks for
// held-back sums before and after.
//
//     grpo SmolLM2-135M-Instruct.Q4_1.gguf output/ [steps]
#include <powerhouse/powerhouse.h>

#include <cmath>
#include <fstream>
#include <iostream>

namespace {

constexpr int kAsked = 8;  // completions of a held-back sum

std::string write_sums(const std::string& path) {
  std::ofstream file(path);
  for (int sum = 0; sum < 100; ++sum) {
    file
        << R"({"prompt": [{"role": "user", "content": "2 + 5"}, {"role": "assistant", "content": "<answer>7</answer>"}, )"
        << R"({"role": "user", "content": "4 + 4"}, {"role": "assistant", "content": "<answer>8</answer>"}, )"
        << R"({"role": "user", "content": ")" << sum / 10 << " + " << sum % 10 << R"("}], "answer": "<answer>)"
        << sum / 10 + sum % 10 << "</answer>\"}\n";
  }
  return path;
}

// The mean of each kAsked in a row: of each held-back sum.
std::vector<double> means(const std::vector<double>& rewards) {
  std::vector<double> out(rewards.size() / kAsked);
  for (std::size_t i = 0; i < rewards.size(); ++i) out[i / kAsked] += rewards[i] / kAsked;
  return out;
}

void print(const char* what, const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const double value : values) mean += value / count;
  for (const double value : values) squares += (value - mean) * (value - mean);
  std::cout << what << " " << mean << " +- " << 1.96 * std::sqrt(squares / (count - 1) / count) << " (95 %)\n";
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw powerhouse::Error(powerhouse::ErrorKind::usage, "usage: grpo MODEL OUTPUT [STEPS]");
  auto model = powerhouse::CausalLM::from_pretrained(argv[1], {.dtype = powerhouse::Dtype::bf16});
  const auto tokenizer = powerhouse::Tokenizer::from_pretrained(argv[1]);
  const std::string output = argv[2], file = write_sums(output + ".jsonl");
  const auto sums = powerhouse::PromptDataset::open(tokenizer, {{.path = file}}, {.val_set_size = 30});
  model.add_adapter("sums", {.rank = 16, .alpha = 32, .target_modules = {"all-linear"}});

  std::vector<double> judged;  // of all calls
  const auto judge = [&](std::span<const powerhouse::Completion> completions) {
    for (const auto& one : completions) judged.push_back(one.text == one.columns.at("answer") ? 1 : 0);
    return std::vector<double>(judged.end() - std::ssize(completions), judged.end());
  };
  const std::int64_t steps = argc > 3 ? std::stoll(argv[3]) : 40;  // each of 8 sums, 8 completions of each.
  powerhouse::Trainer trainer(model, sums, powerhouse::GrpoOptions{}, {{"right", judge}},
                              {.num_generations_eval = kAsked, .max_completion_length = 16},
                              {.learning_rate = 2e-4,
                               .max_steps = steps,
                               .micro_batch_size = 32,
                               .gradient_accumulation_steps = 2,
                               .evaluation = {},
                               .output_dir = output});
  const auto ask = [&] {
    judged.clear();
    trainer.evaluate();
    return means(judged);
  };
  const std::vector<double> before = ask();
  const powerhouse::TrainingResult result = trainer.train();
  std::vector<double> after = ask();
  std::cout << result.steps << " steps in " << result.seconds << " s\n";
  print("right before:", before);
  print("right after:", after);
  for (std::size_t i = 0; i < after.size(); ++i) after[i] -= before[i];
  print("difference:", after);
} catch (const powerhouse::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
