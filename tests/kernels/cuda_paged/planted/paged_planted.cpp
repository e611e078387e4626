// Runs kernels with the fault that it is asked for, <number> <found> <of what>. It passes if the checks find the fault,
// each in the way that is expected of it: a report of the shim, a wrong result, or bytes that the CPU's cache does not
// hold.
#include "cuda_on_host/planted.h"
#include "kernels/cuda_paged/few_rows_case.h"
#include "kernels/cuda_paged/lora_case.h"
#include "kernels/cuda_paged/paged_case.h"

namespace powerhouse::testing {
namespace {

using cuda_on_host::DeviceArray;
using cuda_on_host::Order;

using cuda_on_host::kOrders;

void try_attention(cuda_on_host::PlantedVerdict& found) {
  for (const PagedCase& one : paged_edge_cases()) {
    if (one.cache.head_dim > 64 || one.type == Element::f16) continue;
    PagedProblem problem(one);
    for (const Order order : kOrders) {
      const CountingLauncher launcher = problem.run(order);
      std::string what = launcher.text();
      if (what == "clean") what = problem.wrong();
      found.add(what);
    }
  }
}

void try_writing(cuda_on_host::PlantedVerdict& found) {
  for (const BlockFormat type : {BlockFormat::bf16, BlockFormat::q8_0, BlockFormat::q4_0}) {
    const CacheCase one{.cache = type, .kv_heads = 2, .page_tokens = 5, .rows = {7, 3, 2}, .lengths = {12, 3, 1}};
    CacheOnHost expected(one, true, true);
    DeviceArray<float> keys(static_cast<std::size_t>(one.all_rows() * one.kv_heads * one.head_dim)),
        values(keys.size());
    std::size_t at = 0;
    for (int s = 0; s < one.sequences(); ++s) {
      for (int row = 0; row < one.rows[static_cast<std::size_t>(s)]; ++row) {
        for (int i = 0; i < one.kv_heads * one.head_dim; ++i, ++at) {
          keys[at] = expected.given(s, one.position(s, row), i / one.head_dim, i % one.head_dim, false);
          values[at] = expected.given(s, one.position(s, row), i / one.head_dim, i % one.head_dim, true);
        }
      }
    }
    for (const Order order : kOrders) {
      CacheOnHost written(one, false, true);
      cuda_on_host::GlobalMemory memory;
      written.add_to(memory, cuda_on_host::Contents::in_out);
      memory.add(keys.data(), keys.bytes(), "new keys", cuda_on_host::Contents::input);
      memory.add(values.data(), values.bytes(), "new values", cuda_on_host::Contents::input);
      const CountingLauncher launcher(memory, order, 1, {});
      const std::int64_t width = one.kv_heads * one.head_dim;
      paged_write_on_host({.cache = written.params(),
                           .type = Element::f32,
                           .keys = keys.data(),
                           .values = values.data(),
                           .key_row_stride = width,
                           .key_head_stride = one.head_dim,
                           .value_row_stride = width,
                           .value_head_stride = one.head_dim},
                          launcher);
      if (launcher.text() != "clean") found.add(launcher.text());
      if (written.bytes() != expected.bytes()) found.add("bytes of the cache");
    }
  }
}

void try_lora(cuda_on_host::PlantedVerdict& found) {
  for (const LoraCase& one : lora_edge_cases()) {
    LoraProblem problem(one);
    for (const Order order : kOrders) {
      const std::string text = problem.run(order).text(), what = text == "clean" ? problem.wrong() : text;
      found.add(what);
    }
  }
}

void try_few_rows(cuda_on_host::PlantedVerdict& found, const std::vector<FewRowsCase>& cases) {
  for (const FewRowsCase& one : cases) {
    FewRowsProblem problem(one);
    for (const Order order : kOrders) {
      const auto launcher = problem.run(order);
      const std::string text = launcher->text();
      found.add(text == "clean" ? problem.wrong() : text);
    }
  }
}

void try_turning(cuda_on_host::PlantedVerdict& found) {
  const CacheCase cache{.kv_heads = 2, .page_tokens = 4, .rows = {1, 2}, .lengths = {9, 2}};
  for (const int rotary_dim : {64, 32}) {
    for (const Order order : kOrders) found.add(wrong_turn({.cache = cache, .rotary_dim = rotary_dim}, order));
  }
}

}  // namespace
}  // namespace powerhouse::testing

int main(int, char** arguments) {
  powerhouse::cuda_on_host::PlantedVerdict found(arguments[1], arguments[2]);
  const std::string of = arguments[3];
  if (of == "attention") powerhouse::testing::try_attention(found);
  if (of == "write") powerhouse::testing::try_writing(found);
  if (of == "few_rows") powerhouse::testing::try_few_rows(found, powerhouse::testing::few_rows_edge_cases());
  if (of == "few_blocks") powerhouse::testing::try_few_rows(found, powerhouse::testing::few_block_rows_edge_cases());
  if (of == "turning") powerhouse::testing::try_turning(found);
  if (of == "lora") powerhouse::testing::try_lora(found);
  return found.code();
}
