#include "quantization/source_model.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "kernels/cpu/kernels.h"
#include "kernels/reference/dequantize.h"
#include "powerhouse/error.h"
#include "support/sha256.h"
#include "support/shape_text.h"
#include "support/thread_team.h"

namespace powerhouse {
namespace {

/// Keys that a file of its own has in their place, or that say how the source lay on disk.
bool is_replaced(std::string_view key) {
  return key == "general.file_type" || key == "general.quantization_version" || key == "general.alignment" ||
         key == "split.no" || key == "split.count" || key == "split.tensors.count";
}

SourceTensor tensor_of(const TensorView& view) {
  SourceTensor tensor{
      .name = view.name, .shape = view.shape, .format = view.format, .bytes = view.data, .file = view.file};
  const BlockInfo info = block_info(view.format);
  const std::int64_t row_bytes = tensor.columns() / info.block_elements * info.block_bytes;
  const std::byte* const data = view.data;
  if (const auto element = element_of(view.format)) {
    tensor.rows = [=](std::int64_t begin, std::int64_t, std::vector<std::byte>&) {
      return SourceRows{data + begin * row_bytes, *element};
    };
  } else if (can_dequantize(view.format)) {
    tensor.quantized = true;
    tensor.rows = [=, format = view.format, columns = tensor.columns()](std::int64_t begin, std::int64_t end,
                                                                        std::vector<std::byte>& room) {
      room.resize(static_cast<std::size_t>((end - begin) * columns) * sizeof(float));
      parallel_for((end - begin) * columns / info.block_elements, 64, [&](std::int64_t first, std::int64_t last) {
        cpu::kernels().dequantize({.format = format, .source = data + begin * row_bytes, .destination = room.data()},
                                  first, last);
      });
      return SourceRows{room.data(), Element::f32};
    };
  } else {
    tensor.rows = [name = view.name, path = view.file->path(), info](std::int64_t, std::int64_t,
                                                                     std::vector<std::byte>&) -> SourceRows {
      throw Error(ErrorKind::unsupported, "a tensor of this type can't be quantized",
                  {.file = path, .field = name, .found = info.name});
    };
  }
  tensor.release = [view] { view.release(); };
  return tensor;
}

MixModel facts_of(const GgufFile& file) {
  MixModel facts{.architecture = std::string(file.string("general.architecture").value_or(""))};
  const auto first = [&](const char* suffix) -> std::int64_t {
    const auto values = file.integers(facts.architecture + suffix);
    return values && !values->empty() ? values->front() : 0;
  };
  facts.layers = first(".block_count");
  facts.heads = first(".attention.head_count");
  facts.key_value_heads = file.find(facts.architecture + ".attention.head_count_kv") != nullptr
                              ? first(".attention.head_count_kv")
                              : facts.heads;
  facts.experts = first(".expert_count");
  return facts;
}

}  // namespace

std::optional<Element> element_of(BlockFormat format) {
  switch (format) {
    case BlockFormat::f32: return Element::f32;
    case BlockFormat::f16: return Element::f16;
    case BlockFormat::bf16: return Element::bf16;
    default: return std::nullopt;
  }
}

std::int64_t SourceTensor::row_count() const {
  std::int64_t rows = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

std::int64_t SourceTensor::matrices() const {
  std::int64_t count = 1;
  for (std::size_t i = 0; i + 2 < shape.size(); ++i) count *= shape[i];
  return count;
}

std::string identity_of(const std::vector<TensorView>& tensors) {
  std::map<std::string, std::string> files;
  std::string text;
  for (const TensorView& view : tensors) {
    text += view.name + " " + block_info(view.format).name + " " + shape_text(view.shape) + "\n";
    const std::string& path = view.file->path();
    if (files.contains(path)) continue;
    struct stat info {};
    std::string& facts = files[path];
    facts = std::to_string(view.file->size());
    if (::stat(path.c_str(), &info) == 0) {
      facts += " " + std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec);
    }
  }
  for (const auto& [path, facts] : files) text += path.substr(path.rfind('/') + 1) + " " + facts + "\n";
  return sha256(text);
}

SourceModel gguf_source(const std::shared_ptr<const GgufFile>& file) {
  SourceModel source{.path = file->path(), .identity = identity_of(file->tensors()), .facts = facts_of(*file)};
  source.file_type = static_cast<int>(file->integer("general.file_type").value_or(0));
  for (GgufEntry& entry : verbatim_entries(*file)) {
    if (!is_replaced(entry.key)) source.metadata.push_back(std::move(entry));
  }
  for (const TensorView& view : file->tensors()) source.tensors.push_back(tensor_of(view));
  sort_tensors(source);
  return source;
}

void sort_tensors(SourceModel& source) {
  std::vector<MixTensor> named;
  for (const SourceTensor& tensor : source.tensors) named.push_back({.name = tensor.name, .shape = tensor.shape});
  std::vector<SourceTensor> sorted;
  for (const std::size_t i : mix_order(named)) sorted.push_back(std::move(source.tensors[i]));
  source.tensors = std::move(sorted);
}

}  // namespace powerhouse
