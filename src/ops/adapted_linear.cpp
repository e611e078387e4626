#include "ops/adapted_linear.h"

#include "ops/dequantize.h"
#include "ops/linear.h"
#include "ops/linear_node.h"
#include "ops/tensors.h"
#include "powerhouse/error.h"
#include "support/shape_text.h"

namespace powerhouse::ops {
namespace {

[[noreturn]] void wrong_shape(const char* field, const std::string& expected, const at::Tensor& found) {
  throw Error(ErrorKind::usage, "a tensor of the wrong shape in a linear map",
              {.field = field, .expected = expected, .found = found.defined() ? shape_text(found.sizes()) : "none"});
}

void check_shapes(const at::Tensor& x, std::int64_t out, std::int64_t in, const at::Tensor& bias,
                  std::span<const LowRankTerm> terms) {
  const auto brackets = [](const std::string& rows, const std::string& columns) {
    std::string text = "[";
    return text.append(rows).append(", ").append(columns).append("]");
  };
  const auto is = [](const at::Tensor& tensor, std::int64_t rows, std::int64_t columns) {
    return tensor.defined() && tensor.dim() == 2 && (rows < 0 || tensor.size(0) == rows) && tensor.size(1) == columns;
  };
  if (!is(x, -1, in)) wrong_shape("x", brackets("rows", std::to_string(in)), x);
  if (bias.defined() && (bias.dim() != 1 || bias.size(0) != out)) {
    wrong_shape("bias", std::to_string(out), bias);
  }
  for (const LowRankTerm& term : terms) {
    if (!is(term.a, -1, in)) wrong_shape("a", brackets("rank", std::to_string(in)), term.a);
    if (!is(term.b, out, term.a.size(0))) {
      wrong_shape("b", brackets(std::to_string(out), std::to_string(term.a.size(0))), term.b);
    }
    check_dropout(term.dropout);
  }
}

// A composition of ops, each of which knows exact numerics.
at::Tensor exactly(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   std::span<const LowRankTerm> terms) {
  at::Tensor y = linear(x, weight, bias, Numerics::exact);
  for (const LowRankTerm& term : terms) {
    at::Tensor input = x;
    if (term.dropout.rate > 0.0f) input = x.mul(dropped(x.detach().new_ones(x.sizes()), term.dropout));
    const at::Tensor low = linear(input, term.a.to(x.scalar_type()), {}, Numerics::exact);
    y = y.add(linear(low, term.b.to(x.scalar_type()), {}, Numerics::exact).mul(term.scale));
  }
  return y;
}

// The part's matrix, or its blocks where they stay; checked.
LinearPart resolved(const at::Tensor& x, const LinearPart& part) {
  LinearPart out = part;
  if (!out.matrix.defined() && !is_quantized(part.weight)) out.matrix = part.weight.matrix();
  if (out.matrix.defined() && out.matrix.dim() != 2) wrong_shape("weight", "[out, in]", out.matrix);
  const std::vector<std::int64_t> shape = out.matrix.defined() ? out.matrix.sizes().vec() : part.weight.stored()->shape;
  if (shape.size() != 2) {
    throw Error(ErrorKind::usage, "a linear map needs a matrix",
                {.field = part.weight.name(), .expected = "2 dimensions", .found = std::to_string(shape.size())});
  }
  check_shapes(x, shape[0], shape[1], out.bias, out.terms);
  return out;
}

}  // namespace

std::vector<at::Tensor> adapted_linears(const at::Tensor& x, std::span<const LinearPart> parts, Numerics numerics) {
  std::vector<LinearPart> all;
  for (const LinearPart& part : parts) all.push_back(resolved(x, part));
  if (numerics != Numerics::exact) return linear_group(x, all);
  std::vector<at::Tensor> out;
  for (const LinearPart& part : all) {
    const at::Tensor matrix = part.matrix.defined() ? part.matrix : dequantized(part.weight, x.scalar_type());
    out.push_back(exactly(x, matrix, part.bias, part.terms));
  }
  return out;
}

at::Tensor adapted_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          std::span<const LowRankTerm> terms, Numerics numerics) {
  if (!weight.defined()) wrong_shape("weight", "[out, in]", weight);
  const LinearPart part{.matrix = weight, .bias = bias, .terms = {terms.begin(), terms.end()}};
  return adapted_linears(x, {&part, 1}, numerics)[0];
}

at::Tensor adapted_linear(const at::Tensor& x, const Weight& weight, const at::Tensor& bias,
                          std::span<const LowRankTerm> terms, Numerics numerics) {
  const LinearPart part{.weight = weight, .bias = bias, .terms = {terms.begin(), terms.end()}};
  return adapted_linears(x, {&part, 1}, numerics)[0];
}

}  // namespace powerhouse::ops
