#include "calibration/folder_source.h"

#include <cstring>
#include <filesystem>

#include "kernels/common/element.h"
#include "model/gguf_config.h"
#include "model/gguf_description.h"
#include "model/loader.h"
#include "ops/dequantize.h"
#include "powerhouse/error.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

// A parameter of the folder on its way into a tensor of the file.
struct Part {
  StoredWeight stored{};
  std::vector<std::int64_t> order{};  // the canonical row that each row of the tensor is; empty: as they are
  float added = 0.0f;

  std::int64_t canonical(std::int64_t row) const { return order.empty() ? row : order[static_cast<std::size_t>(row)]; }
  // Whether rows [begin, end) lie one behind the other as they will in the file.
  bool lie_in_order() const { return order.empty() && !stored.place && stored.views.size() == 1; }
};

// Where each row of one of an assembly's tensors is among ours; places count elements of vectors.
std::vector<std::int64_t> order_of(const Assembly& assembly, std::int64_t part, std::int64_t rows, std::int64_t ours) {
  if (!assembly.place) return {};
  std::vector<std::int64_t> order(static_cast<std::size_t>(rows));
  bool in_order = assembly.names.size() == 1;
  for (std::int64_t row = 0; row < ours; ++row) {
    const StoredRow place = assembly.place(row);
    if (place.tensor != part) continue;
    order[static_cast<std::size_t>(place.row)] = row;
    in_order = in_order && place.row == row;
  }
  return in_order ? std::vector<std::int64_t>() : order;
}

std::int64_t product(std::span<const std::int64_t> sizes) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) count *= size;
  return count;
}

// Rows [begin, end) of a matrix that a folder holds as [in, out], in float32.
void read_transposed(const Part& part, std::int64_t begin, std::int64_t end, float* out) {
  const std::int64_t inputs = part.stored.shape.back();
  const std::int64_t outputs = part.stored.shape[part.stored.shape.size() - 2];
  const TensorView& view = part.stored.views.front();
  const Element type = element_of(view.format).value_or(Element::f32);
  parallel_for(end - begin, 16, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t column = 0; column < inputs; ++column) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int64_t row = part.canonical(begin + i);
        const std::int64_t at = row / outputs * inputs * outputs + column * outputs + row % outputs;
        out[i * inputs + column] = read_element(view.data, type, at) - part.stored.offset + part.added;
      }
    }
  });
}

// The same where it holds rows of outputs, in any format.
void read_converted(const Part& part, std::int64_t begin, std::int64_t end, float* out) {
  const std::int64_t columns = part.stored.columns();
  for (std::int64_t row = begin; row < end;) {
    std::int64_t run = 1;
    while (row + run < end && part.canonical(row + run) == part.canonical(row) + run) ++run;
    float* const to = out + (row - begin) * columns;
    dequantize_rows(part.stored, part.canonical(row), run, Element::f32, reinterpret_cast<std::byte*>(to));
    if (part.added != 0.0f) {
      for (std::int64_t i = 0; i < run * columns; ++i) to[i] += part.added;
    }
    row += run;
  }
}

SourceRows read_rows(const Part& part, std::int64_t begin, std::int64_t end, std::vector<std::byte>& room) {
  const StoredWeight& stored = part.stored;
  const std::optional<Element> element = element_of(stored.format());
  const std::int64_t columns = stored.columns();
  if (stored.transposed && !element) {
    throw Error(ErrorKind::unsupported, "a transposed tensor of this type can't be read",
                {.field = stored.views.front().name, .found = block_info(stored.format()).name});
  }
  if (stored.transposed || !element || stored.offset != part.added) {
    room.resize(static_cast<std::size_t>((end - begin) * columns) * sizeof(float));
    (stored.transposed ? read_transposed : read_converted)(part, begin, end, reinterpret_cast<float*>(room.data()));
    return {room.data(), Element::f32};
  }
  const auto row_bytes = static_cast<std::size_t>(stored.row_bytes());
  if (part.lie_in_order()) return {stored.views.front().data + static_cast<std::size_t>(begin) * row_bytes, *element};
  room.resize(static_cast<std::size_t>(end - begin) * row_bytes);
  parallel_for(end - begin, 64, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      std::memcpy(room.data() + static_cast<std::size_t>(i) * row_bytes, stored.row(part.canonical(begin + i)),
                  row_bytes);
    }
  });
  return {room.data(), *element};
}

// Vectors, and what is placed by element: small, so whole at once.
SourceRows read_elements(const Part& part, std::int64_t elements, std::vector<std::byte>& room) {
  const std::vector<float> values = Weight::from_file("", part.stored, false, at::kFloat).floats();
  room.resize(static_cast<std::size_t>(elements) * sizeof(float));
  auto* const out = reinterpret_cast<float*>(room.data());
  for (std::int64_t i = 0; i < elements; ++i) out[i] = values[static_cast<std::size_t>(part.canonical(i))] + part.added;
  return {out, Element::f32};
}

