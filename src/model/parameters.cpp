#include "model/parameters.h"

#include "model/parameter_slots.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

// GGUF's names hang on the role, once for all families.
constexpr std::string_view gguf_name(Role role) {
  switch (role) {
    case Role::embed_tokens: return "token_embd";
    case Role::position_embeddings: return "position_embd";
    case Role::embedding_norm: return "token_embd_norm";
    case Role::project_in:
    case Role::project_out: return "";
    case Role::attention_norm: return "blk.{}.attn_norm";
    case Role::q_proj: return "blk.{}.attn_q";
    case Role::k_proj: return "blk.{}.attn_k";
    case Role::v_proj: return "blk.{}.attn_v";
    case Role::qkv_proj: return "blk.{}.attn_qkv";
    case Role::q_norm: return "blk.{}.attn_q_norm";
    case Role::k_norm: return "blk.{}.attn_k_norm";
    case Role::sinks: return "blk.{}.attn_sinks";
    case Role::o_proj: return "blk.{}.attn_output";
    case Role::attention_post_norm: return "blk.{}.post_attention_norm";
    case Role::mlp_norm: return "blk.{}.ffn_norm";
    case Role::gate_proj: return "blk.{}.ffn_gate";
    case Role::up_proj:
    case Role::gate_up_proj: return "blk.{}.ffn_up";
    case Role::down_proj: return "blk.{}.ffn_down";
    case Role::router: return "blk.{}.ffn_gate_inp";
    case Role::experts_gate_up: return "blk.{}.ffn_gate_exps";  // and ffn_up_exps
    case Role::experts_down: return "blk.{}.ffn_down_exps";
    case Role::shared_gate_proj: return "blk.{}.ffn_gate_shexp";
    case Role::shared_up_proj: return "blk.{}.ffn_up_shexp";
    case Role::shared_down_proj: return "blk.{}.ffn_down_shexp";
    case Role::shared_expert_gate: return "blk.{}.ffn_gate_inp_shexp";
    case Role::mlp_post_norm: return "blk.{}.post_ffw_norm";
    case Role::final_norm: return "output_norm";
    case Role::lm_head: return "output";
    case Role::score: return "";
  }
  return "";
}

std::string replaced(std::string text, std::string_view mark, std::int64_t value) {
  if (const auto at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), std::to_string(value));
  return text;
}

std::string expand(std::string_view pattern, std::int64_t layer) { return replaced(std::string(pattern), "{}", layer); }

// Our row (head, half, i) stands in the file at (head, i, half).
RowPlaces rope_pairs(std::int64_t head_dim) {
  return [head_dim](std::int64_t row) -> StoredRow {
    const std::int64_t inside = row % head_dim;
    return {0, row - inside + inside % (head_dim / 2) * 2 + inside / (head_dim / 2)};
  };
}

// Our row of a fused matrix, as its layout has it, in the order queries, keys, values.
std::int64_t concatenated_row(const Attention& attention, std::int64_t row) {
  const std::int64_t dim = attention.head_dim;
  const std::int64_t queries =
      attention.qkv == QkvLayout::grouped ? attention.num_heads / attention.num_key_value_heads : 1;
  const std::int64_t slot = row / dim % (queries + 2);
  const std::int64_t group = row / dim / (queries + 2);
  const std::int64_t inside = row % dim;
  if (slot < queries) return (group * queries + slot) * dim + inside;
  const std::int64_t before = attention.num_heads + (slot == queries ? 0 : attention.num_key_value_heads);
  return (before + group) * dim + inside;
}

bool is_concatenated(const Attention& attention) {
  return attention.qkv == QkvLayout::concatenated || attention.qkv == QkvLayout::separate;
}

RowPlaces concatenated(const Attention& attention) {
  if (is_concatenated(attention)) return nullptr;
  return [attention](std::int64_t row) -> StoredRow { return {0, concatenated_row(attention, row)}; };
}

