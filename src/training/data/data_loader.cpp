// DataLoader: an epoch is a seeded order of the rows, taken window by window; a window is packed (or not) into bins,
// and batches take the next bins. All of it follows from (epoch, first row of the window, bin), so that is the
// position.
#include "powerhouse/data_loader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "powerhouse/error.h"
#include "support/json.h"
#include "support/thread_team.h"
#include "training/data/dataset_view.h"
#include "training/data/packing.h"
#include "training/data/permutation.h"

namespace powerhouse {
namespace {

using training::Bin;
using training::Fragment;
using training::Permutation;

// A window of long texts ends early.
constexpr std::uint64_t kWindowBytes = std::uint64_t{16} << 20;
constexpr std::uint32_t kRowUse = 0, kBinUse = 1;

}  // namespace

struct DataLoader::Impl {
  struct Window {
    std::int64_t begin = 0, end = 0;  // places in the epoch's order
    std::vector<std::int64_t> rows;   // of the corpus
    std::vector<Bin> bins;            // fragments of rows by their index here
  };

  Dataset dataset;
  std::shared_ptr<const Dataset::Impl> view;
  DataLoaderOptions options;
  std::int64_t length;

  std::int64_t epoch = 0, bin = 0;
  std::int64_t next_window = 0;  // the place where the window behind this one begins
  bool loaded = false;
  Window window;
  std::vector<TrainingExample> examples;  // of the window's rows
  std::vector<std::int64_t> last;

  std::int64_t count() const { return static_cast<std::int64_t>(view->rows.size()); }

  // Which rows stand in the window that begins at `begin`, and how they fall into bins: from lengths alone.
  Window plan(std::int64_t of_epoch, std::int64_t begin) const {
    const auto key = static_cast<std::uint32_t>(of_epoch);
    const Permutation order(count(), options.seed, kRowUse, key);
    Window out{.begin = begin, .end = begin, .rows = {}, .bins = {}};
    std::vector<std::int64_t> lengths;
    std::uint64_t bytes = 0;
    bool cut = false;
    while (out.end < count() && out.end - begin < options.packing_window && bytes < kWindowBytes) {
      const std::int64_t row = view->row(options.shuffle ? order[out.end] : out.end);
      out.rows.push_back(row);
      lengths.push_back(view->corpus->length(row));
      cut = cut || lengths.back() > length;
      bytes += view->corpus->bytes(row);
      ++out.end;
    }
    if (options.sample_packing && options.packing_strategy == PackingStrategy::wrapped) {
      out.bins = training::pack_wrapped(lengths, length);
    } else {
      std::vector<Fragment> fragments = training::cut_rows(lengths, length);
      if (options.sample_packing) {
        out.bins = training::pack_best_fit(std::move(fragments), length);
      } else {
        for (const Fragment& fragment : fragments) out.bins.push_back({fragment});
      }
    }
    // Packing sorts by length and cutting leaves pieces side by side: mixed again. Whole rows keep the epoch's order.
    if (options.shuffle && (options.sample_packing || cut)) mix(out, key);
    return out;
  }

  void mix(Window& out, std::uint32_t key) const {
    const Permutation order(static_cast<std::int64_t>(out.bins.size()),
                            options.seed + static_cast<std::uint64_t>(out.begin) * 0x9E3779B97F4A7C15u, kBinUse, key);
    std::vector<Bin> mixed(out.bins.size());
    for (std::size_t i = 0; i < mixed.size(); ++i) {
      mixed[i] = std::move(out.bins[static_cast<std::size_t>(order[static_cast<std::int64_t>(i)])]);
    }
    out.bins = std::move(mixed);
  }

  void load(std::int64_t begin) {
    window = plan(epoch, begin);
    examples.assign(window.rows.size(), {});
    parallel_for(static_cast<std::int64_t>(window.rows.size()), 1, [&](std::int64_t first, std::int64_t stop) {
      for (std::int64_t i = first; i < stop; ++i) {
        examples[static_cast<std::size_t>(i)] = view->corpus->example(window.rows[static_cast<std::size_t>(i)]);
      }
    });
    next_window = window.end;
    loaded = true;
  }

  // The next bin, or nullptr at the epoch's end.
  const Bin* take() {
    while (!loaded || bin >= static_cast<std::int64_t>(window.bins.size())) {
      const std::int64_t begin = loaded ? window.end : next_window;
      if (begin >= count()) return nullptr;
      if (loaded) bin = 0;
      load(begin);
    }
    return &window.bins[static_cast<std::size_t>(bin++)];
  }

