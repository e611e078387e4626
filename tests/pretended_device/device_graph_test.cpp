// Graphs on a device: that a recording is one, and what a step needs that is recorded.
#include <optional>

#include "device_fixture.h"
#include "expect_error.h"
#include "model/decode_graphs.h"
#include "model/device_pages.h"
#include "ops/device_graph.h"
#include "ops/norm.h"
#include "ops/tensors.h"

namespace powerhouse::pretended_device {
namespace {

using testing::expect_error;
using testing::random_tensor;

class DeviceGraphs : public WithGraphs {};

bool has_nan(const at::Tensor& x) { return here(x).isnan().any().item<bool>(); }

TEST_F(DeviceGraphs, ReplaysOverTheSameAddresses) {
  const at::Tensor weight = random_tensor({16}, at::kFloat, 1);
  const at::Tensor x = there(random_tensor({3, 16}, at::kFloat, 2)), far_weight = there(weight),
                   sum = there(at::Tensor(random_tensor({3, 16}, at::kFloat, 9)).zero_());
  const Norm choice{.kind = NormKind::rms_norm};
  at::Tensor y;
  const auto work = [&](const at::Tensor& in, const at::Tensor& by) { return ops::norm(in.mul(2).add(1), choice, by); };
  ops::DeviceGraph graph(device(), [&] {
    y = work(x, far_weight);
    sum.add_(y);
  });
  EXPECT_TRUE(has_nan(y)) << "recording runs nothing";
  EXPECT_EQ(here(sum).abs().max().item<float>(), 0.0f);
  at::Tensor expected = at::Tensor(random_tensor({3, 16}, at::kFloat, 9)).zero_();
  for (const std::uint64_t seed : {2, 3, 4}) {
    const at::Tensor input = random_tensor({3, 16}, at::kFloat, seed);
    at::Tensor(x).copy_(input);
    graph.replay();
    expected.add_(work(input, weight));
    EXPECT_LT(error_of(y, work(input, weight)), 1e-6);
    EXPECT_LT(error_of(sum, expected), 1e-6);
  }
  y.reset();
}

TEST_F(DeviceGraphs, RefuseToWaitAndToCopy) {
  const at::Tensor x = there(random_tensor({4}, at::kFloat, 1)), on_host = random_tensor({4}, at::kFloat, 2);
  const std::function<void()> works[] = {[&] { x.to(at::kCPU); }, [&] { there(on_host); },
                                         [&] { x.sum().item<float>(); }, [&] { at::Tensor(x).copy_(on_host); },
                                         [] { throw Error(ErrorKind::usage, "not permitted by an op"); }};
  for (const auto& work : works) {
    expect_error(ErrorKind::unsupported, "not permitted", [&] { ops::DeviceGraph graph(device(), work); });
    EXPECT_FALSE(capturing());
    EXPECT_TRUE(here(x).equal(random_tensor({4}, at::kFloat, 1)));
  }
  EXPECT_THROW(ops::DeviceGraph(device(), [] { throw std::bad_alloc(); }), std::bad_alloc);
}

// The faults that a recorded step could have, each by itself.
TEST_F(DeviceGraphs, FindWhatIsNotWrittenInPlaceOrNotKept) {
  at::Tensor input = there(random_tensor({4}, at::kFloat, 1)), y;
  ops::DeviceGraph graph(device(), [&] { y = input.mul(2); });
  graph.replay();
  EXPECT_TRUE(here(y).equal(random_tensor({4}, at::kFloat, 1).mul(2)));
  at::Tensor kept = input;
  input = there(random_tensor({4}, at::kFloat, 2));  // an upload to another place
  graph.replay();
  EXPECT_TRUE(here(y).equal(random_tensor({4}, at::kFloat, 1).mul(2))) << "a graph knows addresses, not tensors";
  kept.reset();
  const at::Tensor other = there(random_tensor({4}, at::kFloat, 3));  // who would get the place
  graph.replay();
  EXPECT_TRUE(has_nan(y)) << "nobody keeps what the graph reads";
  y.reset();
}

TEST_F(DeviceGraphs, AStepThatCannotBeRecordedIsForgotten) {
  DecodeGraphs graphs(device());
  const at::Tensor table = random_tensor({8}, at::kFloat, 1);
  const auto step = [&](bool upload) {
    ops::DeviceBundle inputs;
    const std::int64_t place[] = {3};
    const std::size_t part = inputs.add_indices(place);
    return graphs.step({.sequences = 1, .pages = 8}, inputs, [&] {
      const at::Tensor far = upload ? there(table) : at::Tensor();
      return upload ? far.index_select(0, inputs[part]) : inputs[part].mul(2);
    });
  };
  EXPECT_EQ(here(step(true)).item<float>(), table[3].item<float>());
  expect_error(ErrorKind::unsupported, "cuda_graphs", [&] { step(true); });
  const int before = replays();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(here(step(false)).item<std::int64_t>(), 6);
  EXPECT_EQ(replays() - before, 2);
}

TEST_F(DeviceGraphs, BundlesAreOneCopyOfAlignedParts) {
  ops::DeviceBundle bundle;
  const std::int64_t ids[] = {5, -1, std::int64_t{1} << 40}, small[] = {7};
  const float values[] = {1.5f, -2.0f, 0.25f, 3.0f};
  const std::size_t a = bundle.add_ints(small), b = bundle.add_indices(ids), c = bundle.add_floats(values, {2, 2}),
                    empty = bundle.add_indices({});
  bundle.send(device());
  EXPECT_EQ(here(bundle[a]).item<int>(), 7);
  EXPECT_TRUE(here(bundle[b]).equal(index_tensor(ids)));
  EXPECT_EQ(here(bundle[c])[1][0].item<float>(), 0.25f);
  EXPECT_EQ(bundle[empty].numel(), 0);
  for (const std::size_t part : {a, b, c}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bundle[part].const_data_ptr()) % 16, 0u);
  }
  ops::DeviceBundle other;
  other.add_ints(small);
  expect_error(ErrorKind::usage, "another size", [&] { other.send_to(bundle.place()); });
}