// Builds the specs of one layer, or of what stands outside layers.
class SpecBuilder {
 public:
  SpecBuilder(const Architecture& architecture, const Block& block, std::int64_t layer, std::vector<ParameterSpec>& out)
      : architecture_(architecture), block_(block), layer_(layer), out_(out) {}

  void add(const Slot& slot) {
    std::vector<const WeightName*> rows;
    for (const WeightName& row : architecture_.weights) {
      if (row.role == slot.role && (row.applies == nullptr || row.applies(block_))) rows.push_back(&row);
    }
    if (rows.empty()) {
      throw Error(ErrorKind::unsupported, "the architecture has no name for a parameter that its config calls for",
                  {.field = std::string(gguf_name(slot.role))});
    }
    if (slot.weight) add(slot, rows, false);
    if (slot.bias) add(slot, rows, true);
  }

 private:
  void add(const Slot& slot, const std::vector<const WeightName*>& rows, bool is_bias) {
    ParameterSpec spec{.role = slot.role, .layer = layer_, .is_bias = is_bias};
    std::vector<std::int64_t> shape = slot.shape;  // of rows of outputs
    if (is_bias && shape.size() > 1) shape.pop_back();
    spec.shape = shape;
    spec.transposed = !is_bias && rows.front()->form == HfForm::transposed;
    if (spec.transposed) std::swap(spec.shape[shape.size() - 2], spec.shape.back());
    for (const WeightName* row : rows) {
      Assembly assembly = in_folder(*row, slot, shape, is_bias);
      if (row == rows.front()) spec.name = handed_out(*row, is_bias);
      if (assembly.names.size() == 1 && row != rows.front()) spec.aliases.push_back(assembly.names.front());
      spec.hf.insert(row->written ? spec.hf.begin() : spec.hf.end(), std::move(assembly));
    }
    spec.gguf = in_gguf(*rows.front(), slot, shape, is_bias);
    out_.push_back(std::move(spec));
  }

  static std::string suffix_of(const WeightName& row, bool is_bias) {
    return std::string(is_bias ? row.bias_suffix : row.suffix);
  }

  std::string handed_out(const WeightName& row, bool is_bias) const {
    std::string name = expand(row.hf_name, layer_);
    // A vector a head is one matrix here, under the name of the whole.
    if (row.form == HfForm::per_head) name.resize(name.find(".norms."));
    return name + suffix_of(row, is_bias);
  }

  Assembly in_folder(const WeightName& row, const Slot& slot, const std::vector<std::int64_t>& shape,
                     bool is_bias) const {
    const std::string name = expand(row.hf_name, layer_);
    const std::string suffix = suffix_of(row, is_bias);
    switch (row.form) {
      case HfForm::plain: break;
      case HfForm::transposed:
        if (is_bias) break;
        return {.names = {name + suffix}, .shape = swapped(shape), .transposed = true};
      case HfForm::per_head: {
        Assembly out{.shape = {shape[1]}, .place = [](std::int64_t head) -> StoredRow { return {head, 0}; }};
        for (std::int64_t head = 0; head < shape[0]; ++head) out.names.push_back(replaced(name, "{e}", head) + suffix);
        return out;
      }
      case HfForm::per_expert: return of_experts(row, slot, name + suffix);
    }
    return {.names = {name + suffix}, .shape = shape};
  }

  static std::vector<std::int64_t> swapped(std::vector<std::int64_t> shape) {
    std::swap(shape[shape.size() - 2], shape.back());
    return shape;
  }

  Assembly of_experts(const WeightName& row, const Slot& slot, const std::string& name) const {
    const std::int64_t rows = slot.shape[1];
    const bool halves = !row.hf_second.empty();
    const std::int64_t half = halves ? rows / 2 : rows;
    const std::int64_t per_expert = rows / half;
    Assembly out{.shape = {half, slot.shape[2]}, .place = [half](std::int64_t at) -> StoredRow {
                   return {at / half, at % half};
                 }};
    for (std::int64_t expert = 0; expert < slot.shape[0]; ++expert) {
      out.names.push_back(replaced(name, "{e}", expert));
      if (per_expert == 2) {
        out.names.push_back(replaced(expand(row.hf_second, layer_), "{e}", expert) + std::string(row.suffix));
      }
    }
    return out;
  }

