// Axolotl's other keys: those that change nothing here, and those that ask for what is not built.
#include <algorithm>
#include <array>
#include <vector>

#include "training/run_config.h"

namespace powerhouse {
namespace {

constexpr std::string_view kAttention = "attention is always computed without a score matrix";
constexpr std::string_view kFused = "fused kernels are always used";
constexpr std::string_view kTracker = "the log is train_log.jsonl; nothing is sent anywhere";
constexpr std::string_view kFiles = "told from the model's files";
constexpr std::string_view kLoader = "data are read as they are needed";
constexpr std::string_view kDevices = "there is one device";
constexpr std::string_view kSampler = "this library samples itself";
constexpr std::string_view kPacking = "packing is best fit over a window";

constexpr OtherKey kWithoutEffect[] = {
    {"strict", "keys are always checked"},
    {"debug", "no such mode"},
    {"plugins", "there are no plugins"},
    {"tokenizer_type", kFiles},
    {"type_of_model", kFiles},
    {"processor_type", kFiles},
    {"base_model_config", kFiles},
    {"tokenizer_use_fast", kFiles},
    {"tokenizer_legacy", kFiles},
    {"tokenizer_use_mistral_common", kFiles},
    {"tokenizer_save_jinja_files", kFiles},
    {"is_falcon_derived_model", kFiles},
    {"is_llama_derived_model", kFiles},
    {"is_mistral_derived_model", kFiles},
    {"is_qwen_derived_model", kFiles},
    {"lora_fan_in_fan_out", kFiles},
    {"trust_remote_code", "no code of a model is ever run"},
    {"flash_attention", kAttention},
    {"xformers_attention", kAttention},
    {"sdp_attention", kAttention},
    {"flex_attention", kAttention},
    {"flex_attn_compile_kwargs", kAttention},
    {"sage_attention", kAttention},
    {"eager_attention", kAttention},
    {"attn_implementation", kAttention},
    {"flash_attn_cross_entropy", kFused},
    {"flash_attn_rms_norm", kFused},
    {"flash_attn_fuse_mlp", kFused},
    {"flash_attn_fuse_qkv", kFused},
    {"flash_optimum", kFused},
    {"fused_attn_kernel", kFused},
    {"lora_mlp_kernel", kFused},
    {"lora_qkv_kernel", kFused},
    {"lora_o_kernel", kFused},
    {"lora_embedding_kernel", kFused},
    {"liger_rope", kFused},
    {"liger_rms_norm", kFused},
    {"liger_rms_norm_gated", kFused},
    {"liger_layer_norm", kFused},
    {"liger_swiglu", kFused},
    {"liger_glu_activation", kFused},
    {"liger_cross_entropy", kFused},
    {"liger_fused_linear_cross_entropy", kFused},
    {"cut_cross_entropy", kFused},
    {"chunked_cross_entropy", kFused},
    {"chunked_cross_entropy_num_chunks", kFused},
    {"tiled_mlp", kFused},
    {"tiled_mlp_num_shards", kFused},
    {"experts_implementation", kFused},
    {"use_kernels", kFused},
    {"use_scattermoe", kFused},
    {"use_sonicmoe", kFused},
    {"torch_compile", kFused},
    {"torch_compile_backend", kFused},
    {"torch_compile_mode", kFused},
    {"torch_compile_options", kFused},
    {"vllm", kSampler},
    {"use_vllm", kSampler},
    {"use_liger_loss", kFused},
    {"log_completions", "no table of completions is made"},
    {"num_completions_to_print", "no table of completions is made"},
    {"num_sample_generations", "no table of completions is made"},
    {"local_rollout_forward_batch_size", "completions go through the model together"},
    {"ds3_gather_for_generation", kDevices},
    {"use_wandb", kTracker},
    {"use_mlflow", kTracker},
    {"hf_mlflow_log_artifacts", kTracker},
    {"use_comet", kTracker},
    {"use_trackio", kTracker},
    {"use_swanlab", kTracker},
    {"use_otel_metrics", kTracker},
    {"hub_model_id", kTracker},
    {"hub_strategy", kTracker},
    {"hub_revision", kTracker},
    {"push_dataset_to_hub", kTracker},
    {"hf_use_auth_token", kTracker},
    {"include_tokens_per_second", "the log has them always"},
    {"include_tkps", "the log has them always"},
    {"profiler_steps", "there is no profiler"},
    {"profiler_steps_start", "there is no profiler"},
    {"eval_table_size", "no table of answers is made"},
    {"eval_max_new_tokens", "no table of answers is made"},
    {"dataset_prepared_path", kLoader},
    {"dataset_processes", kLoader},
    {"dataset_num_proc", kLoader},
    {"dataset_keep_in_memory", kLoader},
    {"skip_prepare_dataset", kLoader},
    {"num_dataset_shards_to_save", kLoader},
    {"dataloader_pin_memory", kLoader},
    {"dataloader_num_workers", kLoader},
    {"dataloader_prefetch_factor", kLoader},
    {"remove_unused_columns", kLoader},
    {"streaming", kLoader},
    {"streaming_multipack_buffer_size", kLoader},
    {"sample_packing_group_size", kPacking},
    {"sample_packing_bin_size", kPacking},
    {"sample_packing_sequentially", kPacking},
    {"sample_packing_mp_start_method", kPacking},
    {"sample_packing_eff_est", kPacking},
    {"sample_packing_seq_len_multiplier", kPacking},
    {"multipack_real_batches", kPacking},
    {"batch_flattening", "batches are always flat"},
    {"pad_to_multiple_of", "no padding exists here"},
    {"group_by_length", "no padding exists here"},
    {"total_num_tokens", "counted"},
    {"total_supervised_tokens", "counted"},
    {"device", kDevices},
    {"device_map", kDevices},
    {"max_memory", kDevices},
    {"gpu_memory_limit", kDevices},
    {"low_cpu_mem_usage", "weights are used in place"},
    {"experimental_skip_move_to_device", kDevices},
    {"lora_on_cpu", kDevices},
    {"world_size", kDevices},
    {"local_rank", kDevices},
    {"ddp", kDevices},
    {"ddp_timeout", kDevices},
    {"ddp_bucket_cap_mb", kDevices},
    {"ddp_broadcast_buffers", kDevices},
    {"ddp_find_unused_parameters", kDevices},
    {"accelerator_config", kDevices},
    {"use_ray", kDevices},
    {"tf32", "float32 is float32"},
    {"gc_steps", "memory is returned at once"},
    {"gc_collect_steps", "memory is returned at once"},
    {"torch_empty_cache_steps", "memory is returned at once"},
    {"gradient_checkpointing_kwargs", "layers are computed again one by one"},
    {"activation_offloading", "activations stay in memory"},
    {"layer_offloading", "weights stay in memory"},
    {"save_safetensors", "always"},
    {"save_only_model", "a checkpoint can always be resumed"},
    {"merge_method", "merging is another command"},
    {"torchdistx_path", "not needed"},
    {"mean_resizing_embeddings", "embeddings keep their size"},
    {"shrink_embeddings", "embeddings keep their size"},
    {"greater_is_better", "the best evaluation has the lowest eval_loss"},
    {"axolotl_config_path", "not needed"},
};

// Families of keys by their beginning.
constexpr OtherKey kPrefixesWithoutEffect[] = {
    {"vllm_", kSampler},    {"wandb_", kTracker},   {"mlflow_", kTracker}, {"comet_", kTracker},
    {"trackio_", kTracker}, {"swanlab_", kTracker}, {"otel_", kTracker},   {"gradio_", "there is no such page"},
    {"ray_", kDevices},
};

constexpr std::string_view kOneDevice = "training runs on one device";
constexpr std::string_view kNotBuilt = "not built";

constexpr OtherKey kUnsupported[] = {
    {"deepspeed", kOneDevice},
    {"deepcompile", kOneDevice},
    {"fsdp", kOneDevice},
    {"fsdp_config", kOneDevice},
    {"fsdp_version", kOneDevice},
    {"fsdp_final_state_dict_type", kOneDevice},
    {"tensor_parallel_size", kOneDevice, "1"},
    {"context_parallel_size", kOneDevice, "1"},
    {"sequence_parallel_degree", kOneDevice, "1"},
    {"expert_parallel_size", kOneDevice, "1"},
    {"dp_shard_size", kOneDevice, "1"},
    {"dp_replicate_size", kOneDevice, "1"},
    {"ring_attn_func", kOneDevice},
    {"ebft", kNotBuilt},
    {"process_reward_model", kNotBuilt},
    {"rpo_alpha", kNotBuilt},
    {"bnb_config_kwargs", "NF4 with double quantization is what load_in_4bit makes"},
    {"gptq", kNotBuilt},
    {"qat", kNotBuilt},
    {"quantization", "quantizing the result is another command"},
    {"quantize_moe_experts", kNotBuilt},
    {"peft", "LoftQ is not built"},
    {"peft_layers_pattern", kNotBuilt},
    {"peft_layer_replication", kNotBuilt},
    {"peft_trainable_token_indices", kNotBuilt},
    {"relora", kNotBuilt},
    {"mora", kNotBuilt},
    {"lisa_n_layers", kNotBuilt},
    {"jagged_restart_steps", kNotBuilt},
    {"pretraining_dataset", "say datasets with type: completion"},
    {"tokens", "new tokens are not added to a vocabulary"},
    {"added_tokens_overrides", "new tokens are not added to a vocabulary"},
    {"resize_token_embeddings_to_32x", "embeddings keep their size"},
    {"fix_untrained_tokens", kNotBuilt},
    {"reinit_weights", kNotBuilt},
    {"model_config", "the config is the model's own"},
    {"overrides_of_model_config", "the config is the model's own"},
    {"model_kwargs", "the config is the model's own"},
    {"overrides_of_model_kwargs", "the config is the model's own"},
    {"model_revision", "models are files and folders"},
    {"revision_of_model", "models are files and folders"},
    {"model_quantization_config", kNotBuilt},
    {"tokenizer_config", "the tokenizer is the model's own"},
    {"cls_model_config", kNotBuilt},
    {"rope_scaling", "the config is the model's own"},
    {"fp16", "say bf16: true, or false for float32"},
    {"float16", "say bf16: true, or false for float32"},
    {"bfloat16", "say bf16: true"},
    {"float32", "say bf16: false"},
    {"fp8", kNotBuilt},
    {"batch_size", "say gradient_accumulation_steps"},
    {"auto_find_batch_size", kNotBuilt},
    {"optim_args", kNotBuilt},
    {"optim_target_modules", kNotBuilt},
    {"embedding_lr", kNotBuilt},
    {"embedding_lr_scale", kNotBuilt},
    {"lr_groups", kNotBuilt},
    {"lr_scheduler_kwargs", kNotBuilt},
    {"lr_quadratic_warmup", kNotBuilt},
    {"lr_div_factor", kNotBuilt},
    {"cosine_constant_lr_ratio", kNotBuilt},
    {"adam_epsilon2", kNotBuilt},
    {"adam_beta3", kNotBuilt},
    {"neftune_noise_alpha", kNotBuilt},
    {"noisy_embedding_alpha", kNotBuilt},
    {"s2_attention", kNotBuilt},
    {"scaling_softmax", kNotBuilt},
    {"use_pose", kNotBuilt},
    {"use_eaft", kNotBuilt},
    {"curriculum_sampling", kNotBuilt},
    {"shuffle_before_merging_datasets", kNotBuilt},
    {"dataset_exact_deduplication", "the report counts duplicates"},
    {"dataset_shard_num", kNotBuilt},
    {"dataset_shard_idx", kNotBuilt},
    {"eval_sequence_len", kNotBuilt},
    {"max_prompt_len", kNotBuilt},
    {"max_packed_sequence_len", "say sample_packing: true"},
    {"default_system_message", "say it in the data, or in the template"},
    {"chat_template_kwargs", kNotBuilt},
    {"do_causal_lm_eval", kNotBuilt},
    {"eval_causal_lm_metrics", kNotBuilt},
    {"do_bench_eval", kNotBuilt},
    {"bench_dataset", kNotBuilt},
    {"generate_samples", kNotBuilt},
    {"trainer_cls", kNotBuilt},
    {"dynamic_checkpoint", "a stopped run saves a checkpoint"},
    {"kd_trainer", "say rl: distill"},
    {"kd_normalize_topk", "the rest of the distribution is one outcome"},
    {"kd_online_server_base_url", kNotBuilt},
    {"lmbda", "the student's own samples are not distilled on"},
    {"seq_kd", "write_teacher_completions makes a data set of the teacher's answers"},
    {"diffusion", kNotBuilt},
    {"dense_mixer", kNotBuilt},
    {"generation_batch_size", "say steps_per_generation"},
    {"generation_kwargs", kNotBuilt},
    {"use_adaptive_entropy", kNotBuilt},
    {"rollout_func", kNotBuilt},
    {"max_tool_calling_iterations", kNotBuilt},
    {"sft_model_path", "say base_model"},
    {"total_episodes", "say max_steps or num_epochs"},
    {"stop_token", "a completion ends by EOS", "eos"},
    {"stop_token_id", "a completion ends by EOS"},
    {"llmcompressor", kNotBuilt},
    {"spectrum_top_fraction", kNotBuilt},
    {"lm_eval_tasks", kNotBuilt},
};

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

}  // namespace

const OtherKey* key_without_effect(std::string_view name) {
  for (const OtherKey& key : kWithoutEffect) {
    if (key.name == name) return &key;
  }
  for (const OtherKey& key : kPrefixesWithoutEffect) {
    if (name.starts_with(key.name)) return &key;
  }
  return nullptr;
}

const OtherKey* unsupported_key(std::string_view name) {
  const auto* found = std::find_if(std::begin(kUnsupported), std::end(kUnsupported),
                                   [&](const OtherKey& key) { return key.name == name; });
  return found == std::end(kUnsupported) ? nullptr : found;
}

std::vector<std::string_view> known_keys() {
  std::vector<std::string_view> names;
  for (const RunKey& key : run_keys()) names.push_back(key.name);
  for (const OtherKey& key : kWithoutEffect) names.push_back(key.name);
  for (const OtherKey& key : kUnsupported) names.push_back(key.name);
  return names;
}

std::string nearest_key(std::string_view name, std::span<const std::string_view> candidates) {
  std::string_view nearest;
  std::size_t best = 0;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(name.substr(0, 100), candidate);
    if (nearest.empty() || distance < best) {
      nearest = candidate;
      best = distance;
    }
  }
  return std::string(nearest);
}

}  // namespace powerhouse
