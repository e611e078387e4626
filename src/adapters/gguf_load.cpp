#include <algorithm>
#include <array>
#include <set>

#include "adapters/gguf_files.h"
#include "adapters/targets.h"
#include "formats/gguf_reader.h"
#include "kernels/reference/dequantize.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/shape_text.h"

namespace powerhouse {
namespace {

// A and B of one of the file's tensors: [r, in] and [out, r], or with an expert's number in front.
struct Pair {
  at::Tensor a, b;
  bool defined() const { return a.defined(); }
  std::int64_t rank() const { return b.size(-1); }
};

class Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file) {}

  Pair take(const std::string& name) {
    const TensorView* a = file_.find_tensor(name + ".lora_a");
    const TensorView* b = file_.find_tensor(name + ".lora_b");
    if (a == nullptr && b == nullptr) return {};
    if (a == nullptr || b == nullptr) fail("the adapter lacks a tensor", name + (a == nullptr ? ".lora_a" : ".lora_b"));
    taken_.insert(a->name);
    taken_.insert(b->name);
    return {read(*a), read(*b)};
  }

  [[noreturn]] void fail(std::string_view why, const std::string& tensor, const std::string& expected = "",
                         const std::string& found = "") const {
    throw Error(ErrorKind::format, why, {.file = file_.path(), .field = tensor, .expected = expected, .found = found});
  }

  void check_all_taken() const {
    for (const TensorView& view : file_.tensors()) {
      if (!taken_.contains(view.name)) fail("the model has no place for a tensor of the adapter", view.name);
    }
  }

 private:
  at::Tensor read(const TensorView& view) const {
    if (view.shape.size() < 2 || !can_dequantize(view.format)) fail("not a matrix of an adapter", view.name);
    at::Tensor out = empty_tensor(view.shape, at::kFloat);
    dequantize_row(view.format, view.data, out.mutable_data_ptr<float>(), out.numel());
    if (!out.sum().isfinite().item<bool>()) fail("an adapter's tensor holds NaN or infinity", view.name);
    return out;
  }

  const GgufFile& file_;
  std::set<std::string> taken_;
};

// [experts, r, in] and [experts, out, r], with one expert where the module has none.
void check_shapes(const Reader& reader, const std::string& name, Pair& pair, const HfModule& module,
                  std::int64_t outputs) {
  const std::int64_t experts = std::max<std::int64_t>(1, module.experts);
  const auto want = [&](at::Tensor& tensor, std::int64_t rows, std::int64_t columns, const char* end) {
    const bool fits =
        tensor.numel() == experts * rows * columns && tensor.size(-1) == columns && tensor.size(-2) == rows;
    if (!fits) {
      reader.fail("an adapter's tensor does not fit the model", name + end,
                  shape_text(std::array{experts, rows, columns}), shape_text(tensor.sizes()));
    }
    tensor = tensor.reshape({experts, rows, columns});
  };
  want(pair.a, pair.rank(), module.inputs, ".lora_a");
  want(pair.b, outputs, pair.rank(), ".lora_b");
}

// Our rows of B out of the file's: those of each part stand in columns of their own.
LoraModule assembled(Reader& reader, const HfModule& module, const Assembly& assembly, std::vector<Pair> parts,
                     double alpha) {
  const std::int64_t experts = std::max<std::int64_t>(1, module.experts);
  const auto count = static_cast<std::int64_t>(parts.size());
  const std::int64_t outputs = module.outputs / count;
  std::int64_t rank = 0;
  double scale = 0;
  std::vector<std::int64_t> first;  // column of each part
  std::vector<at::Tensor> a;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    first.push_back(rank);
    if (!parts[i].defined()) continue;
    check_shapes(reader, assembly.names[i], parts[i], module, outputs);
    const double own = alpha != 0 ? alpha / static_cast<double>(parts[i].rank()) : 1;
    if (scale == 0) scale = own;
    if (own != scale) parts[i].b = parts[i].b.mul(own / scale);
    a.push_back(parts[i].a);
    rank += parts[i].rank();
  }
  at::Tensor b = empty_tensor({experts * module.outputs, rank}, at::kFloat).zero_();
  for (std::int64_t row = 0; row < experts * module.outputs; ++row) {
    const StoredRow place = assembly.place ? assembly.place(row) : StoredRow{0, row};
    const Pair& part = parts[static_cast<std::size_t>(place.tensor)];
    if (!part.defined()) continue;
    const at::Tensor from = part.b.view({experts * outputs, part.rank()})[place.row];
    b[row].narrow(0, first[static_cast<std::size_t>(place.tensor)], part.rank()).copy_(from);
  }
  LoraModule lora{.module = module, .file_name = module.name, .rank = rank, .alpha = scale * static_cast<double>(rank)};
  lora.scale = static_cast<float>(scale);
  lora.a = concatenate(a, 1).reshape({experts * rank, module.inputs});
  lora.b = b.view({experts, module.outputs, rank}).permute({1, 2, 0}).reshape({module.outputs, rank * experts});
  return lora;
}

