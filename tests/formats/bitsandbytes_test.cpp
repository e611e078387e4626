// Broken tensors of bitsandbytes are Errors that name them.
#include "formats/bitsandbytes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>

#include "expect_error.h"
#include "kernels/common/four_bit.h"

namespace powerhouse {
namespace {

using testing::expect_error;

constexpr const char* kState = "w.weight.quant_state.bitsandbytes__nf4";
constexpr const char* kJson =
    R"({"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, 64], "nested_blocksize": 256,)"
    R"( "nested_dtype": "float32", "nested_offset": 0.5})";

// A weight of two rows, its scales in codes.
class JoinTest : public ::testing::Test {
 protected:
  JoinTest() {
    add("w.weight", BlockFormat::u8, {64, 1}, std::string(64, '\x7F'));
    add("w.weight.absmax", BlockFormat::u8, {2}, std::string("\xFF\x7F", 2));
    add("w.weight.quant_map", BlockFormat::f32, {16}, bytes_of(kNf4Levels, 16));
    const float outer = 2.0f;
    add("w.weight.nested_absmax", BlockFormat::f32, {1}, bytes_of(&outer, 1));
    std::vector<float> map(256);
    map[255] = 1.0f;
    map[127] = 0.25f;
    add("w.weight.nested_quant_map", BlockFormat::f32, {256}, bytes_of(map.data(), 256));
    state(kJson);
  }
  static std::string bytes_of(const float* values, std::size_t count) {
    return {reinterpret_cast<const char*>(values), 4 * count};
  }
  void add(const std::string& name, BlockFormat format, std::vector<std::int64_t> shape, const std::string& text) {
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    const auto file = MappedFile::in_memory("model.safetensors", std::move(bytes));
    views_[name] = {.name = name,
                    .format = format,
                    .shape = std::move(shape),
                    .data = file->bytes().data(),
                    .bytes = file->size(),
                    .file = file};
  }
  void state(const std::string& json) { add(kState, BlockFormat::u8, {static_cast<std::int64_t>(json.size())}, json); }
  std::vector<TensorView> join() const {
    std::vector<TensorView> views;
    for (const auto& [name, view] : views_) views.push_back(view);
    return join_bitsandbytes(std::move(views));
  }
  std::map<std::string, TensorView> views_;
};

TEST_F(JoinTest, PutsCodesAndScalesTogether) {
  const std::vector<TensorView> joined = join();
  ASSERT_EQ(joined.size(), 1U);
  EXPECT_EQ(joined[0].name, "w.weight");
  EXPECT_EQ(joined[0].format, BlockFormat::nf4);
  EXPECT_EQ(joined[0].shape, (std::vector<std::int64_t>{2, 64}));
  ASSERT_EQ(joined[0].bytes, 72U);
  float scales[2];
  std::memcpy(&scales[0], joined[0].data, 4);
  std::memcpy(&scales[1], joined[0].data + 36, 4);
  EXPECT_EQ(scales[0], 1.0f * 2.0f + 0.5f);
  EXPECT_EQ(scales[1], 0.25f * 2.0f + 0.5f);
  EXPECT_EQ(joined[0].data[4], std::byte{0x7F});
}

// Blocks go through the matrix, whatever its rows are.
TEST_F(JoinTest, RepeatsScalesWhereRowsEndWithinABlock) {
  state(R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 32]})");
  const float scales[2] = {2.0f, 3.0f};
  add("w.weight.absmax", BlockFormat::f32, {2}, bytes_of(scales, 2));
  const std::vector<TensorView> joined = join();
  ASSERT_EQ(joined.size(), 1U);
  EXPECT_EQ(joined[0].format, BlockFormat::nf4_32);
  ASSERT_EQ(joined[0].bytes, 80U);
  for (int block = 0; block < 4; ++block) {
    float scale = 0;
    std::memcpy(&scale, joined[0].data + 20 * block, 4);
    EXPECT_EQ(scale, scales[block / 2]);
  }
}

TEST_F(JoinTest, LeavesWhatIsNotQuantized) {
  add("norm.weight", BlockFormat::f32, {2}, std::string(8, '\0'));
  EXPECT_EQ(join().size(), 2U);
}

