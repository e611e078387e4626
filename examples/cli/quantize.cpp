// powerhouse quantize: a smaller checkpoint, tensor by tensor.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "common.h"
#include "interrupts.h"

namespace cli {
namespace {

using powerhouse::QuantizationSummary;
using powerhouse::QuantizedTensor;

struct Flags {
  ModelFlags model;
  std::string output;
  powerhouse::QuantizationOptions options;
  std::vector<std::string> tensor_types;
  std::string tensor_type_file;
  std::string calibration;
  std::string evaluation;
  std::string divergence;
  std::uint64_t memory = 0;
  bool restart = false;
  bool json = false;
  const CLI::App* command = nullptr;
};

// Kinds of --type, and of flags the kinds that read them; other flags are of all.
enum : unsigned { kMix = 1, kBudget = 2, kGptq = 4, kAwq = 8, kFourBit = 16, kInt8 = 32, kHqq = 64 };
constexpr std::pair<const char*, unsigned> kReaders[] = {
    {"--imatrix", kMix | kBudget},
    {"--include-weights", kMix | kBudget},
    {"--exclude-weights", kMix | kBudget},
    {"--allow-requantize", kMix | kBudget},
    {"--pure", kMix},
    {"--leave-output-tensor", kMix},
    {"--output-tensor-type", kMix},
    {"--token-embedding-type", kMix},
    {"--tensor-type", kMix},
    {"--tensor-type-file", kMix},
    {"--bits-per-weight", kBudget},
    {"--max-bytes", kBudget},
    {"--budget-type", kBudget},
    {"--group-size", kGptq | kAwq | kHqq},
    {"--bits", kGptq | kHqq},
    {"--asymmetric", kGptq},
    {"--desc-act", kGptq},
    {"--static-groups", kGptq},
    {"--scale-search", kGptq},
    {"--damp-percent", kGptq},
    {"--checkpoint-format", kGptq},
    {"--awq-version", kAwq},
    {"--double-quantization", kFourBit},
    {"--calibration", kMix | kBudget | kGptq | kAwq},
};

void check_flags(const Flags& flags) {
  const std::string type = CLI::detail::to_lower(flags.options.type);
  const unsigned kind = type == "gptq"                   ? kGptq
                        : type == "awq"                  ? kAwq
                        : type == "hqq"                  ? kHqq
                        : type == "nf4" || type == "fp4" ? kFourBit
                        : type == "int8"                 ? kInt8
                        : type == "budget"               ? kBudget
                                                         : kMix;
  for (const auto& [flag, readers] : kReaders) {
    if ((readers & kind) != 0 || flags.command->get_option(flag)->count() == 0) continue;
    throw powerhouse::Error(powerhouse::ErrorKind::usage, "a flag that this type does not read",
                            {.field = flag, .found = "--type " + flags.options.type});
  }
}

// "attn_v=q6_k"
std::pair<std::string, std::string> pattern_and_type(const std::string& text) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0 || at + 1 == text.size()) {
    throw powerhouse::Error(powerhouse::ErrorKind::usage, "not a pattern and a type",
                            {.field = "--tensor-type", .expected = "REGEX=TYPE", .found = text});
  }
  return {text.substr(0, at), text.substr(at + 1)};
}

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out(1);
  for (const char letter : text) {
    if (letter != ' ' && letter != '\n' && letter != '\t' && letter != '\r') {
      out.back() += letter;
    } else if (!out.back().empty()) {
      out.emplace_back();
    }
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

nlohmann::ordered_json as_json(const QuantizedTensor& tensor) {
  nlohmann::ordered_json json = {{"name", tensor.name},       {"shape", tensor.shape},
                                 {"from", tensor.from},       {"to", tensor.to},
                                 {"bytes", tensor.bytes},     {"relative_error", tensor.relative_error},
                                 {"seconds", tensor.seconds}, {"importance", tensor.importance}};
  if (tensor.unseen_experts > 0) json["unseen_experts"] = tensor.unseen_experts;
  if (tensor.output_error > 0) json["output_error"] = tensor.output_error;
  if (tensor.expected_divergence > 0) json["expected_divergence"] = tensor.expected_divergence;
  if (tensor.resumed) json["resumed"] = true;
  return json;
}

nlohmann::ordered_json as_json(const powerhouse::LogitDivergence& divergence) {
  if (divergence.tokens == 0) return nullptr;
  return {{"tokens", divergence.tokens}, {"mean", divergence.mean}, {"same_top", divergence.same_top}};
}

nlohmann::ordered_json as_json(const QuantizationSummary& report) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  for (const QuantizedTensor& tensor : report.tensors) tensors.push_back(as_json(tensor));
  return {{"type", report.type},
          {"source_bytes", report.source_bytes},
          {"bytes", report.bytes},
          {"weights", report.weights},
          {"bits_per_weight", report.bits_per_weight()},
          {"relative_error", report.relative_error},
          {"expected_divergence", report.expected_divergence},
          {"divergence", as_json(report.divergence)},
          {"seconds", report.seconds},
          {"tensors", std::move(tensors)}};
}

