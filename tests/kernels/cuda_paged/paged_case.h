// A paged cache as model/kv_cache.h lays it out, in a kernel's memory: pages in any order, NaN in every cell that holds
// no position; and one problem for paged attention with the definition in float64 that it is held to.
//
// Numbers follow from a sequence's name and the position, so that the same row can be put into other batches.
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/cuda_paged/paged_on_host.h"

namespace powerhouse::testing {

struct CacheCase {
  BlockFormat cache = BlockFormat::bf16;
  int kv_heads = 1, head_dim = 64, page_tokens = 16;
  std::vector<int> rows{1}, lengths{40};  ///< by sequence; the new rows are the last positions
  std::vector<std::uint64_t> names{};     ///< of sequences; empty: 0, 1, ...
  int shared_pages = 0;                   ///< first pages that all sequences have in common
  float largest_value = 1;

  int sequences() const { return static_cast<int>(lengths.size()); }
  int all_rows() const;
  int first_row(int sequence) const;
  int position(int sequence, int row) const {
    return lengths[static_cast<std::size_t>(sequence)] - rows[static_cast<std::size_t>(sequence)] + row;
  }
  std::uint64_t name(int sequence) const {
    return names.empty() ? static_cast<std::uint64_t>(sequence) : names[static_cast<std::size_t>(sequence)];
  }
};

/// Uniform in [-1, 1), from where it is.
float number_at(std::uint64_t what, std::uint64_t name, int position, int head, int d);

class CacheOnHost {
 public:
  /// `filled`: with all positions, otherwise without those of the new rows.
  CacheOnHost(const CacheCase& one, bool filled, bool row_starts);

  void add_to(cuda_on_host::GlobalMemory& memory, cuda_on_host::Contents contents);
  cuda::PagedCache params();
  std::uint8_t* row(int sequence, int position, int kv_head, bool value);
  std::int64_t row_bytes() const { return row_bytes_; }
  /// What was put there, before the cache's type rounded it.
  float given(int sequence, int position, int kv_head, int d, bool value) const;
  double cell(int sequence, int position, int kv_head, int d, bool value);
  void* table(int sequence, int page, bool value) {
    return (value ? value_table_ : key_table_)[table_at(sequence, page)];
  }
  std::vector<std::uint8_t> bytes() const;

 private:
  std::size_t table_at(int sequence, int page) const {
    return static_cast<std::size_t>(sequence * table_stride_ + page);
  }
  void fill(int sequence, int position);

  CacheCase case_;
  bool with_row_starts_;
  int pages_, table_stride_;
  std::int64_t row_bytes_, page_bytes_;
  cuda_on_host::DeviceArray<std::uint8_t> keys_, values_;
  cuda_on_host::DeviceArray<void*> key_table_, value_table_;
  std::vector<std::int32_t> row_starts_;
};

struct PagedCase {
  CacheCase cache{};
  Element type = Element::bf16;
  int heads = 1;
  int window = 0;
  float softcap = 0;
  bool alibi = false, alibi_in_bf16 = false, sinks = false;
  int multiprocessors = 4;
  bool row_starts = true;
  bool gaps = true;  ///< after rows and heads of q, and rows of the output

  friend std::ostream& operator<<(std::ostream& out, const PagedCase& one);
};

/// Shapes that go wrong first.
std::vector<PagedCase> paged_edge_cases();

class PagedProblem {
 public:
  explicit PagedProblem(const PagedCase& one);

  CountingLauncher run(cuda_on_host::Order order, std::int64_t traffic_block = -1);
  /// What is wrong with the results of the last run; empty where nothing is.
  std::string wrong();
  /// Bits of a row's output.
  std::vector<std::uint8_t> row_bits(int sequence, int row) const;
  /// Bytes of keys (or values) that the rows see, each read once.
  std::uint64_t least_bytes() const;

 private:
  struct Expected {
    std::vector<double> out;
    double spread = 0, largest = 0;  // of weights times values, by which rounding errors are bound; of scores
    bool none = true;
  };
  Expected expected(int sequence, int row, int head);
  double as_multiplied(double cell) const;
  double score(int sequence, int row, int head, int key);
  cuda::PagedAttentionParams params();
  std::int64_t out_at(int row, int head) const { return row * out_row_stride_ + head * out_head_stride_; }

  PagedCase case_;
  CacheOnHost cache_;
  std::int64_t q_row_stride_, q_head_stride_, out_row_stride_, out_head_stride_;
  cuda_on_host::DeviceArray<std::uint8_t> q_, out_;
  cuda_on_host::DeviceArray<float> slopes_, sinks_, workspace_;
  std::unique_ptr<cuda_on_host::GlobalMemory> memory_;
};

}  // namespace powerhouse::testing
