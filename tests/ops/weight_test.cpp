#include "ops/weight.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/reference/dequantize.h"
#include "ops/dequantize.h"
#include "powerhouse/error.h"
#include "random_tensor.h"
#include "temporary_folder.h"

namespace powerhouse {
namespace {

using testing::random_tensor;
using testing::same_bits;

TensorView view_of(const std::string& path, BlockFormat format, std::vector<std::int64_t> shape,
                   std::size_t offset = 0) {
  auto file = MappedFile::open(path);
  return {.name = "w",
          .format = format,
          .shape = std::move(shape),
          .data = file->bytes().data() + offset,
          .bytes = file->size() - offset,
          .file = file};
}

StoredWeight stored(const TensorView& view) { return {.views = {view}, .shape = view.shape}; }

std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

TEST(Weight, UsesAFileInPlaceAndNeverWritesToIt) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({4, 8});
  const std::string path = folder.write("w", bytes_of(values));
  Weight weight = Weight::from_file("w", stored(view_of(path, BlockFormat::f32, {4, 8})), false, at::kFloat);
  EXPECT_TRUE(weight.is_mapped());
  EXPECT_TRUE(same_bits(weight.tensor(), values));
  weight.materialize().mul_(2);
  EXPECT_TRUE(same_bits(weight.tensor(), values.mul(2)));
  EXPECT_EQ(read_text(path), bytes_of(values));
  weight.own();
  EXPECT_FALSE(weight.is_mapped());
  EXPECT_TRUE(same_bits(weight.tensor(), values.mul(2)));
}

TEST(Weight, CopiesWhatIsMisaligned) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({4, 8});
  const std::string path = folder.write("w", "x" + bytes_of(values));
  Weight weight = Weight::from_file("w", stored(view_of(path, BlockFormat::f32, {4, 8}, 1)), false, at::kFloat);
  EXPECT_FALSE(weight.is_mapped());
  EXPECT_TRUE(same_bits(weight.tensor(), values));
}

TEST(Weight, ConvertsAndReordersRows) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({6, 5000});  // more than one tile a row
  const std::string path = folder.write("w", bytes_of(values));
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    StoredWeight flipped = stored(view_of(path, BlockFormat::f32, {6, 5000}));
    flipped.place = [](std::int64_t row) -> StoredRow { return {0, 5 - row}; };
    Weight weight = Weight::from_file("w", flipped, false, type);
    EXPECT_TRUE(same_bits(weight.tensor(), values.flip({0}).to(type)));
  }
}

TEST(Weight, IsPutTogetherFromParts) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({6, 8});
  const std::string path = folder.write("w", bytes_of(values));
  StoredWeight parts{.views = {view_of(path, BlockFormat::f32, {3, 8}), view_of(path, BlockFormat::f32, {3, 8}, 96)},
                     .shape = {6, 8},
                     .place = [](std::int64_t row) -> StoredRow {
                       return {row % 2, row / 2};
                     }};
  Weight weight = Weight::from_file("w", parts, false, at::kFloat);
  for (std::int64_t row = 0; row < 6; ++row) {
    EXPECT_TRUE(same_bits(weight.tensor().select(0, row), values.select(0, row % 2 * 3 + row / 2))) << row;
  }
}

TEST(Weight, TakesOffWhatTheFileAdds) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({8});
  const std::string path = folder.write("w", bytes_of(values.add(1)));
  StoredWeight shifted = stored(view_of(path, BlockFormat::f32, {8}));
  shifted.offset = 1.0f;
  Weight weight = Weight::from_file("w", shifted, false, at::kFloat);
  EXPECT_TRUE(same_bits(weight.tensor(), values.add(1).sub(1)));
}

TEST(Weight, HandsOutMatricesTransposedThatAreStoredSo) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({4, 8});  // [in, out]
  const std::string path = folder.write("w", bytes_of(values));
  StoredWeight stored_so{
      .views = {view_of(path, BlockFormat::f32, {4, 8})}, .shape = {8, 4}, .place = nullptr, .transposed = true};
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    Weight weight = Weight::from_file("w", stored_so, true, type);
    EXPECT_TRUE(weight.tensor().equal(values.to(type)));
    EXPECT_TRUE(weight.matrix().equal(values.t().to(type)));
    EXPECT_TRUE(weight.matrix().is_contiguous()) << "rows of outputs, as kernels read them";
  }
}

TEST(Weight, DequantizesBlocks) {
  const testing::TemporaryFolder folder;
  std::string bytes;
  for (int block = 0; block < 6; ++block) {  // Q8_0: an f16 scale of 0.5, then 32 int8
    bytes += std::string("\x00\x38", 2);
    for (int i = 0; i < 32; ++i) bytes += static_cast<char>(i * block - 40);
  }
  const std::string path = folder.write("w", bytes);
  Weight weight = Weight::from_file("w", stored(view_of(path, BlockFormat::q8_0, {2, 96})), false, at::kBFloat16);
  EXPECT_EQ(weight.format(), BlockFormat::q8_0);
  for (int block = 0; block < 6; ++block) {
    for (int i = 0; i < 32; ++i) {
      const auto expected = static_cast<float>(static_cast<signed char>(i * block - 40)) * 0.5f;
      EXPECT_EQ(weight.tensor().view({-1}).select(0, block * 32 + i).item<float>(), expected);
    }
  }
  EXPECT_EQ(weight.format(), BlockFormat::q8_0) << "the blocks stay canonical until someone writes";
  weight.materialize();
  EXPECT_EQ(weight.format(), BlockFormat::bf16);
}

