#include "formats/bitsandbytes.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <unordered_map>

#include "powerhouse/error.h"
#include "support/json.h"

namespace powerhouse {
namespace {

constexpr std::int64_t kLeastBlock = 32;
constexpr std::string_view kState = ".quant_state.bitsandbytes__";

[[noreturn]] void broken(const TensorView& view, const std::string& expected, const std::string& found) {
  throw Error(ErrorKind::format, "a broken tensor of bitsandbytes",
              {.file = view.file->path(), .field = view.name, .expected = expected, .found = found});
}

[[noreturn]] void unsupported(const TensorView& view, const std::string& expected, std::int64_t found) {
  throw Error(ErrorKind::unsupported, "a quantized weight that is not read",
              {.file = view.file->path(), .field = view.name, .expected = expected, .found = std::to_string(found)});
}

using ByName = std::unordered_map<std::string_view, const TensorView*>;

const TensorView& require(const ByName& tensors, const TensorView& weight, const std::string& name, BlockFormat format,
                          std::int64_t elements) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    throw Error(ErrorKind::format, "tensors are missing", {.file = weight.file->path(), .field = name});
  }
  const TensorView& view = *found->second;
  if (view.format != format || view.elements() != elements) {
    broken(view, std::to_string(elements) + " of " + block_info(format).name,
           std::to_string(view.elements()) + " of " + block_info(view.format).name);
  }
  return view;
}

std::vector<float> floats_of(const TensorView& view) {
  std::vector<float> values(view.bytes / sizeof(float));
  std::memcpy(values.data(), view.data, values.size() * sizeof(float));
  return values;
}

struct State {
  FourBit kind = FourBit::nf4;
  std::int64_t block_size = 0;
  std::vector<std::int64_t> shape{};
  bool nested = false;
  std::int64_t nested_block_size = 0;
  float offset = 0.0f;

  std::int64_t elements() const { return shape[0] * shape[1]; }
  std::int64_t blocks() const { return (elements() + block_size - 1) / block_size; }
};

State read_state(const TensorView& view, std::string_view kind) {
  const Json json = Json::parse({reinterpret_cast<const char*>(view.data), view.bytes}, view.name);
  State state;
  const auto get = [&](std::string_view key) -> const Json& {
    const Json* value = json.get(key);
    if (value == nullptr) broken(view, std::string(key), "nothing");
    return *value;
  };
  if (kind != "nf4" && kind != "fp4") broken(view, "nf4 or fp4", std::string(kind));
  if (const std::string& type = get("quant_type").as_string("quant_type"); type != kind) {
    broken(view, std::string(kind), type);
  }
  state.kind = kind == "nf4" ? FourBit::nf4 : FourBit::fp4;
  state.block_size = get("blocksize").as_integer("blocksize");
  for (const Json& size : get("shape").as_array("shape")) state.shape.push_back(size.as_integer("shape"));
  constexpr std::int64_t kMost = std::int64_t{1} << 31;
  if (state.shape.size() != 2) broken(view, "a shape of two", std::to_string(state.shape.size()));
  for (const std::int64_t size : state.shape) {
    if (size < 1 || size > kMost) broken(view, "a shape from 1 on", std::to_string(size));
  }
  if (state.block_size < kLeastBlock || state.block_size > 4096 || state.block_size % kLeastBlock != 0) {
    unsupported(view, "blocks of 32 to 4096 elements", state.block_size);
  }
  if (state.shape[1] % kLeastBlock != 0) unsupported(view, "rows of a multiple of 32 elements", state.shape[1]);
  state.nested = json.get("nested_blocksize") != nullptr;
  if (state.nested) {
    state.nested_block_size = get("nested_blocksize").as_integer("nested_blocksize");
    state.offset = static_cast<float>(get("nested_offset").as_double("nested_offset"));
    if (state.nested_block_size < 1)
      broken(view, "nested_blocksize from 1 on", std::to_string(state.nested_block_size));
  }
  return state;
}

// The scales of all blocks, the quantized ones multiplied out as bitsandbytes does.
std::vector<float> scales_of(const ByName& tensors, const TensorView& weight, const State& state) {
  const std::int64_t blocks = state.blocks();
  if (!state.nested) return floats_of(require(tensors, weight, weight.name + ".absmax", BlockFormat::f32, blocks));
  const TensorView& codes = require(tensors, weight, weight.name + ".absmax", BlockFormat::u8, blocks);
  const std::int64_t outer = (blocks + state.nested_block_size - 1) / state.nested_block_size;
  const auto absmax = floats_of(require(tensors, weight, weight.name + ".nested_absmax", BlockFormat::f32, outer));
  const auto map = floats_of(require(tensors, weight, weight.name + ".nested_quant_map", BlockFormat::f32, 256));
  std::vector<float> scales(static_cast<std::size_t>(blocks));
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const auto code = std::to_integer<std::size_t>(codes.data[i]);
    scales[i] = map[code] * absmax[i / static_cast<std::size_t>(state.nested_block_size)] + state.offset;
  }
  return scales;
}

TensorView in_memory(const TensorView& weight, BlockFormat format, std::vector<std::int64_t> shape,
                     std::vector<std::byte> bytes) {
  const auto memory = MappedFile::in_memory(weight.file->path(), std::move(bytes));
  return {.name = weight.name,
          .format = format,
          .shape = std::move(shape),
          .data = memory->bytes().data(),
          .bytes = memory->size(),
          .file = memory};
}

