#include "formats/pickle_names.h"

#include <span>

namespace powerhouse::pickle_names {
namespace {

struct NamedFormat {
  std::string_view name;
  BlockFormat format;
};
constexpr NamedFormat kStorages[] = {
    {"torch.DoubleStorage", BlockFormat::f64}, {"torch.FloatStorage", BlockFormat::f32},
    {"torch.HalfStorage", BlockFormat::f16},   {"torch.BFloat16Storage", BlockFormat::bf16},
    {"torch.LongStorage", BlockFormat::i64},   {"torch.IntStorage", BlockFormat::i32},
    {"torch.ShortStorage", BlockFormat::i16},  {"torch.CharStorage", BlockFormat::i8},
    {"torch.ByteStorage", BlockFormat::u8},    {"torch.BoolStorage", BlockFormat::boolean},
};
constexpr NamedFormat kDtypes[] = {
    {"torch.float64", BlockFormat::f64},
    {"torch.float32", BlockFormat::f32},
    {"torch.float16", BlockFormat::f16},
    {"torch.bfloat16", BlockFormat::bf16},
    {"torch.float8_e4m3fn", BlockFormat::f8_e4m3},
    {"torch.float8_e5m2", BlockFormat::f8_e5m2},
    {"torch.int64", BlockFormat::i64},
    {"torch.int32", BlockFormat::i32},
    {"torch.int16", BlockFormat::i16},
    {"torch.int8", BlockFormat::i8},
    {"torch.uint64", BlockFormat::u64},
    {"torch.uint32", BlockFormat::u32},
    {"torch.uint16", BlockFormat::u16},
    {"torch.uint8", BlockFormat::u8},
    {"torch.bool", BlockFormat::boolean},
};

struct NamedOpcode {
  std::uint8_t opcode;
  std::string_view name;
};
// Those that are refused; the reader (pickle.cpp) knows the others.
constexpr NamedOpcode kRefused[] = {
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'L', "LONG"},
    {'P', "PERSID"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {'d', "DICT"},
    {'g', "GET"},
    {'l', "LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x8b, "LONG4"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

std::optional<BlockFormat> format_named(std::span<const NamedFormat> list, std::string_view name) {
  for (const NamedFormat& known : list) {
    if (known.name == name) return known.format;
  }
  return std::nullopt;
}

}  // namespace

std::optional<BlockFormat> storage_format(std::string_view name) { return format_named(kStorages, name); }

std::optional<BlockFormat> dtype_format(std::string_view name) { return format_named(kDtypes, name); }

bool is_untyped_storage(std::string_view name) {
  return name == "torch.storage.UntypedStorage" || name == "torch.UntypedStorage";
}

bool is_known(std::string_view name) {
  return name == kOrderedDict || name == kSize || name == kRebuildV2 || name == kRebuildV3 || name == kParameter ||
         is_untyped_storage(name) || storage_format(name) || dtype_format(name);
}

std::string_view opcode_name(std::uint8_t opcode) {
  for (const NamedOpcode& known : kRefused) {
    if (known.opcode == opcode) return known.name;
  }
  return "no opcode of pickle";
}

}  // namespace powerhouse::pickle_names
