#include "ops/weight.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/reference/dequantize.h"
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

std::string bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
}

TEST(Weight, UsesAFileInPlaceAndNeverWritesToIt) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({4, 8});
  const std::string path = folder.write("w", bytes_of(values));
  Weight weight = Weight::from_view("w", view_of(path, BlockFormat::f32, {4, 8}), {}, at::kFloat);
  weight.prepare(at::kFloat);
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
  Weight weight = Weight::from_view("w", view_of(path, BlockFormat::f32, {4, 8}, 1), {}, at::kFloat);
  weight.prepare(at::kFloat);
  EXPECT_FALSE(weight.is_mapped());
  EXPECT_TRUE(same_bits(weight.tensor(), values));
}

TEST(Weight, ConvertsAndReordersRows) {
  const testing::TemporaryFolder folder;
  const at::Tensor values = random_tensor({6, 5000});  // more than one tile a row
  const std::string path = folder.write("w", bytes_of(values));
  for (const auto type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    Weight weight = Weight::from_view(
        "w", view_of(path, BlockFormat::f32, {6, 5000}), [](std::int64_t row) { return 5 - row; }, type);
    weight.prepare(type);
    EXPECT_TRUE(same_bits(weight.tensor(), values.flip({0}).to(type)));
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
  Weight weight = Weight::from_view("w", view_of(path, BlockFormat::q8_0, {2, 96}), {}, at::kBFloat16);
  EXPECT_EQ(weight.format(), BlockFormat::q8_0);
  weight.prepare(at::kBFloat16);
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

TEST(Weight, ChangesItsVersionWithEveryWrite) {
  Weight weight = Weight::dense("w", random_tensor({3, 3}));
  const auto before = weight.version();
  weight.materialize().add_(1);
  EXPECT_NE(weight.version(), before);
}

}  // namespace
}  // namespace powerhouse