LoraModule embedding(const Reader& reader, const HfModule& module, const std::string& name, const Pair& pair,
                     double alpha) {
  const std::int64_t rank = pair.rank();
  const bool fits = pair.a.sizes() == at::IntArrayRef({module.inputs, rank}) &&
                    pair.b.sizes() == at::IntArrayRef({module.outputs, rank});
  if (!fits) reader.fail("an adapter's tensor does not fit the model", name, "", shape_text(pair.a.sizes()));
  LoraModule lora{.module = module, .file_name = module.name, .rank = rank};
  lora.alpha = alpha != 0 ? alpha : static_cast<double>(rank);
  lora.scale = lora_scale(lora.alpha, rank, false);
  lora.a = pair.a.transpose(0, 1).contiguous();
  lora.b = pair.b;
  return lora;
}

std::string escaped(const std::string& name) {
  std::string out;
  for (const char c : name) out += c == '.' ? std::string("\\.") : std::string(1, c);
  return out;
}

LoraConfig config_of(const std::vector<LoraModule>& modules, std::span<const HfModule> all) {
  LoraConfig config{.rank = modules.front().rank, .alpha = modules.front().alpha};
  std::vector<HfModule> plain;
  for (const LoraModule& lora : modules) {
    const HfModule& module = lora.module;
    const bool parameter = module.kind == ModuleKind::experts || module.kind == ModuleKind::router;
    if (parameter) config.target_parameters.push_back(module.full_parameter());
    if (!parameter) plain.push_back(module);
    const std::string key = escaped(parameter ? module.full_parameter() : module.name);
    if (lora.rank != config.rank) config.rank_pattern.emplace_back(key, lora.rank);
    if (lora.alpha != config.alpha) config.alpha_pattern.emplace_back(key, lora.alpha);
  }
  config.target_modules = target_names(plain, all);
  return config;
}

void check_header(const GgufFile& file, const Model& model) {
  const auto wrong = [&](std::string_view key, std::string_view expected, std::string_view found) {
    throw Error(ErrorKind::format, "not an adapter of this model",
                {.file = file.path(),
                 .field = std::string(key),
                 .expected = std::string(expected),
                 .found = std::string(found)});
  };
  const std::string_view type = file.string("general.type").value_or("");
  if (type != "adapter") wrong("general.type", "adapter", type);
  const std::string_view kind = file.string("adapter.type").value_or("");
  if (kind != "lora") wrong("adapter.type", "lora", kind);
  const std::string_view architecture = file.require_string("general.architecture");
  const auto names = model.architecture->gguf_names;
  if (std::find(names.begin(), names.end(), architecture) == names.end()) {
    wrong("general.architecture", names.empty() ? "" : names.front(), architecture);
  }
  if (file.find("adapter.alora.invocation_tokens") != nullptr) {
    throw Error(ErrorKind::unsupported, "activated LoRA is not built",
                {.file = file.path(), .field = "adapter.alora.invocation_tokens"});
  }
}

}  // namespace

Adapter load_gguf_adapter(const Model& model, const std::string& path, const std::string& name) {
  const auto file = GgufFile::open(path);
  check_header(*file, model);
  const double alpha = file->number("adapter.lora.alpha").value_or(0);
  Reader reader(*file);
  std::vector<LoraModule> modules;
  const std::vector<HfModule> all = hf_modules(model);
  for (const HfModule& module : all) {
    if (module.kind == ModuleKind::other || module.role != module.weight->role) continue;
    for (const Assembly& assembly : module.weight->gguf) {
      if (assembly.names.size() == 1 && &assembly != &module.weight->gguf.front()) continue;  // a part of a fused one
      std::vector<Pair> parts;
      for (const std::string& tensor : assembly.names) parts.push_back(reader.take(tensor));
      if (std::none_of(parts.begin(), parts.end(), [](const Pair& pair) { return pair.defined(); })) continue;
      modules.push_back(module.kind == ModuleKind::embedding
                            ? embedding(reader, module, assembly.names[0], parts[0], alpha)
                            : assembled(reader, module, assembly, std::move(parts), alpha));
      break;
    }
  }
  reader.check_all_taken();
  if (modules.empty()) reader.fail("the adapter has no tensors", "tensors");
  for (LoraModule& lora : modules) {
    const bool wrapped = std::any_of(modules.begin(), modules.end(), [&](const LoraModule& other) {
      return other.module.role == Role::experts_down && other.module.layer == lora.module.layer;
    });
    if (lora.module.role == Role::experts_gate_up && wrapped) lora.file_name += ".base_layer";
  }
  return {.name = name, .config = config_of(modules, all), .lora = std::move(modules)};
}

}  // namespace powerhouse
