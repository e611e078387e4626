// DataLoader: batches, packing with isolated documents, epochs, and positions that lead to the same batches.
#include "powerhouse/data_loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "data_fixtures.h"
#include "expect_error.h"

namespace powerhouse {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

bool operator==(const TokenBatch& a, const TokenBatch& b) {
  return a.input_ids == b.input_ids && a.position_ids == b.position_ids && a.cu_seqlens == b.cu_seqlens &&
         a.targets == b.targets;
}

class DataLoaderTest : public ::testing::Test {
 protected:
  Dataset open(const std::string& rows, const DatasetOptions& options = {.sequence_len = 512}) {
    return Dataset::open(testing::tokenizer("smollm"), {{.path = folder_.write("rows.jsonl", rows)}}, options);
  }
  static std::vector<TokenBatch> epoch(DataLoader& loader) {
    std::vector<TokenBatch> out;
    while (auto batch = loader.next()) out.push_back(std::move(*batch));
    return out;
  }
  TemporaryFolder folder_;
};

// Each document of the batches as (ids, targets), counted.
std::map<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>, int> documents(
    const std::vector<TokenBatch>& batches) {
  std::map<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>, int> out;
  for (const TokenBatch& batch : batches) {
    for (std::size_t i = 0; i + 1 < batch.cu_seqlens.size(); ++i) {
      const auto part = [&](const std::vector<std::int64_t>& all) {
        return std::vector<std::int64_t>(all.begin() + batch.cu_seqlens[i], all.begin() + batch.cu_seqlens[i + 1]);
      };
      const auto positions = part(batch.position_ids);
      for (std::size_t k = 0; k < positions.size(); ++k) EXPECT_EQ(positions[k], static_cast<std::int64_t>(k));
      ++out[{part(batch.input_ids), part(batch.targets)}];
    }
    EXPECT_EQ(batch.cu_seqlens.back(), static_cast<std::int64_t>(batch.input_ids.size()));
    EXPECT_EQ(batch.targets.size(), batch.input_ids.size());
  }
  return out;
}

std::map<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>, int> documents(const Dataset& dataset) {
  std::map<std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>>, int> out;
  for (std::int64_t row = 0; row < dataset.size(); ++row) {
    TrainingExample example = dataset.example(row);
    example.labels.erase(example.labels.begin());
    example.labels.push_back(kIgnoredTarget);
    ++out[{example.input_ids, example.labels}];
  }
  return out;
}

TEST_F(DataLoaderTest, InOrderEachRowIsADocumentWithShiftedTargets) {
  const Dataset data = open(testing::alpaca_lines(10));
  DataLoader loader(data, {.micro_batch_size = 4, .shuffle = false});
  EXPECT_EQ(loader.batches_in_epoch(0), 3);
  const auto batches = epoch(loader);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0].cu_seqlens.size(), 5u);
  EXPECT_EQ(batches[2].cu_seqlens.size(), 3u);
  const auto first = data.example(0).input_ids;
  EXPECT_TRUE(std::equal(first.begin(), first.end(), batches[0].input_ids.begin()));
  EXPECT_EQ(documents(batches), documents(data));
  EXPECT_EQ(loader.epoch(), 1);
  ASSERT_TRUE(loader.next());
  EXPECT_EQ(loader.last_rows().size(), 4u);
  EXPECT_EQ(loader.last_rows().front(), (RowPlace{folder_.file("rows.jsonl"), 1}));
}

TEST_F(DataLoaderTest, EveryRowOnceAnEpochInEveryMode) {
  const Dataset data = open(testing::alpaca_lines(257));
  for (const bool packing : {false, true}) {
    for (const bool shuffle : {false, true}) {
      DataLoader loader(data,
                        {.micro_batch_size = 3, .sample_packing = packing, .packing_window = 50, .shuffle = shuffle});
      std::vector<std::vector<TokenBatch>> epochs;
      for (std::int64_t number = 0; number < 2; ++number) {
        epochs.push_back(epoch(loader));
        EXPECT_EQ(documents(epochs.back()), documents(data)) << packing << shuffle;
        EXPECT_EQ(static_cast<std::int64_t>(epochs.back().size()), loader.batches_in_epoch(number));
      }
      EXPECT_EQ(epochs[0][0] == epochs[1][0], !shuffle);
      DataLoader again(data,
                       {.micro_batch_size = 3, .sample_packing = packing, .packing_window = 50, .shuffle = shuffle});
      EXPECT_TRUE(epoch(again)[1] == epochs[0][1]);
    }
  }
}

TEST_F(DataLoaderTest, PackedSequencesAreFullAndNeverTooLong) {
  const Dataset data = open(testing::alpaca_lines(500), {.sequence_len = 1024});
  DataLoader loader(data, {.sample_packing = true, .seed = 1});
  std::int64_t tokens = 0, bins = 0;
  while (const auto batch = loader.next()) {
    EXPECT_LE(batch->input_ids.size(), 1024u);
    tokens += static_cast<std::int64_t>(batch->input_ids.size());
    ++bins;
  }
  EXPECT_EQ(tokens, data.report().tokens);
  EXPECT_GT(static_cast<double>(tokens) / static_cast<double>(bins * 1024), 0.9);
}