TEST(Weight, IsDequantizedWithoutKeepingTheDenseForm) {
  const testing::TemporaryFolder folder;
  std::string bytes;
  for (int block = 0; block < 12; ++block) {  // Q4_1 with scales and minima that bf16 has to round
    bytes += std::string("\x33\x2E\x66\xAE", 4);
    for (int i = 0; i < 16; ++i) bytes += static_cast<char>(i * 17 * (block + 1));
  }
  const std::string path = folder.write("w", bytes);
  StoredWeight source = stored(view_of(path, BlockFormat::q4_1, {2, 3, 64}));
  source.place = [](std::int64_t row) -> StoredRow { return {0, row ^ 1}; };
  const Weight weight = Weight::from_file("w", source, false, at::kFloat);
  const at::Tensor whole = dequantized(weight, at::kFloat);
  EXPECT_EQ(weight.dense_bytes(), 0U);
  ASSERT_EQ(whole.sizes().vec(), (std::vector<std::int64_t>{2, 3, 64}));
  std::vector<float> row(64);
  for (std::int64_t i = 0; i < 6; ++i) {
    dequantize_row(BlockFormat::q4_1, bytes.data() + (i ^ 1) * 40, row.data(), 64);
    const at::Tensor found = whole.view({6, 64}).select(0, i);
    EXPECT_EQ(std::memcmp(found.const_data_ptr(), row.data(), 256), 0) << i;
  }
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    EXPECT_TRUE(same_bits(dequantized(weight, type), whole.to(type)));
    EXPECT_TRUE(same_bits(dequantized_rows(weight, 2, 3, type), whole.view({6, 64}).narrow(0, 2, 3).to(type)));
  }
  EXPECT_EQ(dequantized_rows(weight, 6, 0, at::kFloat).size(0), 0);
  EXPECT_THROW(dequantized_rows(weight, 4, 3, at::kFloat), Error);
  EXPECT_EQ(weight.dense_bytes(), 0U);
  EXPECT_TRUE(same_bits(weight.tensor(), whole)) << "kept from here on";
  EXPECT_EQ(dequantized(weight, at::kFloat).const_data_ptr(), weight.tensor().const_data_ptr());
}

TEST(Weight, SharesItsDenseFormWithCopies) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.write("w", std::string(2 * 3 * 34, '\1'));
  const Weight weight = Weight::from_file("w", stored(view_of(path, BlockFormat::q8_0, {2, 96})), false, at::kFloat);
  Weight copy = weight;
  const at::Tensor dense = weight.tensor();
  EXPECT_EQ(copy.dense_bytes(), dense.nbytes());
  EXPECT_TRUE(copy.tensor().is_same(dense));
  EXPECT_TRUE(copy.materialize().is_same(dense));
}

TEST(Weight, DequantizedTakesOffsetsAndTransposedMatrices) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({4, 5000});
  const std::string path = folder.write("w", bytes_of(values));
  StoredWeight shifted = stored(view_of(path, BlockFormat::f32, {4, 5000}));
  shifted.offset = 1.0f;
  const Weight minus = Weight::from_file("w", shifted, false, at::kFloat);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    EXPECT_TRUE(same_bits(dequantized(minus, type), values.sub(1).to(type)));
    EXPECT_TRUE(same_bits(dequantized_rows(minus, 1, 2, type), values.sub(1).narrow(0, 1, 2).to(type)));
  }
  StoredWeight turned = stored(view_of(path, BlockFormat::f32, {4, 5000}));
  turned.shape = {5000, 4};
  turned.transposed = true;
  const Weight columns = Weight::from_file("w", turned, true, at::kBFloat16);
  EXPECT_TRUE(same_bits(dequantized(columns, at::kFloat), values.t().contiguous()));
  EXPECT_TRUE(same_bits(dequantized_rows(columns, 7, 9, at::kFloat), values.t().narrow(0, 7, 9).contiguous()));
  EXPECT_EQ(columns.dense_bytes(), 0U);
  const Weight own = Weight::dense("w", values, true);  // handed out as [in, out]
  EXPECT_TRUE(dequantized(own, at::kFloat).equal(values.t()));
}

TEST(Weight, ChangesItsVersionWithEveryWrite) {
  Weight weight = Weight::dense("w", random_tensor({3, 3}));
  const auto before = weight.version();
  weight.materialize().add_(1);
  EXPECT_NE(weight.version(), before);
}

}  // namespace
}  // namespace powerhouse
