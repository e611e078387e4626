#include "ops/packed_bf16.h"

#include "kernels/common/packed.h"
#include "kernels/reference/packed_bf16.h"

namespace powerhouse {
namespace {

// An outlier costs some ten times what its code would have cost.
constexpr std::int64_t kElementsAnOutlier = 256;

}  // namespace

std::optional<PackedBf16> PackedBf16::pack(const Weight& weight, std::int64_t count,
                                           const std::function<std::int64_t(std::int64_t)>& rows, PanelPacker& packer) {
  const Weight::FileRows source = weight.file_rows();
  if (!source.row || source.format != BlockFormat::bf16 || source.columns % kBf16Unit != 0) return {};
  PackedBf16 matrix;
  matrix.inputs_ = source.columns;
  const std::int64_t stride = bf16_panel_bytes(source.columns);
  const std::int64_t count_of_panels = panel_count(count);
  const auto pack_one = [source, rows, count](std::int64_t panel, void* to, std::vector<Bf16Outlier>& outliers) {
    const std::uint16_t* sources[kPanelRows] = {};
    for (std::int64_t i = 0; i < kPanelRows && panel * kPanelRows + i < count; ++i) {
      sources[i] = reinterpret_cast<const std::uint16_t*>(source.row(rows(panel * kPanelRows + i)));
    }
    pack_bf16_panel(sources, source.columns, to, outliers);
  };
  // Tried on a few panels first: where it is not worth it, nothing is held.
  std::vector<char> scratch(static_cast<std::size_t>(stride));
  std::vector<Bf16Outlier> tried;
  std::int64_t panels_tried = 0;
  for (std::int64_t panel = 0; panel < count_of_panels; panel += count_of_panels / 8 + 1, ++panels_tried) {
    pack_one(panel, scratch.data(), tried);
  }
  const std::int64_t elements_tried = panels_tried * kPanelRows * source.columns;
  if (static_cast<std::int64_t>(tried.size()) * kElementsAnOutlier > elements_tried) return {};

  matrix.bytes_ = static_cast<std::size_t>(count_of_panels * stride);
  matrix.panels_ = packer.take(matrix.bytes_, weight.name());
  const auto outliers = std::make_shared<std::vector<Bf16Outlier>>();
  const auto first = std::make_shared<std::vector<std::int64_t>>(1, 0);
  matrix.outliers_ = outliers;
  matrix.first_outlier_ = first;
  const auto found = std::make_shared<std::vector<std::vector<Bf16Outlier>>>(static_cast<std::size_t>(count_of_panels));
  packer.add(
      count_of_panels,
      [pack_one, found, stride, panels = matrix.panels_](std::int64_t panel) {
        pack_one(panel, static_cast<char*>(panels.get()) + panel * stride, (*found)[static_cast<std::size_t>(panel)]);
      },
      [&weight, found, outliers, first] {
        for (const auto& panel : *found) {
          outliers->insert(outliers->end(), panel.begin(), panel.end());
          first->push_back(static_cast<std::int64_t>(outliers->size()));
        }
        weight.release_file();
      });
  return matrix;
}

PackedBf16 PackedBf16::part(std::int64_t first, std::int64_t count) const {
  PackedBf16 out = *this;
  const std::int64_t stride = bf16_panel_bytes(inputs_);
  out.first_panel_ += static_cast<std::size_t>(first / kPanelRows);
  out.panels_ = {panels_, static_cast<char*>(panels_.get()) + first / kPanelRows * stride};
  out.bytes_ = static_cast<std::size_t>(panel_count(count) * stride);
  return out;
}

Bf16Panels PackedBf16::panels() const {
  return {panels_.get(), outliers_->data(), first_outlier_->data() + first_panel_};
}

}  // namespace powerhouse