TensorView four_bit(const ByName& tensors, const TensorView& weight, const State& state) {
  const auto bytes = static_cast<std::int64_t>(weight.bytes);
  if (bytes != state.elements() / 2) {
    broken(weight, std::to_string(state.elements() / 2) + " bytes", std::to_string(bytes));
  }
  const auto map = floats_of(require(tensors, weight, weight.name + ".quant_map", BlockFormat::f32, 16));
  const float* const levels = four_bit_levels(state.kind);
  if (!std::equal(map.begin(), map.end(), levels)) {
    throw Error(ErrorKind::unsupported, "4-bit levels of its own",
                {.file = weight.file->path(), .field = weight.name + ".quant_map"});
  }
  const std::vector<float> scales = scales_of(tensors, weight, state);
  const BlockFormat format = four_bit_format(state.kind, state.block_size, state.shape[1]);
  TensorView view = in_memory(weight, format, state.shape,
                              four_bit_blocks(format, reinterpret_cast<const std::uint8_t*>(weight.data), scales.data(),
                                              state.elements(), state.block_size));
  weight.release();
  return view;
}

TensorView int8(const TensorView& weight, const TensorView& stats) {
  if (weight.shape.size() != 2) broken(weight, "a matrix", std::to_string(weight.shape.size()) + " dimensions");
  const std::int64_t rows = weight.shape[0];
  const std::int64_t columns = weight.shape[1];
  if (stats.format != BlockFormat::f32 || stats.elements() != rows) {
    broken(stats, std::to_string(rows) + " of F32", std::to_string(stats.elements()));
  }
  if (columns % block_info(BlockFormat::int8_rows).block_elements != 0) {
    unsupported(weight, "rows of a multiple of 64 elements", columns);
  }
  std::vector<std::byte> bytes =
      int8_blocks(reinterpret_cast<const std::int8_t*>(weight.data), floats_of(stats).data(), rows, columns);
  weight.release();
  return in_memory(weight, BlockFormat::int8_rows, weight.shape, std::move(bytes));
}

bool is_side(std::string_view name, const std::map<std::string, State, std::less<>>& states) {
  for (const std::string_view part : {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"}) {
    if (name.ends_with(part)) return states.contains(name.substr(0, name.size() - part.size()));
  }
  return name.find(kState) != std::string_view::npos || name.ends_with(".SCB") || name.ends_with(".weight_format");
}

}  // namespace

std::vector<std::byte> four_bit_blocks(BlockFormat format, const std::uint8_t* codes, const float* absmax,
                                       std::int64_t elements, std::int64_t block_size) {
  const BlockInfo info = block_info(format);
  const std::int64_t block = info.block_elements;
  std::vector<std::byte> bytes(static_cast<std::size_t>(elements / block * info.block_bytes));
  std::byte* to = bytes.data();
  for (std::int64_t i = 0; i < elements / block; ++i, to += info.block_bytes) {
    std::memcpy(to, absmax + i * block / block_size, 4);
    std::memcpy(to + 4, codes + i * (block / 2), static_cast<std::size_t>(block / 2));
  }
  return bytes;
}

std::vector<std::byte> int8_blocks(const std::int8_t* codes, const float* absmax, std::int64_t rows,
                                   std::int64_t columns) {
  const BlockInfo info = block_info(BlockFormat::int8_rows);
  const std::int64_t block = info.block_elements;
  std::vector<std::byte> bytes(static_cast<std::size_t>(rows * columns / block * info.block_bytes));
  std::byte* to = bytes.data();
  for (std::int64_t i = 0; i < rows * columns / block; ++i, to += info.block_bytes) {
    std::memcpy(to, absmax + i / (columns / block), 4);
    std::memcpy(to + 4, codes + i * block, static_cast<std::size_t>(block));
  }
  return bytes;
}

std::vector<TensorView> join_bitsandbytes(std::vector<TensorView> tensors) {
  ByName by_name;
  for (const TensorView& view : tensors) by_name.emplace(view.name, &view);
  std::map<std::string, State, std::less<>> states;  // of each 4-bit weight
  for (const TensorView& view : tensors) {
    const std::size_t at = view.name.find(kState);
    if (at == std::string::npos) continue;
    const std::string name = view.name.substr(0, at);
    if (!by_name.contains(name)) broken(view, name, "no such tensor");
    states.emplace(name, read_state(view, std::string_view(view.name).substr(at + kState.size())));
  }
  std::vector<TensorView> joined;
  for (const TensorView& view : tensors) {
    if (is_side(view.name, states)) continue;
    if (const auto state = states.find(view.name); state != states.end()) {
      joined.push_back(four_bit(by_name, view, state->second));
      continue;
    }
    const std::size_t end = view.name.rfind(".weight");
    const auto stats = by_name.find(view.name.substr(0, end) + ".SCB");
    if (view.format == BlockFormat::i8 && end != std::string::npos && stats != by_name.end()) {
      joined.push_back(int8(view, *stats->second));
    } else if (end != std::string::npos && (view.format == BlockFormat::i8 || view.format == BlockFormat::u8)) {
      broken(view, "scales beside these codes", "none");
    } else {
      joined.push_back(view);
    }
  }
  return joined;
}

}  // namespace powerhouse