void print_table(const QuantizationSummary& report) {
  std::size_t width = 6;
  for (const QuantizedTensor& tensor : report.tensors) width = std::max(width, tensor.name.size());
  const bool outputs = std::any_of(report.tensors.begin(), report.tensors.end(),
                                   [](const QuantizedTensor& tensor) { return tensor.output_error > 0; });
  std::string text;
  char line[512];
  std::snprintf(line, sizeof line, "%-*s  %-18s  %-7s  %-7s  %9s  %9s%s  %7s\n", static_cast<int>(width), "tensor",
                "shape", "from", "to", "MiB", "error", outputs ? "  of output" : "", "seconds");
  text += line;
  for (const QuantizedTensor& tensor : report.tensors) {
    char output[32] = "";
    if (outputs) std::snprintf(output, sizeof output, "  %9.5f", tensor.output_error);
    std::snprintf(line, sizeof line, "%-*s  %-18s  %-7s  %-7s  %9.3f  %9.5f%s  %7.3f%s\n", static_cast<int>(width),
                  tensor.name.c_str(), shape_text(tensor.shape).c_str(), tensor.from.c_str(), tensor.to.c_str(),
                  static_cast<double>(tensor.bytes) / 1048576.0, tensor.relative_error, output, tensor.seconds,
                  tensor.resumed ? "  resumed" : "");
    text += line;
  }
  std::map<std::string, int> types;
  for (const QuantizedTensor& tensor : report.tensors) ++types[tensor.to];
  std::string counts;
  for (const auto& [type, count] : types) counts += (counts.empty() ? "" : ", ") + std::to_string(count) + " " + type;
  std::snprintf(line, sizeof line, "%s: %.2f MiB to %.2f MiB, %.3f bits a weight, %.2f s (%s)\n", report.type.c_str(),
                static_cast<double>(report.source_bytes) / 1048576.0, static_cast<double>(report.bytes) / 1048576.0,
                report.bits_per_weight(), report.seconds, counts.c_str());
  text += line;
  if (report.relative_error > 0) {
    std::snprintf(line, sizeof line, "relative error of all that was quantized: %.5f\n", report.relative_error);
    text += line;
  }
  if (report.divergence.tokens > 0) {
    std::snprintf(line, sizeof line, "mean KL divergence %.6f, same top token %.2f %%, over %lld tokens\n",
                  report.divergence.mean, 100 * report.divergence.same_top,
                  static_cast<long long>(report.divergence.tokens));
    text += line;
  }
  write_out(text);
}

