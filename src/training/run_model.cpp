#include "training/run_model.h"

#include <ATen/core/Tensor.h>

#include <algorithm>

#include "formats/checkpoint.h"
#include "model/causal_lm_impl.h"
#include "model/gguf_sequence_head.h"
#include "model/loader.h"
#include "powerhouse/adapter.h"
#include "powerhouse/device.h"
#include "powerhouse/error.h"
#include "training/run_online.h"
#include "training/unfrozen.h"

namespace powerhouse {
namespace {

constexpr const char* kAdapter = "default";  // PEFT's name

Dtype compute_type(const TrainingRun& run) {
  if (run.bf16 == "false") return Dtype::f32;
  if (run.device.kind == DeviceKind::cuda) return Dtype::bf16;
  const bool multiplies = kernel_instruction_set().find("bf16") != std::string::npos;
  return run.bf16 == "true" || multiplies ? Dtype::bf16 : Dtype::f32;
}

bool has_blocks(const std::string& path) {
  const Checkpoint checkpoint = open_checkpoint(path);
  return std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                     [](const TensorView& view) { return block_info(view.format).block_elements > 1; });
}

// What is quantized already stays what it is, which a load without a named type does (float32 throughout makes it
// dense); what is not becomes NF4 or int8, as Axolotl asks bitsandbytes for.
LoadOptions load_options(const TrainingRun& run) {
  LoadOptions options{.dtype = compute_type(run), .device = run.device};
  if (run.adapter != "qlora" && !run.load_in_4bit && !run.load_in_8bit) return options;
  if (!has_blocks(run.base_model)) {
    options.quantization = {.load_in_4bit = !run.load_in_8bit,
                            .load_in_8bit = run.load_in_8bit,
                            .bnb_4bit_quant_type = "nf4",
                            .bnb_4bit_use_double_quant = true};
  } else if (options.dtype == Dtype::bf16) {
    options.dtype = Dtype::automatic;
  }
  return options;
}

LoraConfig lora_config(const TrainingRun& run) {
  LoraConfig config{.rank = run.lora_r,
                    .alpha = run.lora_alpha,
                    .dropout = run.lora_dropout,
                    .target_modules = run.lora_target_modules,
                    .target_pattern = run.lora_target_pattern,
                    .target_parameters = run.lora_target_parameters,
                    .modules_to_save = run.lora_modules_to_save,
                    .layers_to_transform = run.peft_layers_to_transform,
                    .use_rslora = run.peft_use_rslora,
                    .use_dora = run.peft_use_dora,
                    .init_lora_weights = run.peft_init_lora_weights,
                    .seed = run.seed};
  config.rank_pattern.assign(run.lora_rank_pattern.begin(), run.lora_rank_pattern.end());
  config.alpha_pattern.assign(run.lora_alpha_pattern.begin(), run.lora_alpha_pattern.end());
  if (run.lora_target_linear) {  // beside what else is named
    if (!config.target_pattern.empty()) config.target_modules.push_back(config.target_pattern);
    config.target_modules.emplace_back("all-linear");
    config.target_pattern.clear();
  }
  return config;
}

void make_trainable(CausalLM& model, const TrainingRun& run) {
  if (run.adapter.empty()) {
    model.set_requires_grad(true);
    if (!run.unfrozen_parameters.empty()) train_only(model, run.unfrozen_parameters);
  } else if (!run.lora_model_dir.empty()) {
    model.load_adapter(run.lora_model_dir, kAdapter, true);
  } else {
    model.add_adapter(kAdapter, lora_config(run));
  }
}

// The config follows the tokenizer, as Axolotl has it, and both are saved so.
void take_special_tokens(Model& model, const TrainingRun& run, const Tokenizer& tokenizer) {
  for (const auto& [role, token] : run.special_tokens) {
    const std::int64_t id = tokenizer.token_to_id(token).value();
    model.role_tokens.push_back({role, token, id});
    if (role == "eos_token") model.config.eos_token_ids = {id};
    if (role == "bos_token") model.config.bos_token_id = id;
    if (role == "pad_token" && model.config.sequence_head) model.config.sequence_head->pad_token_id = id;
  }
}

}  // namespace

Tokenizer run_tokenizer(const TrainingRun& run) {
  return Tokenizer::from_pretrained(run.base_model, run.special_tokens);
}

std::optional<CausalLM> run_reference(const TrainingRun& run, const CausalLM& model) {
  if (!run.ref_model.empty()) {
    return CausalLM::from_pretrained(run.ref_model, {.dtype = model.dtype(), .device = run.device});
  }
  const bool compares = has_word("dpo|ipo|kto", run.rl) || online_has_reference(run);
  if (run.lora_model_dir.empty() || !compares) return std::nullopt;
  CausalLM reference = model.share();
  reference.load_adapter(run.lora_model_dir, kAdapter);
  return reference;
}

CausalLM run_model(const TrainingRun& run, const Tokenizer& tokenizer) {
  CausalLM model = CausalLM::from_pretrained(run.base_model, load_options(run));
  take_special_tokens(*model.impl().model, run, tokenizer);
  make_trainable(model, run);
  return model;
}

std::optional<std::int64_t> padding_token(const Tokenizer& tokenizer) {
  return tokenizer.pad_token_id() ? tokenizer.pad_token_id() : tokenizer.eos_token_id();
}

std::optional<SequenceHead> base_head(const TrainingRun& run) {
  const Checkpoint checkpoint = open_checkpoint(run.base_model, false);
  if (checkpoint.gguf != nullptr) return read_gguf_sequence_head(*checkpoint.gguf);
  return load_config(checkpoint).config.sequence_head;
}

SequenceClassifier run_classifier(const TrainingRun& run, const Tokenizer& tokenizer, SequenceHeadOptions fresh) {
  fresh.pad_token_id = padding_token(tokenizer);
  fresh.seed = run.seed;
  SequenceClassifier model = base_head(run)
                                 ? SequenceClassifier::from_pretrained(run.base_model, load_options(run))
                                 : SequenceClassifier::from_causal_lm(run.base_model, fresh, load_options(run));
  take_special_tokens(*model.model().impl().model, run, tokenizer);
  make_trainable(model.model(), run);
  return model;
}

}  // namespace powerhouse