  void append(TokenBatch& batch, const Bin& taken) {
    const bool one_document = options.sample_packing && options.packing_strategy == PackingStrategy::wrapped;
    std::int64_t position = 0;
    for (const Fragment& fragment : taken) {
      const TrainingExample& example = examples[static_cast<std::size_t>(fragment.row)];
      last.push_back(window.rows[static_cast<std::size_t>(fragment.row)]);
      if (!one_document) position = 0;
      for (std::int64_t i = fragment.begin; i < fragment.end; ++i) {
        const auto at = static_cast<std::size_t>(i);
        // A label is the target of the token before it in the document.
        if (position > 0) batch.targets.back() = example.labels[at];
        batch.input_ids.push_back(example.input_ids[at]);
        batch.position_ids.push_back(position++);
        batch.targets.push_back(kIgnoredTarget);
      }
      if (!one_document) batch.cu_seqlens.push_back(static_cast<std::int64_t>(batch.input_ids.size()));
    }
    if (one_document) batch.cu_seqlens.push_back(static_cast<std::int64_t>(batch.input_ids.size()));
  }

  void begin_epoch(std::int64_t number) {
    epoch = number;
    bin = next_window = 0;
    loaded = false;
  }

  Json options_json() const {
    JsonObject out;
    out["dataset"] = view->fingerprint;
    out["micro_batch_size"] = options.micro_batch_size;
    out["sample_packing"] = options.sample_packing;
    out["packing_strategy"] = options.packing_strategy == PackingStrategy::wrapped ? "wrapped" : "bfd";
    out["packing_window"] = options.packing_window;
    out["shuffle"] = options.shuffle;
    out["seed"] = std::to_string(options.seed);
    out["drop_last"] = options.drop_last;
    return Json(std::move(out));
  }
};

DataLoader::DataLoader(Dataset dataset, const DataLoaderOptions& options) {
  for (const auto& [name, value] :
       {std::pair{"micro_batch_size", options.micro_batch_size}, std::pair{"packing_window", options.packing_window}}) {
    if (value < 1) {
      throw Error(ErrorKind::usage, "must be positive", {.field = name, .found = std::to_string(value)});
    }
  }
  auto view = dataset.impl_;
  if (view->rows.empty()) {
    throw Error(ErrorKind::usage, "no usable row in this dataset; its report says why", {.field = "dataset"});
  }
  const std::int64_t length = view->corpus->options().sequence_len;
  impl_ = std::make_unique<Impl>(
      Impl{.dataset = std::move(dataset), .view = std::move(view), .options = options, .length = length});
}

DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;
DataLoader::~DataLoader() = default;

std::optional<TokenBatch> DataLoader::next() {
  Impl& state = *impl_;
  TokenBatch batch;
  state.last.clear();
  std::int64_t taken = 0;
  for (; taken < state.options.micro_batch_size; ++taken) {
    const Bin* const bin = state.take();
    if (bin == nullptr) break;
    state.append(batch, *bin);
  }
  if (taken == 0 || (taken < state.options.micro_batch_size && state.options.drop_last)) {
    state.begin_epoch(state.epoch + 1);
    return std::nullopt;
  }
  return batch;
}

std::int64_t DataLoader::epoch() const { return impl_->epoch; }

std::int64_t DataLoader::batches_in_epoch(std::int64_t epoch) const {
  const Impl& state = *impl_;
  std::int64_t bins = 0;
  for (std::int64_t begin = 0; begin < state.count();) {
    const Impl::Window window = state.plan(epoch, begin);
    bins += static_cast<std::int64_t>(window.bins.size());
    begin = window.end;
  }
  const std::int64_t size = state.options.micro_batch_size;
  return state.options.drop_last ? bins / size : (bins + size - 1) / size;
}

std::vector<RowPlace> DataLoader::last_rows() const {
  std::vector<std::int64_t> rows = impl_->last;
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  std::vector<RowPlace> places;
  places.reserve(rows.size());
  for (const std::int64_t row : rows) places.push_back(impl_->view->corpus->place(row));
  return places;
}

std::string DataLoader::position() const {
  const Impl& state = *impl_;
  JsonObject out;
  out["epoch"] = state.epoch;
  out["row"] = state.loaded ? state.window.begin : state.next_window;
  out["bin"] = state.bin;
  out["loader"] = state.options_json();
  return Json(std::move(out)).dump();
}

void DataLoader::restore(const std::string& position) {
  Impl& state = *impl_;
  const Json saved = Json::parse(position, "data position");
  const Json expected = state.options_json();
  for (const auto& [name, value] : expected.as_object()) {
    const Json* const found = saved.at("loader").get(name);
    if (found != nullptr && found->dump() == value.dump()) continue;
    throw Error(ErrorKind::usage, "the position of another run of data",
                {.field = name, .expected = value.dump(), .found = found == nullptr ? "nothing" : found->dump()});
  }
  const std::int64_t epoch = saved.at("epoch").as_integer("epoch");
  const std::int64_t row = saved.at("row").as_integer("row"), bin = saved.at("bin").as_integer("bin");
  if (epoch < 0 || row < 0 || row > state.count() || bin < 0) {
    throw Error(ErrorKind::range, "a position outside the data", {.field = "data position", .found = position});
  }
  state.begin_epoch(epoch);
  state.next_window = row;
  state.bin = bin;
}

}  // namespace powerhouse
