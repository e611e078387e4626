// Low-rank terms of a pass: y += B (scale A x) behind a product, in float32 whatever the product reads. Rows of many
// are multiplied as such here too, so that a row's bits depend on its own sequence alone.
#include <algorithm>

#include "model/plan_pass.h"

namespace powerhouse {
namespace {

// Columns of t that are ready: the scale, and the zeros behind them.
void finish(const PlanTerm& term, Range ranks, std::int64_t rows, float* t, std::int64_t stride) {
  const bool last = ranks.end == term.rank();
  for (std::int64_t row = 0; row < rows; ++row, t += stride) {
    for (std::int64_t i = ranks.begin; i < ranks.end; ++i) t[i] *= term.scale;
    if (last) std::fill(t + term.rank(), t + term.width(), 0.0f);
  }
}

}  // namespace

// Workers share ranks: reading A is what it costs.
void PlanPass::inner_few(const Worker& worker, const ProductTerms& terms, const PlanInput& input, Range rows) const {
  const Range mine = worker.share_of(terms.ranks, 4);  // the kernel takes four side by side
  float* const t = buffers_.low_rank.data() + rows.begin * terms.width;
  std::int64_t first = 0;
  for (const PlanTerm& term : terms.terms) {
    const Range part{std::max<std::int64_t>(mine.begin - first, 0), std::min(mine.end - first, term.rank())};
    first += term.rank();
    if (part.begin >= part.end) continue;
    kernels_.linear({.type = term.a.type,
                     .wide_x = true,
                     .x = input.floats.data() + rows.begin * input.stride,
                     .weight = term.a.data,
                     .y = t + term.place,
                     .rows = rows.end - rows.begin,
                     .inputs = term.a.columns,
                     .x_stride = input.stride,
                     .weight_stride = term.a.stride,
                     .y_stride = terms.width},
                    part.begin, part.end);
    finish(term, part, rows.end - rows.begin, t + term.place, terms.width);
  }
}

// Workers share rows.
void PlanPass::inner_many(const Worker& worker, const ProductTerms& terms, const PlanInput& input, Range rows) const {
  const Range mine = worker.share_of(rows.end - rows.begin);
  const std::int64_t first = rows.begin + mine.begin;
  const std::int64_t count = mine.end - mine.begin;
  if (count <= 0) return;
  float* const t = buffers_.low_rank.data() + first * terms.width;
  for (const PlanTerm& term : terms.terms) {
    kernels_.gemm({.x = input.floats.data() + first * input.stride,
                   .weight = term.a.data,
                   .weight_type = term.a.type,
                   .y = t + term.place,
                   .rows = count,
                   .inputs = term.a.columns,
                   .outputs = term.rank(),
                   .x_stride = input.stride,
                   .weight_stride = term.a.stride,
                   .y_stride = terms.width},
                  0, panel_count(term.rank()), worker.own.scratch.data());
    finish(term, {0, term.rank()}, count, t + term.place, terms.width);
  }
}

void PlanPass::multiply_inner(const Worker& worker, const ProductTerms& terms, const PlanInput& input,
                              std::int64_t rows) const {
  for_runs(input, {0, rows}, [&](Range run, bool many) {
    many ? inner_many(worker, terms, input, run) : inner_few(worker, terms, input, run);
  });
}

// What a term adds to: the worker's columns among those of a run.
struct PlanPass::Piece {
  const float* t;
  std::int64_t t_stride;
  float* y;
  std::int64_t y_stride;
  std::int64_t rows;
  bool many;
  Range columns{0, 0};
};

// A part at a time, of as many columns as its rows leave room for. Of few rows, what it costs is reading B, of many the
// products.
void PlanPass::add_run(const Worker& worker, const PlanTerm& term, const TermRun& run, const Piece& piece) const {
  float* const sums = worker.own.low_rank.data();
  for (std::int64_t row = 0; row < piece.rows; row += kLowRankRows) {
    const std::int64_t rows = std::min(piece.rows - row, kLowRankRows);
    const std::int64_t most = kLowRankFloats / rows / kPanelRows * kPanelRows;
    const float* const t = piece.t + row * piece.t_stride + term.place;
    for (std::int64_t column = piece.columns.begin; column < piece.columns.end; column += most) {
      const std::int64_t count = std::min(piece.columns.end - column, most);
      const void* const b = term.b.row(run.row + column - run.column);
      if (piece.many) {
        kernels_.gemm({.x = t,
                       .weight = b,
                       .weight_type = term.b.type,
                       .y = sums,
                       .rows = rows,
                       .inputs = term.rank(),
                       .outputs = count,
                       .x_stride = piece.t_stride,
                       .weight_stride = term.b.stride,
                       .y_stride = count},
                      0, panel_count(count), worker.own.scratch.data());
      } else {
        kernels_.linear({.type = term.b.type,
                         .wide_x = true,
                         .x = t,
                         .weight = b,
                         .y = sums,
                         .rows = rows,
                         .inputs = term.rank(),
                         .x_stride = piece.t_stride,
                         .weight_stride = term.b.stride,
                         .y_stride = count},
                        0, count);
      }
      for (std::int64_t i = 0; i < rows; ++i) {
        float* const y = piece.y + (row + i) * piece.y_stride + column;
        for (std::int64_t j = 0; j < count; ++j) y[j] += sums[i * count + j];
      }
    }
  }
}

void PlanPass::add_terms(const Worker& worker, const ProductTerms& terms, const PlanInput& input, std::int64_t rows,
                         Range columns, float* y, std::int64_t y_stride) const {
  for_runs(input, {0, rows}, [&](Range part, bool many) {
    Piece piece{.t = buffers_.low_rank.data() + part.begin * terms.width,
                .t_stride = terms.width,
                .y = y + part.begin * y_stride,
                .y_stride = y_stride,
                .rows = part.end - part.begin,
                .many = many};
    for (const PlanTerm& term : terms.terms) {
      for (const TermRun& run : term.runs) {
        piece.columns = {std::max(columns.begin, run.column), std::min(columns.end, run.column + run.count)};
        if (piece.columns.begin < piece.columns.end) add_run(worker, term, run, piece);
      }
    }
  });
}

}  // namespace powerhouse