  std::vector<Assembly> in_gguf(const WeightName& row, const Slot& slot, const std::vector<std::int64_t>& shape,
                                bool is_bias) const {
    const std::string_view pattern = row.gguf_name.empty() ? gguf_name(slot.role) : row.gguf_name;
    if (pattern.empty()) return {};
    const std::string suffix = is_bias ? ".bias" : ".weight";
    const std::string name = expand(pattern, layer_) + suffix;
    const Attention& attention = block_.attention;
    if (slot.role == Role::experts_gate_up) return experts_in_gguf(slot, is_bias);
    if (slot.role == Role::experts_down && !is_bias) {
      return {{.names = {name}, .shape = shape}, old_experts_in_gguf({"blk.{}.ffn_down.{e}.weight"}, slot)};
    }
    Assembly main{.names = {name}, .shape = shape, .offset = slot.unit_offset && !is_bias ? 1.0f : 0.0f};
    if (row.gguf_rows == GgufRows::rope_pairs) main.place = rope_pairs(attention.head_dim);
    if (row.gguf_rows == GgufRows::concatenated) main.place = concatenated(attention);
    std::vector<Assembly> out = {main};
    // Conversions differ in whether they fuse query, key and value.
    if (slot.role == Role::q_proj || slot.role == Role::k_proj || slot.role == Role::v_proj) {
      out.push_back(part_of_fused(slot, shape, suffix, main.place));
    } else if (slot.role == Role::qkv_proj && attention.num_heads == attention.num_key_value_heads) {
      out.push_back(fused_of_parts(shape, suffix));
    }
    return out;
  }

  Assembly part_of_fused(const Slot& slot, const std::vector<std::int64_t>& shape, const std::string& suffix,
                         const RowPlaces& inner) const {
    const Attention& attention = block_.attention;
    const std::int64_t query = attention.num_heads * attention.head_dim;
    const std::int64_t key = attention.num_key_value_heads * attention.head_dim;
    const std::int64_t first = slot.role == Role::q_proj ? 0 : slot.role == Role::k_proj ? query : query + key;
    std::vector<std::int64_t> whole = shape;
    whole[0] = query + 2 * key;
    return {.names = {expand("blk.{}.attn_qkv", layer_) + suffix},
            .shape = whole,
            .place = [first, inner](std::int64_t row) -> StoredRow {
              return {0, first + (inner ? inner(row).row : row)};
            }};
  }

  Assembly fused_of_parts(const std::vector<std::int64_t>& shape, const std::string& suffix) const {
    const Attention& attention = block_.attention;
    const std::int64_t rows = attention.num_heads * attention.head_dim;
    std::vector<std::int64_t> part = shape;
    part[0] = rows;
    Assembly out{.shape = part, .place = [attention, rows](std::int64_t row) -> StoredRow {
                   const std::int64_t at = is_concatenated(attention) ? row : concatenated_row(attention, row);
                   return {at / rows, at % rows};
                 }};
    for (const char* name : {"blk.{}.attn_q", "blk.{}.attn_k", "blk.{}.attn_v"}) {
      out.names.push_back(expand(name, layer_) + suffix);
    }
    return out;
  }

  // Our row (expert, gate or up, i) stands in that one's tensor at (expert, i); a bias' elements lie alike.
  RowPlaces gate_apart_from_up(std::int64_t inner) const {
    const bool interleaved = block_.mlp.moe->interleaved_gate_up;
    return [inner, interleaved](std::int64_t row) -> StoredRow {
      const std::int64_t expert = row / (2 * inner);
      const std::int64_t inside = row % (2 * inner);
      if (interleaved) return {inside % 2, expert * inner + inside / 2};
      return {inside / inner, expert * inner + inside % inner};
    };
  }