// --bits and --group-size are of several methods that go layer by layer.
void add_layer_flags(CLI::App& command, powerhouse::QuantizationOptions& options) {
  powerhouse::GptqOptions& gptq = options.gptq;
  command
      .add_option_function<int>(
          "--bits", [&options](int bits) { options.gptq.bits = options.hqq.bits = bits; },
          "gptq: 2, 3, 4 or 8; hqq: also 1 (4)")
      ->transform(integer(1, 8));
  command
      .add_option_function<std::int64_t>(
          "--group-size",
          [&options](std::int64_t size) {
            options.gptq.group_size = options.awq.group_size = options.hqq.group_size = size;
          },
          "gptq, awq, hqq: inputs that share a scale (128, hqq 64); gptq, awq: -1 for all of a row")
      ->check(CLI::Range(std::int64_t{-1}, std::numeric_limits<std::int64_t>::max()));
  command.add_flag("!--asymmetric", gptq.sym, "gptq: zeros where the weights are, not in the middle of the codes");
  command.add_flag("--desc-act", gptq.desc_act, "gptq: columns of large inputs first");
  command.add_flag("--static-groups", gptq.static_groups, "gptq: with --desc-act, groups of neighbours");
  command.add_option("--scale-search", gptq.scale_search, "gptq: shares of ranges by the Hessian, mse or none")
      ->capture_default_str()
      ->check(CLI::IsMember({"hessian", "mse", "none"}));
  command.add_option("--damp-percent", gptq.damp_percent, "gptq: of the Hessian's mean diagonal, added to it")
      ->capture_default_str()
      ->transform(number(0, 1, true));
  command.add_option("--checkpoint-format", gptq.checkpoint_format, "gptq, gptq_v2 or dense")
      ->capture_default_str()
      ->check(CLI::IsMember({"gptq", "gptq_v2", "dense"}));
  command.add_option("--awq-version", options.awq.version, "gemm, gemv or dense")
      ->capture_default_str()
      ->check(CLI::IsMember({"gemm", "gemv", "dense"}));
}

void run(Flags& flags) {
  Interrupts interrupts(Interrupts::Ends::gently);
  check_flags(flags);
  powerhouse::QuantizationOptions& options = flags.options;
  if (!flags.tensor_type_file.empty()) {
    for (const std::string& word : words(read_file(flags.tensor_type_file))) flags.tensor_types.push_back(word);
  }
  for (const std::string& text : flags.tensor_types) options.gguf.tensor_types.push_back(pattern_and_type(text));
  if (flags.model.threads > 0) powerhouse::set_threads(flags.model.threads);
  if (!flags.calibration.empty()) {
    options.calibration_text = read_file(flags.calibration);
    options.calibration_name = flags.calibration;
  }
  if (!flags.evaluation.empty()) options.calibration.evaluation_text = read_file(flags.evaluation);
  if (!flags.divergence.empty()) options.divergence_text = read_file(flags.divergence);
  options.resume = !flags.restart;
  if (flags.memory > 0) options.memory_bytes = options.calibration.memory = flags.memory;
  options.cancel = interrupts.begin_answer();
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  if (terminal) {
    options.on_progress = [](const powerhouse::QuantizationProgress& progress) {
      std::fprintf(stderr, "\r\033[K%3.0f %%  %lld of %lld  %s", 100 * progress.share,
                   static_cast<long long>(progress.tensor), static_cast<long long>(progress.tensors),
                   progress.name.c_str());
    };
  }
  const auto clear = [terminal] {
    if (terminal) std::fputs("\r\033[K", stderr);
  };
  QuantizationSummary report;
  try {
    report = powerhouse::quantize(flags.model.model, flags.output, options);
  } catch (...) {
    clear();
    throw;
  }
  clear();
  if (flags.json) {
    write_out(as_json(report).dump(2) + "\n");
  } else {
    print_table(report);
  }
}