TEST_F(DataLoaderTest, LongRowsAreCutIntoPieces) {
  const std::string text = "{\"text\": \"" + std::string(99, '5') + "\"}\n";  // 99 digits and EOS
  const Dataset data = open(text, {.sequence_len = 30});
  DataLoader loader(data, {.shuffle = false});
  const auto batches = epoch(loader);
  ASSERT_EQ(batches.size(), 4u);
  std::int64_t targets = 0;
  for (const TokenBatch& batch : batches) {
    for (const std::int64_t target : batch.targets) targets += target != kIgnoredTarget;
  }
  EXPECT_EQ(batches[3].input_ids.size(), 10u);
  EXPECT_EQ(targets, data.report().target_tokens);
}

TEST_F(DataLoaderTest, WrappedSequencesAreOneDocumentEach) {
  std::string rows;
  for (int i = 0; i < 10; ++i) rows += "{\"text\": \"" + std::string(static_cast<std::size_t>(5 + i), '5') + "\"}\n";
  const Dataset data = open(rows, {.sequence_len = 32});
  DataLoader loader(data, {.sample_packing = true, .packing_strategy = PackingStrategy::wrapped, .shuffle = false});
  const auto batches = epoch(loader);
  ASSERT_EQ(batches.size(), 4u);  // 105 tokens
  std::vector<std::int64_t> joined, expected;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    EXPECT_EQ(batches[i].cu_seqlens.size(), 2u);
    EXPECT_EQ(batches[i].input_ids.size(), i < 3 ? 32u : 9u);
    EXPECT_EQ(batches[i].position_ids.back(), static_cast<std::int64_t>(batches[i].input_ids.size()) - 1);
    for (std::size_t k = 0; k + 1 < batches[i].input_ids.size(); ++k) {
      EXPECT_EQ(batches[i].targets[k], batches[i].input_ids[k + 1]);
    }
    joined.insert(joined.end(), batches[i].input_ids.begin(), batches[i].input_ids.end());
  }
  for (std::int64_t row = 0; row < data.size(); ++row) {
    const auto ids = data.example(row).input_ids;
    expected.insert(expected.end(), ids.begin(), ids.end());
  }
  EXPECT_EQ(joined, expected);
}

TEST_F(DataLoaderTest, ARestoredPositionGoesOnWithTheSameBatches) {
  for (const std::int64_t memory : {std::int64_t{1} << 30, std::int64_t{0}}) {
    const Dataset data = open(testing::alpaca_lines(120), {.sequence_len = 512, .token_memory = memory});
    for (const bool packing : {false, true}) {
      const DataLoaderOptions options{.micro_batch_size = 3, .sample_packing = packing, .packing_window = 25};
      DataLoader loader(data, options);
      std::vector<std::string> positions{loader.position()};
      std::vector<std::optional<TokenBatch>> batches;
      for (int i = 0; i < 100; ++i) {
        batches.push_back(loader.next());
        positions.push_back(loader.position());
      }
      EXPECT_GE(loader.epoch(), 2);
      for (std::size_t from = 0; from < positions.size() - 1; from += 7) {
        DataLoader other(data, options);
        other.restore(positions[from]);
        for (std::size_t i = from; i < std::min(from + 30, batches.size()); ++i) {
          const auto batch = other.next();
          ASSERT_EQ(batch.has_value(), batches[i].has_value()) << from << ' ' << i;
          if (batch) {
            ASSERT_TRUE(*batch == *batches[i]) << from << ' ' << i;
          }
          EXPECT_EQ(other.position(), positions[i + 1]);
        }
      }
    }
  }
}

TEST_F(DataLoaderTest, APositionOfOtherDataOrOptionsIsRefused) {
  const Dataset data = open(testing::alpaca_lines(50));
  DataLoader loader(data, {.seed = 1});
  loader.next();
  const std::string position = loader.position();
  DataLoader seeded(data, {.seed = 2});
  expect_error(ErrorKind::usage, "seed", [&] { seeded.restore(position); });
  DataLoader packed(data, {.sample_packing = true, .seed = 1});
  expect_error(ErrorKind::usage, "sample_packing", [&] { packed.restore(position); });
  DataLoader grown(open(testing::alpaca_lines(51)), {.seed = 1});
  expect_error(ErrorKind::usage, "dataset", [&] { grown.restore(position); });
  expect_error(ErrorKind::format, "data position", [&] { loader.restore("{"); });
  expect_error(ErrorKind::usage, "micro_batch_size", [&] { DataLoader(data, {.micro_batch_size = 0}); });
  const Dataset empty = open(R"({"instruction": "a", "output": ""})");
  expect_error(ErrorKind::usage, "no usable row", [&] { DataLoader{empty}; });
}

TEST_F(DataLoaderTest, TheLastBatchMayBeLeftOut) {
  const Dataset data = open(testing::alpaca_lines(10));
  DataLoader loader(data, {.micro_batch_size = 4, .drop_last = true});
  EXPECT_EQ(loader.batches_in_epoch(0), 2);
  EXPECT_EQ(epoch(loader).size(), 2u);
  EXPECT_EQ(epoch(loader).size(), 2u);
  EXPECT_EQ(loader.epoch(), 2);
}

}  // namespace
}  // namespace powerhouse