  std::vector<Assembly> experts_in_gguf(const Slot& slot, bool is_bias) const {
    const std::int64_t inner = slot.shape[1] / 2;
    const std::string suffix = is_bias ? ".bias" : ".weight";
    Assembly main{
        .names = {expand("blk.{}.ffn_gate_exps", layer_) + suffix, expand("blk.{}.ffn_up_exps", layer_) + suffix},
        .shape = {slot.shape[0], inner},
        .place = gate_apart_from_up(inner),
        .by_element = is_bias};
    if (is_bias) return {main};
    main.shape.push_back(slot.shape[2]);
    // Families with alternating rows are younger than files with a tensor an expert.
    if (block_.mlp.moe->interleaved_gate_up) return {main};
    return {main, old_experts_in_gguf({"blk.{}.ffn_gate.{e}.weight", "blk.{}.ffn_up.{e}.weight"}, slot)};
  }

  // Files of 2023 and 2024 have a tensor an expert.
  Assembly old_experts_in_gguf(const std::vector<std::string_view>& names, const Slot& slot) const {
    const auto parts = static_cast<std::int64_t>(names.size());
    const std::int64_t rows = slot.shape[1] / parts;
    Assembly out{.shape = {rows, slot.shape[2]}, .place = [rows](std::int64_t row) -> StoredRow {
                   return {row / rows, row % rows};
                 }};
    for (std::int64_t expert = 0; expert < slot.shape[0]; ++expert) {
      for (const std::string_view name : names) out.names.push_back(replaced(expand(name, layer_), "{e}", expert));
    }
    return out;
  }

  const Architecture& architecture_;
  const Block& block_;
  std::int64_t layer_;
  std::vector<ParameterSpec>& out_;
};

// All families call it so.
ParameterSpec score_spec(std::int64_t labels, std::int64_t inputs) {
  ParameterSpec spec{.role = Role::score, .name = "score.weight", .shape = {labels, inputs}};
  spec.hf = {{.names = {spec.name}, .shape = spec.shape}};
  spec.gguf = {{.names = {"cls.output.weight"}, .shape = spec.shape}};  // of llama.cpp's rerankers
  return spec;
}

}  // namespace

std::vector<ParameterSpec> parameter_specs(const Architecture& architecture, const ModelConfig& config) {
  std::vector<ParameterSpec> specs;
  const Block none;
  SpecBuilder outside(architecture, none, -1, specs);
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t embedding = config.embedding_size > 0 ? config.embedding_size : hidden;
  outside.add({Role::embed_tokens, {config.vocab_size, embedding}});
  if (config.learned_positions > 0) outside.add({Role::position_embeddings, {config.learned_positions, hidden}});
  if (config.embedding_norm) outside.add(norm_slot(Role::embedding_norm, *config.embedding_norm, {hidden}));
  if (embedding != hidden) outside.add({Role::project_in, {hidden, embedding}});
  for (std::size_t layer = 0; layer < config.layers.size(); ++layer) {
    SpecBuilder inside(architecture, config.layers[layer], static_cast<std::int64_t>(layer), specs);
    for (const Slot& slot : layer_slots(config, config.layers[layer])) inside.add(slot);
  }
  if (config.final_norm) outside.add(norm_slot(Role::final_norm, *config.final_norm, {hidden}));
  if (embedding != hidden) outside.add({Role::project_out, {embedding, hidden}});
  if (config.sequence_head) {
    specs.push_back(score_spec(config.sequence_head->num_labels(), embedding));
  } else {
    outside.add({Role::lm_head, {config.vocab_size, embedding}, config.lm_head_bias, !config.tie_word_embeddings});
  }
  return specs;
}

}  // namespace powerhouse