TEST_F(JoinTest, RefusesBrokenStates) {
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string json = kJson;
    json.replace(json.find(from), from.size(), to);
    state(json);
  };
  const auto fails = [&](ErrorKind kind, const std::string& mentions) {
    expect_error(kind, mentions, [&] { join(); });
  };
  state("{\"quant_type\": ");
  fails(ErrorKind::format, kState);
  state("[1, 2]");
  fails(ErrorKind::format, kState);
  state(std::string(5000, '['));
  fails(ErrorKind::format, kState);
  with("\"nf4\"", "\"fp4\"");
  fails(ErrorKind::format, "fp4");
  with("[2, 64]", "[2, 64, 1]");
  fails(ErrorKind::format, kState);
  with("[2, 64]", "[-2, 64]");
  fails(ErrorKind::format, "-2");
  with("[2, 64]", "[4611686018427387904, 64]");
  fails(ErrorKind::format, "4611686018427387904");
  with("[2, 64]", "[4, 64]");
  fails(ErrorKind::format, "w.weight");
  with("[2, 64]", "[2, \"x\"]");
  fails(ErrorKind::format, "shape");
  with("[2, 64]", "[4, 48]");
  fails(ErrorKind::unsupported, "48");
  with("\"blocksize\": 64", "\"blocksize\": 0");
  fails(ErrorKind::unsupported, "0");
  with("\"blocksize\": 64", "\"blocksize\": 16");
  fails(ErrorKind::unsupported, "16");
  with("\"blocksize\": 64", "\"blocksize\": 8192");
  fails(ErrorKind::unsupported, "8192");
  with("\"blocksize\": 64", "\"blocksize\": 100");
  fails(ErrorKind::unsupported, "100");
  with("\"nested_blocksize\": 256", "\"nested_blocksize\": 0");
  fails(ErrorKind::format, "nested_blocksize");
  with("\"nested_offset\": 0.5", "\"nested\": 0.5");
  fails(ErrorKind::format, "nested_offset");
}

TEST_F(JoinTest, RefusesWrongSizes) {
  const auto fails = [&](ErrorKind kind, const std::string& name, const std::function<void()>& change) {
    const auto before = views_;
    change();
    expect_error(kind, name, [&] { join(); });
    views_ = before;
  };
  for (const char* side : {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"}) {
    const std::string name = std::string("w.weight") + side;
    fails(ErrorKind::format, name, [&] { views_.erase(name); });
    fails(ErrorKind::format, name, [&] { add(name, BlockFormat::f32, {3}, std::string(12, '\0')); });
    fails(ErrorKind::format, name, [&] { add(name, BlockFormat::f16, {256}, std::string(512, '\0')); });
  }
  fails(ErrorKind::format, "w.weight", [&] { add("w.weight", BlockFormat::u8, {63, 1}, std::string(63, '\0')); });
  fails(ErrorKind::format, "w.weight", [&] { views_.erase("w.weight"); });
  fails(ErrorKind::format, "w.weight", [&] { views_.erase(kState); });
  fails(ErrorKind::unsupported, "quant_map",
        [&] { add("w.weight.quant_map", BlockFormat::f32, {16}, std::string(64, '\0')); });
}

TEST_F(JoinTest, ChecksRowsOfInt8) {
  views_.clear();
  add("v.weight", BlockFormat::i8, {2, 64}, std::string(128, '\x01'));
  expect_error(ErrorKind::format, "v.weight", [&] { join(); });
  add("v.SCB", BlockFormat::f32, {2}, std::string(8, '\0'));
  ASSERT_EQ(join().size(), 1U);
  EXPECT_EQ(join()[0].format, BlockFormat::int8_rows);
  add("v.SCB", BlockFormat::f32, {3}, std::string(12, '\0'));
  expect_error(ErrorKind::format, "v.SCB", [&] { join(); });
  add("v.weight", BlockFormat::i8, {3, 32}, std::string(96, '\x01'));
  expect_error(ErrorKind::unsupported, "v.weight", [&] { join(); });
}

}  // namespace
}  // namespace powerhouse
