#include "quantization/budget.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "powerhouse/error.h"
#include "quantization/rows.h"

namespace powerhouse {
namespace {

// Choices on the lower convex hull of cost over size, from the smallest on: no other is best for any price of a byte.
std::vector<std::size_t> hull_of(const BudgetItem& item) {
  std::vector<std::size_t> order(item.choices.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto& choices = item.choices;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return choices[a].bytes != choices[b].bytes ? choices[a].bytes < choices[b].bytes
                                                : choices[a].cost < choices[b].cost;
  });
  std::vector<std::size_t> hull;
  // What a byte more takes of the cost, from choice a to b.
  const auto slope = [&](std::size_t a, std::size_t b) {
    return (choices[a].cost - choices[b].cost) / static_cast<double>(choices[b].bytes - choices[a].bytes);
  };
  for (const std::size_t next : order) {
    if (!hull.empty() && choices[next].bytes == choices[hull.back()].bytes) continue;
    if (!hull.empty() && choices[next].cost >= choices[hull.back()].cost) continue;
    while (hull.size() > 1 && slope(hull[hull.size() - 2], hull.back()) <= slope(hull.back(), next)) hull.pop_back();
    hull.push_back(next);
  }
  return hull;
}

struct Step {
  double gain;  // cost for a byte
  std::uint64_t bytes;
  std::size_t item, place;  // to this place of its hull
};

}  // namespace

std::vector<std::size_t> allocate(std::span<const BudgetItem> items, std::uint64_t bytes) {
  std::vector<std::vector<std::size_t>> hulls;
  std::vector<std::size_t> at(items.size(), 0);
  std::vector<Step> steps;
  std::uint64_t spent = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    hulls.push_back(hull_of(items[i]));
    const auto& choices = items[i].choices;
    spent += choices[hulls[i].front()].bytes;
    for (std::size_t place = 1; place < hulls[i].size(); ++place) {
      const BudgetChoice& from = choices[hulls[i][place - 1]];
      const BudgetChoice& to = choices[hulls[i][place]];
      const std::uint64_t more = to.bytes - from.bytes;
      steps.push_back({(from.cost - to.cost) / static_cast<double>(more), more, i, place});
    }
  }
  if (spent > bytes) {
    throw Error(ErrorKind::range, "the budget is too small",
                {.field = "budget",
                 .expected = "at least " + std::to_string(spent) + " bytes of tensors",
                 .found = std::to_string(bytes)});
  }
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.gain > b.gain; });
  // An item's steps come in order, because slopes of a hull fall. One that does not fit ends that item.
  for (const Step& step : steps) {
    if (at[step.item] + 1 != step.place || step.bytes > bytes - spent) continue;
    at[step.item] = step.place;
    spent += step.bytes;
  }
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < items.size(); ++i) chosen.push_back(hulls[i][at[i]]);
  return chosen;
}

double sampled_error(const SourceTensor& tensor, BlockFormat format, std::span<const float> importance,
                     std::int64_t most_rows) {
  const std::int64_t matrices = tensor.matrices();
  const std::int64_t rows = matrices > 0 ? tensor.row_count() / matrices : 0;
  const std::int64_t columns = tensor.columns();
  if (rows == 0) return 0;
  const std::int64_t sampled = std::clamp<std::int64_t>(most_rows / matrices, 1, rows);
  double error = 0;
  std::vector<std::byte> room;
  std::vector<std::byte> gathered;
  std::vector<std::byte> out(quantized_bytes(format, sampled, columns));
  for (std::int64_t matrix = 0; matrix < matrices; ++matrix) {
    Element type = Element::f32;
    for (std::int64_t i = 0; i < sampled; ++i) {
      const std::int64_t row = matrix * rows + i * rows / sampled;
      const SourceRows one = tensor.rows(row, row + 1, room);
      type = one.type;
      const auto row_bytes = static_cast<std::size_t>(columns * element_bytes(type));
      gathered.resize(static_cast<std::size_t>(sampled) * row_bytes);
      std::memcpy(gathered.data() + static_cast<std::size_t>(i) * row_bytes, one.data, row_bytes);
    }
    RowsToQuantize part{
        .tensor = tensor.name, .data = gathered.data(), .type = type, .rows = sampled, .columns = columns};
    if (!importance.empty()) {
      part.importance =
          importance.subspan(static_cast<std::size_t>(matrix * columns), static_cast<std::size_t>(columns));
    }
    error += quantize_rows(format, part, out).weighted_error;
  }
  tensor.release();
  return error * static_cast<double>(rows) / static_cast<double>(sampled);
}

}  // namespace powerhouse