// One text an occurrence, as it stands: CLI11 would read "[a,b]" for a list as two.
void add_texts(CLI::App& command, const char* name, std::vector<std::string>& texts, const char* help) {
  command
      .add_option_function<std::string>(
          name, [](const std::string&) {}, help)
      ->check(not_empty())
      ->each([&texts](const std::string& text) { texts.push_back(text); })
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  auto flags = std::make_shared<Flags>();
  auto& options = flags->options;
  auto& gguf = options.gguf;
  CLI::App& command = *app.add_subcommand("quantize", "write the model in fewer bits, tensor by tensor");
  flags->command = &command;
  flags->model.add(command);
  command
      .add_option(
          "--type", options.type,
          "Q4_K_M, IQ3_XXS, MXFP4_MOE, BF16 ... (a mix of GGUF's types), COPY, budget; gptq, awq, hqq, nf4, fp4, int8")
      ->required()
      ->check(not_empty());
  command.add_option("--output", flags->output, "the file to write; a folder by gptq, awq, hqq, nf4, fp4 and int8")
      ->required()
      ->check(not_empty());
  command.add_option("--imatrix", options.imatrix, "a file of importance matrices")->check(not_empty());
  add_texts(command, "--include-weights", options.include_weights,
            "importance for weights with this in their name only; may be repeated");
  add_texts(command, "--exclude-weights", options.exclude_weights,
            "no importance for weights with this in their name; may be repeated");
  command
      .add_option("--calibration", flags->calibration,
                  "a file or pipe with text to collect importance from, and for a budget to measure by")
      ->check(not_empty());
  command.add_option("--sequences", options.calibration.sequences, "sequences of it at most")
      ->capture_default_str()
      ->transform(integer(1));
  command.add_option("--sequence-length", options.calibration.sequence_length, "tokens of each")
      ->capture_default_str()
      ->transform(integer(2));
  command
      .add_option("--evaluation-text", flags->evaluation,
                  "a file that the result will be measured on: the texts must not overlap")
      ->check(not_empty());
  command
      .add_option("--kl-text", flags->divergence,
                  "a file to measure the KL divergence of the logits from the source's on: 8,192 tokens of it")
      ->check(not_empty());
  command.add_option("--bits-per-weight", options.budget.bits_per_weight, "size for --type budget")
      ->transform(number(0, 32, true));
  command.add_option("--max-bytes", options.budget.max_bytes, "size of the file for --type budget (k, m, g)")
      ->transform(CLI::AsSizeValue(false));
  add_texts(command, "--budget-type", options.budget.types, "a type that a budget may choose; may be repeated");
  command.add_flag("--pure", gguf.pure, "the same type for all tensors that quantize");
  command.add_flag("--leave-output-tensor", gguf.leave_output_tensor, "output.weight stays as it is");
  command.add_option("--output-tensor-type", gguf.output_tensor_type, "type of output.weight")->check(not_empty());
  command.add_option("--token-embedding-type", gguf.token_embedding_type, "type of token_embd.weight")
      ->check(not_empty());
  add_texts(command, "--tensor-type", flags->tensor_types,
            "REGEX=TYPE: type of tensors whose names the pattern finds; may be repeated");
  command.add_option("--tensor-type-file", flags->tensor_type_file, "a file of such, one a word")->check(not_empty());
  command.add_flag("--allow-requantize", gguf.allow_requantize, "take a source that is quantized already");
  command.add_option("--memory", flags->memory, "bytes to work in (k, m, g: times 1024, 1024^2, 1024^3)")
      ->transform(CLI::AsSizeValue(false));
  add_layer_flags(command, options);
  command.add_flag("--double-quantization", options.double_quantization, "nf4, fp4: scales of what 8 bits can say");
  command.add_flag("--restart", flags->restart, "do not go on with what an earlier run left unfinished");
  command.add_flag("--dry-run", options.dry_run, "say what would be done, and the size");
  command.add_flag("--json", flags->json, "print the report as JSON");
  command.callback([flags, &action] { action = [flags] { run(*flags); }; });
}

}  // namespace cli