SourceTensor tensor_of(const ParameterSpec& spec, const FoundWeight& found, const Assembly& assembly,
                       std::int64_t index) {
  const auto part = std::make_shared<Part>(Part{.stored = stored_weight(spec, found), .added = assembly.offset});
  SourceTensor tensor{.name = assembly.names[static_cast<std::size_t>(index)], .shape = assembly.shape};
  const BlockFormat format = part->stored.format();
  const bool by_element = assembly.by_element || tensor.shape.size() == 1;
  tensor.quantized = block_info(format).block_elements > 1;
  tensor.format = stays_float32(spec, assembly) || by_element ? BlockFormat::f32
                  : element_of(format)                        ? format
                                                              : BlockFormat::bf16;
  part->order = order_of(assembly, index, by_element ? product(tensor.shape) : tensor.row_count(),
                         by_element ? product(part->stored.shape) : part->stored.rows());
  if (by_element) {
    tensor.rows = [part, elements = product(tensor.shape), columns = tensor.columns()](std::int64_t begin, std::int64_t,
                                                                                       std::vector<std::byte>& room) {
      const SourceRows all = read_elements(*part, elements, room);
      return SourceRows{static_cast<const float*>(all.data) + begin * columns, all.type};
    };
  } else {
    tensor.rows = [part](std::int64_t begin, std::int64_t end, std::vector<std::byte>& room) {
      return read_rows(*part, begin, end, room);
    };
  }
  tensor.release = [part] {
    for (const TensorView& view : part->stored.views) view.release();
  };
  return tensor;
}

SourceTensor constant(const std::string& name, const std::vector<float>& values) {
  return {.name = name,
          .shape = {static_cast<std::int64_t>(values.size())},
          .format = BlockFormat::f32,
          .rows =
              [values](std::int64_t, std::int64_t, std::vector<std::byte>&) {
                return SourceRows{values.data(), Element::f32};
              },
          .release = [] {}};
}

MixModel facts_of(const Architecture& architecture, const ModelConfig& config) {
  MixModel facts{.architecture = std::string(architecture.gguf_names.front()),
                 .layers = static_cast<std::int64_t>(config.layers.size())};
  if (!config.layers.empty()) {
    facts.heads = config.layers.front().attention.num_heads;
    facts.key_value_heads = config.layers.front().attention.num_key_value_heads;
  }
  for (const Block& block : config.layers) {
    if (block.mlp.moe && facts.experts == 0) facts.experts = block.mlp.moe->num_experts;
  }
  return facts;
}

// llama.cpp's llama_ftype of the type that most numbers have.
int file_type_of(const SourceModel& source) {
  std::int64_t f16 = 0;
  std::int64_t bf16 = 0;
  std::int64_t all = 0;
  for (const SourceTensor& tensor : source.tensors) {
    const std::int64_t count = tensor.row_count() * tensor.columns();
    all += count;
    if (tensor.format == BlockFormat::f16) f16 += count;
    if (tensor.format == BlockFormat::bf16) bf16 += count;
  }
  constexpr int kF16 = 1;
  constexpr int kBf16 = 32;
  return 2 * f16 > all ? kF16 : 2 * bf16 > all ? kBf16 : 0;
}

std::string name_of(const std::string& folder) {
  std::error_code failure;
  std::filesystem::path path = std::filesystem::canonical(folder, failure);
  return failure ? folder : path.filename().string();
}

}  // namespace

SourceModel folder_source(const Checkpoint& checkpoint) {
  const LoadedConfig loaded = load_config(checkpoint);
  const GgufDescription described =
      describe_as_gguf(*loaded.architecture, loaded.config, checkpoint.path, name_of(checkpoint.path));
  SourceModel source{.path = checkpoint.path,
                     .identity = identity_of(checkpoint.tensors),
                     .metadata = described.metadata,
                     .facts = facts_of(*loaded.architecture, loaded.config),
                     .check = described.check};
  for (const auto& [name, values] : described.tensors) source.tensors.push_back(constant(name, values));
  const std::vector<ParameterSpec> specs = parameter_specs(*loaded.architecture, loaded.config);
  const TensorMatch match = match_all(checkpoint, loaded, specs);
  for (std::size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].gguf.empty()) GgufConfig::refuse_unless(false, specs[i].name);
    const Assembly& assembly = specs[i].gguf.front();
    for (std::size_t part = 0; part < assembly.names.size(); ++part) {
      source.tensors.push_back(tensor_of(specs[i], match.found[i], assembly, static_cast<std::int64_t>(part)));
    }
  }
  sort_tensors(source);
  source.file_type = file_type_of(source);
  return source;
}

SourceModel open_source(const std::string& path) {
  const Checkpoint checkpoint = open_checkpoint(path);
  return checkpoint.kind == CheckpointKind::gguf ? gguf_source(checkpoint.gguf) : folder_source(checkpoint);
}

}  // namespace powerhouse
