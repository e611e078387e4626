// One training run as bench/train_transformers.py makes it: the same rows, first adapter and AdamW, measured alike.
// Prints one line of JSON: losses, seconds of each step, peak resident bytes. `compare.py --train` runs it.
//
//     train_bench MODEL ROWS.i32 METHOD PARAMETERS CHECKPOINTING STEPS LEARNING_RATE THREADS [ADAPTER]
//
// METHOD lora (ADAPTER is a PEFT folder of rank 16, alpha 32 on all linear layers), qlora (the same on quantized
// weights as the file has them), dpo (on an adapter, two pairs a step) or full; PARAMETERS bf16 or float32: of adapters
// and states, in full fine-tuning of masters and states; CHECKPOINTING 0 or 1, of every layer.
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <powerhouse/adapter.h>
#include <powerhouse/losses.h>
#include <powerhouse/powerhouse.h>

namespace {

using namespace powerhouse;

constexpr std::size_t kBatch = 4, kLength = 512, kPrompt = 256;

struct Settings {
  std::string model, rows, method, parameters;
  bool checkpointing = false;
  int steps = 0;
  double learning_rate = 0;
  int threads = 0;
  std::string adapter;
};

Settings parse(int argc, char** argv) {
  if (argc != 9 && argc != 10) throw std::runtime_error("train_bench: eight or nine arguments, see train_bench.cpp");
  return {argv[1],
          argv[2],
          argv[3],
          argv[4],
          std::string(argv[5]) == "1",
          std::stoi(argv[6]),
          std::stod(argv[7]),
          std::stoi(argv[8]),
          argc == 10 ? argv[9] : ""};
}

std::vector<std::int32_t> read_rows(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  if (bytes.empty() || bytes.size() % (4 * kBatch * kLength) != 0) throw std::runtime_error(path + ": no rows");
  const auto* first = reinterpret_cast<const std::int32_t*>(bytes.data());
  return {first, first + bytes.size() / 4};
}

// All parameters as PEFT's file has them, in the type that is asked for.
void add_adapter(CausalLM& model, const Settings& settings) {
  model.add_adapter("default", {.rank = 16,
                                .alpha = 32,
                                .target_modules = {"all-linear"},
                                .dtype = settings.parameters == "float32" ? Dtype::f32 : Dtype::bf16});
  const std::vector<NamedTensor> saved = load_safetensors(settings.adapter + "/adapter_model.safetensors");
  for (const auto& [name, ours] : adapter_tensors(model, "default")) {
    const auto found = std::find_if(saved.begin(), saved.end(), [&](const NamedTensor& t) { return t.first == name; });
    if (found == saved.end()) throw std::runtime_error("the adapter has no " + name);
    ours.detach().copy_(found->second);
  }
}

struct Run {
  std::vector<double> losses, seconds;
};

std::vector<std::int64_t> ids_of(const std::vector<std::int32_t>& rows, std::size_t row) {
  const std::size_t at = row * kLength % rows.size();
  return {rows.begin() + static_cast<std::ptrdiff_t>(at), rows.begin() + static_cast<std::ptrdiff_t>(at + kLength)};
}

at::Tensor next_token_loss(const CausalLM& model, const std::vector<std::int32_t>& rows, std::size_t first,
                           const ScoreOptions& options) {
  TokenBatch batch;
  for (std::size_t row = first; row < first + kBatch; ++row) batch.add(ids_of(rows, row));
  return model.loss(batch, static_cast<double>(batch.target_count()), options).loss;
}

// The pairs of train_transformers.py; the reference is the handle without an adapter.
at::Tensor preference_loss(const CausalLM& model, const CausalLM& reference, const std::vector<std::int32_t>& rows,
                           std::size_t first, const ScoreOptions& options) {
  TokenBatch batch;
  for (std::size_t row = first; row < first + kBatch; row += 2) {
    const std::vector<std::int64_t> chosen = ids_of(rows, row), rejected = ids_of(rows, row + 1);
    const std::span<const std::int64_t> all(chosen);
    batch.add_branches(all.first(kPrompt),
                       {{all.subspan(kPrompt)}, {std::span<const std::int64_t>(rejected).subspan(kPrompt)}});
  }
  const auto log_probs = [&](const at::Tensor& tokens) {
    PairLogProbs pairs;
    std::int64_t at = 0;
    std::vector<at::Tensor> sides[2];
    constexpr auto kCompletion = static_cast<std::int64_t>(kLength - kPrompt);
    for (std::size_t i = 0; i < kBatch; ++i, at += kCompletion)
      sides[i % 2].push_back(tokens.narrow(0, at, kCompletion));
    for (int side : {0, 1}) {
      CompletionLogProbs& into = side == 0 ? pairs.chosen : pairs.rejected;
      into.token_log_probs = at::cat(sides[side]);
      into.cu_seqlens = {0, kCompletion, 2 * kCompletion};
    }
    return pairs;
  };
  PairSums sums;
  {
    const c10::AutoGradMode no_gradients(false);
    sums = pair_sums(log_probs(reference.score(batch).log_probs));
  }
  return dpo_loss(log_probs(model.score(batch, options).log_probs), sums).loss;
}

Run train(const CausalLM& model, Optimizer& optimizer, const std::vector<std::int32_t>& rows,
          const Settings& settings) {
  Run run;
  const CausalLM reference = model.share();
  for (int step = 0; step < settings.steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    const ScoreOptions options{.checkpointed_layers = settings.checkpointing ? -1 : 0};
    const std::size_t first = static_cast<std::size_t>(step) * kBatch;
    const at::Tensor loss = settings.method == "dpo" ? preference_loss(model, reference, rows, first, options)
                                                     : next_token_loss(model, rows, first, options);
    loss.backward();
    optimizer.step({.max_grad_norm = 1});
    optimizer.zero_grad();
    run.losses.push_back(loss.item<double>());
    run.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return run;
}

void print(const char* name, const std::vector<double>& values) {
  std::printf("\"%s\": [", name);
  for (std::size_t i = 0; i < values.size(); ++i) std::printf("%s%.7g", i == 0 ? "" : ", ", values[i]);
  std::printf("], ");
}

void run(const Settings& settings) {
  set_threads(settings.threads);
  const std::vector<std::int32_t> rows = read_rows(settings.rows);
  const bool full = settings.method == "full", float32 = settings.parameters == "float32";
  // Blocks stay blocks where no type is named.
  CausalLM model =
      CausalLM::from_pretrained(settings.model, {.dtype = settings.method == "qlora" ? Dtype::automatic : Dtype::bf16});
  if (full) {
    model.set_requires_grad(true);
  } else {
    add_adapter(model, settings);
  }
  OptimizerStorage storage;
  if (float32) storage = {.state_dtype = OptimizerStorage::StateType::float32, .master_weights = full};
  Optimizer optimizer(make_parameter_groups(model.trainable_parameters()),
                      AdamWOptions{.lr = settings.learning_rate, .weight_decay = 0}, storage);
  const PooledTensors pool;
  const Run done = train(model, optimizer, rows, settings);
  std::int64_t trained = 0;
  for (const auto& [name, tensor] : model.trainable_parameters()) trained += tensor.numel();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("{");
  print("losses", done.losses);
  print("seconds", done.seconds);
  std::printf("\"trained\": %lld, \"peak_memory_bytes\": %lld}\n", static_cast<long long>(trained),
              static_cast<long long>(usage.ru_maxrss) * 1024);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_bench: %s\n", error.what());
    return 1;
  }
}
