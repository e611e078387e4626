#include "model/bitsandbytes_saver.h"

#include <cstring>

#include "formats/bitsandbytes.h"
#include "model/quantize_at_load.h"
#include "model/saver.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

std::string name_of(BlockFormat format) { return four_bit_kind(format) == FourBit::nf4 ? "nf4" : "fp4"; }

// The part of every `step`th block from `begin` on, one behind the other.
TensorSource parts(const std::string& name, BlockFormat format, std::vector<std::int64_t> shape,
                   const TensorView& blocks, std::size_t begin, std::size_t size, std::int64_t step) {
  const auto stride = static_cast<std::size_t>(block_info(blocks.format).block_bytes * step);
  const std::size_t count = blocks.bytes / stride;
  return {.name = name,
          .format = format,
          .shape = std::move(shape),
          .bytes = count * size,
          .write = [blocks, begin, size, stride, count](const auto& sink) {
            std::vector<std::byte> out(count * size);
            for (std::size_t i = 0; i < count; ++i) {
              std::memcpy(out.data() + i * size, blocks.data + i * stride + begin, size);
            }
            sink(out.data(), out.size());
          }};
}

TensorSource bytes_source(const std::string& name, BlockFormat format, std::int64_t elements, std::string bytes) {
  return {.name = name,
          .format = format,
          .shape = {elements},
          .bytes = bytes.size(),
          .write = [bytes = std::move(bytes)](const auto& sink) { sink(bytes.data(), bytes.size()); }};
}

}  // namespace

bool add_bitsandbytes(std::vector<TensorSource>& sources, const Weight& weight, const Assembly& assembly,
                      at::ScalarType type) {
  const StoredWeight* const stored = weight.stored();
  if (stored == nullptr || !is_bitsandbytes(weight.format()) || stored->place || assembly.names.size() != 1) {
    return false;
  }
  const TensorView& blocks = stored->views.front();
  const std::string& name = assembly.names.front();
  const std::int64_t rows = stored->shape[0];
  const std::int64_t columns = stored->shape[1];
  const std::int64_t block = block_info(weight.format()).block_elements;
  if (weight.format() == BlockFormat::int8_rows) {
    sources.push_back(parts(name, BlockFormat::i8, stored->shape, blocks, 4, static_cast<std::size_t>(block), 1));
    const std::string module = name.substr(0, name.rfind('.'));
    sources.push_back(parts(module + ".SCB", BlockFormat::f32, {rows}, blocks, 0, 4, columns / block));
    return true;
  }
  const std::int64_t count = rows * columns;
  sources.push_back(parts(name, BlockFormat::u8, {count / 2, 1}, blocks, 4, static_cast<std::size_t>(block / 2), 1));
  sources.push_back(parts(name + ".absmax", BlockFormat::f32, {count / block}, blocks, 0, 4, 1));
  const float* const levels = four_bit_levels(four_bit_kind(weight.format()));
  sources.push_back(bytes_source(name + ".quant_map", BlockFormat::f32, 16,
                                 {reinterpret_cast<const char*>(levels), 16 * sizeof(float)}));
  JsonObject state;
  state["quant_type"] = name_of(weight.format());
  state["blocksize"] = block;
  state["dtype"] = std::string(torch_dtype(type));
  state["shape"] = Json::Array{rows, columns};
  const std::string text = Json(std::move(state)).dump();
  sources.push_back(bytes_source(name + ".quant_state.bitsandbytes__" + name_of(weight.format()), BlockFormat::u8,
                                 static_cast<std::int64_t>(text.size()), text));
  return true;
}

Json bitsandbytes_config(const Model& model) {
  std::optional<BlockFormat> format;
  Json::Array dense;
  for (const ParameterSpec& spec : model.weights.specs()) {
    const BlockFormat own = model.weights.weight(spec).format();
    if (is_bitsandbytes(own)) {
      const auto is_int8 = [](BlockFormat of) { return of == BlockFormat::int8_rows; };
      if (format && (is_int8(*format) != is_int8(own) || name_of(*format) != name_of(own))) {
        throw Error(ErrorKind::unsupported, "a folder holds one type of bitsandbytes", {.field = spec.name});
      }
      format = own;
    } else if (!spec.is_bias && is_linear(spec.role)) {
      dense.emplace_back(spec.name.substr(0, spec.name.rfind('.')));
    }
  }
  if (!format) return {};
  const bool int8 = *format == BlockFormat::int8_rows;
  JsonObject config;
  config["quant_method"] = "bitsandbytes";
  config["load_in_4bit"] = !int8;
  config["load_in_8bit"] = int8;
  config["bnb_4bit_quant_type"] = int8 ? "fp4" : name_of(*format);
  config["bnb_4bit_use_double_quant"] = false;
  config["bnb_4bit_compute_dtype"] = std::string(torch_dtype(model.type));
  config["bnb_4bit_quant_storage"] = "uint8";
  if (!dense.empty()) dense.emplace_back("lm_head");  // a list takes the place of transformers' own
  config["llm_int8_skip_modules"] = dense.empty() ? Json() : Json(std::move(dense));
  return Json(std::move(config));
}

}  // namespace powerhouse
