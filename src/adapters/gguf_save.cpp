#include "adapters/gguf_files.h"
#include "adapters/peft_files.h"
#include "formats/gguf_writer.h"
#include "model/saver.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

[[noreturn]] void refuse(std::string_view why, const std::string& what) {
  throw Error(ErrorKind::unsupported, why, {.field = what});
}

void check_plain(const Adapter& adapter) {
  if (adapter.lora_config() == nullptr) refuse("llama.cpp has LoRA adapters alone", adapter.name);
  if (!adapter.saved.empty()) refuse("llama.cpp's adapters hold no whole parameters", adapter.saved[0].file_name);
  if (adapter.tokens.rows.defined()) refuse("llama.cpp's adapters hold no rows of embeddings", adapter.tokens.module);
  for (const LoraModule& lora : adapter.lora) {
    if (lora.magnitude.defined()) refuse("llama.cpp has no DoRA; merge it instead", lora.module.name);
    if (lora.bias.defined()) refuse("llama.cpp's adapters have no biases", lora.module.name);
  }
}

void add(std::vector<TensorSource>& out, const std::string& name, const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  out.push_back({.name = name,
                 .format = BlockFormat::f32,
                 .shape = dense.sizes().vec(),
                 .bytes = dense.nbytes(),
                 .write = [dense](const auto& sink) { sink(dense.const_data_ptr(), dense.nbytes()); }});
}

// A and B as llama.cpp reads them; B's rows in the file's order, part by part.
void add(std::vector<TensorSource>& out, const LoraModule& lora, double alpha) {
  const HfModule& module = lora.module;
  if (module.weight->gguf.empty() || module.role != module.weight->role) {
    refuse("llama.cpp's file of this model has no tensor for a module", module.name);
  }
  const Assembly& assembly = module.weight->gguf.front();
  const double factor = static_cast<double>(lora.scale) * static_cast<double>(lora.rank) / alpha;
  const at::Tensor b = static_cast<float>(factor) == 1.0f ? lora.b.detach() : lora.b.detach().mul(factor);
  if (module.kind == ModuleKind::embedding) {
    add(out, assembly.names[0] + ".lora_a", lora.a.transpose(0, 1));
    add(out, assembly.names[0] + ".lora_b", b);
    return;
  }
  const bool experts = module.kind == ModuleKind::experts;
  const at::Tensor a = experts ? lora.a.view({module.experts, -1, module.inputs}) : lora.a;
  const at::Tensor rows = experts ? b.view({b.size(0), -1, module.experts}).permute({2, 0, 1}).contiguous() : b;
  for (std::size_t part = 0; part < assembly.names.size(); ++part) {
    Assembly as_rows = assembly;
    as_rows.transposed = false;
    at::Tensor own = stored_part(rows, as_rows, static_cast<std::int64_t>(part));
    if (experts) own = own.view({module.experts, -1, lora.rank});
    add(out, assembly.names[part] + ".lora_a", a);
    add(out, assembly.names[part] + ".lora_b", own);
  }
}

}  // namespace

void save_gguf_adapter(const Model& model, const Adapter& given, const std::string& path) {
  if (model.architecture->gguf_names.empty()) {
    refuse("llama.cpp has no graph for this family", std::string(model.architecture->name));
  }
  const Adapter adapter = as_plain_lora(given);
  check_plain(adapter);
  const double alpha = adapter.lora_config()->alpha != 0 ? adapter.lora_config()->alpha : 1;  // 0 means 1 to llama.cpp
  std::vector<TensorSource> tensors;
  for (const LoraModule& lora : adapter.lora) add(tensors, lora, alpha);
  const std::vector<GgufEntry> metadata = {
      {"general.architecture", std::string(model.architecture->gguf_names.front())},
      {"general.type", std::string("adapter")},
      {"general.name", adapter.name},
      {"adapter.type", std::string("lora")},
      {"adapter.lora.alpha", static_cast<float>(alpha)}};
  write_gguf(path, metadata, tensors);
}

}  // namespace powerhouse