// Past the end of a part of positions (kernels/cuda/paged_attention_params.h), which the recording step did not reach.
TEST_F(DeviceGraphs, ReadACacheThatGrows) {
  constexpr std::int64_t kBefore = 250, kSteps = 12, kRoom = 32;
  KvCache cache({{2, 32}}, BlockFormat::f32, 16, device());
  const std::int64_t sequence = cache.create(), row_starts[] = {0, 1};
  const auto random = [](std::int64_t rows, std::int64_t heads, std::int64_t seed) {
    return random_tensor({rows, heads, 32}, at::kFloat, static_cast<std::uint64_t>(seed));
  };
  cache.reserve(sequence, kBefore);
  cache.write(0, sequence, there(random(kBefore, 2, 1)), there(random(kBefore, 2, 2)));
  cache.commit(sequence, kBefore);
  const ops::AttentionRule rule{.scale = 0.2f};
  const at::Tensor query = there(random(1, 4, 3)), key = there(random(1, 2, 3)), value = there(random(1, 2, 4));
  const auto attend = [&](const DevicePages& pages) {
    pages.write(0, key, value);
    return pages.attend(0, query, key, value, rule);
  };
  at::Tensor place;
  std::optional<ops::DeviceGraph> graph;
  at::Tensor out;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    at::Tensor(query).copy_(random(1, 4, 10 + step));
    at::Tensor(key).copy_(random(1, 2, 30 + step));
    at::Tensor(value).copy_(random(1, 2, 50 + step));
    cache.reserve(sequence, 1);
    ops::DeviceBundle alone, inputs;
    DevicePages plain(cache, {&sequence, 1}, row_starts, alone);
    alone.send(device());
    plain.read(alone);
    const at::Tensor expected = here(attend(plain));
    DevicePages pages(cache, {&sequence, 1}, row_starts, inputs, kRoom);
    if (step == 0) {
      inputs.send(device());
      place = inputs.place();
      pages.read(inputs);
      graph.emplace(device(), [&] { out = attend(pages); });
    } else {
      inputs.send_to(place);
    }
    graph->replay();
    EXPECT_TRUE(here(out).equal(expected)) << "step " << step;
    cache.commit(sequence, 1);
  }
  out.reset();
}

}  // namespace
}  // namespace powerhouse::pretended_device
