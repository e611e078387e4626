#include "kernels/cuda_rows/optimizer_case.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include "kernels/reference/optimizer.h"
#include "training/state_codes.h"

namespace powerhouse::testing {

using cuda_on_host::Contents;
using cuda_on_host::DeviceArray;
using cuda_on_host::GlobalMemory;

namespace {

/// Codes and scales of a state of so many elements.
struct CodedState {
  std::vector<std::uint8_t> codes;
  Buffer absmax;

  CodedState(std::int64_t elements, std::mt19937& engine, bool fresh)
      : codes(static_cast<std::size_t>(elements), fresh ? 127 : 0),
        absmax(fresh ? Buffer(Element::f32, (elements + 255) / 256)
                     : Buffer::random(Element::f32, (elements + 255) / 256, engine)) {
    if (fresh) return;
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(engine());
    for (std::int64_t i = 0; i < absmax.size(); ++i) absmax.set(i, std::abs(absmax.at(i)));
  }
};

/// The first of several things that is wrong, with its name.
std::string first_of(const std::vector<std::pair<const char*, std::string>>& all) {
  for (const auto& [name, wrong] : all) {
    if (!wrong.empty()) return std::string(name) + ": " + wrong;
  }
  return "";
}

std::string wrong_codes(const DeviceArray<std::uint8_t>& found, const std::vector<std::uint8_t>& right,
                        ComparedCodes& compared) {
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::abs(int{found.data()[i]} - int{right[i]}) > 1) return "code " + std::to_string(i);
    compared.moved += found.data()[i] != right[i] ? 1 : 0;
  }
  compared.all += found.size();
  return "";
}

constexpr cpu::UpdateParams kNumbers{.grad_scale = 0.5f,
                                     .decay = 0.999f,
                                     .lr = 1e-2f,
                                     .beta1 = 0.9f,
                                     .one_minus_beta1 = 0.1f,
                                     .beta2 = 0.95f,
                                     .one_minus_beta2 = 0.05f,
                                     .correction = 0.7f,
                                     .eps = 1e-6f};

}  // namespace

std::string wrong_coded_update(const CodedCase& one, Element type, cuda_on_host::Order order, std::uint64_t seed,
                               ComparedCodes& codes) {
  std::mt19937 engine(static_cast<unsigned>(seed));
  const Buffer gradient = Buffer::random(type, one.elements, engine);
  const Buffer parameter = Buffer::random(type, one.elements, engine);
  const Buffer master = Buffer::random(Element::f32, one.elements, engine);
  CodedState a(one.elements, engine, one.fresh), b(one.elements, engine, one.fresh);
  if (one.fresh) std::fill(b.codes.begin(), b.codes.end(), 0);
  cpu::UpdateParams params = kNumbers;
  params.type = type;
  params.l2 = one.l2;
  CodedState right_a = a, right_b = b;
  Buffer right_parameter = parameter, right_master = master;
  cpu::UpdateParams right = params;
  right.gradient = gradient.data();
  right.parameter = one.parameter ? right_parameter.data() : nullptr;
  right.master = one.master ? right_master.floats() : nullptr;
  right.a = {.data = right_a.codes.data(), .codes = &signed_state_codes(), .absmax = right_a.absmax.floats()};
  right.b = {.data = right_b.codes.data(), .codes = &unsigned_state_codes(), .absmax = right_b.absmax.floats()};
  reference::optimizer_update(right, 0, one.elements);

  GlobalMemory memory;
  DeviceBuffer g(memory, gradient, "gradient", Contents::input);
  DeviceBuffer w(memory, parameter, "parameter", Contents::in_out);
  DeviceBuffer m(memory, master, "master", Contents::in_out);
  DeviceBuffer absmax_a(memory, a.absmax, "absmax a", Contents::in_out);
  DeviceBuffer absmax_b(memory, b.absmax, "absmax b", Contents::in_out);
  DeviceArray<std::uint8_t> codes_a(a.codes.size()), codes_b(b.codes.size());
  std::copy(a.codes.begin(), a.codes.end(), codes_a.begin());
  std::copy(b.codes.begin(), b.codes.end(), codes_b.begin());
  memory.add(codes_a.data(), codes_a.bytes(), "codes a", Contents::in_out);
  memory.add(codes_b.data(), codes_b.bytes(), "codes b", Contents::in_out);
  for (const cpu::StateCodes* map : {&signed_state_codes(), &unsigned_state_codes()}) {
    memory.add(map->values, 1024, "values", Contents::input);
    memory.add(map->bounds, 1024, "bounds", Contents::input);
  }
  cpu::UpdateParams all = params;
  all.gradient = g.data();
  all.parameter = one.parameter ? w.data() : nullptr;
  all.master = one.master ? m.floats() : nullptr;
  all.a = {.data = codes_a.data(), .codes = &signed_state_codes(), .absmax = absmax_a.floats()};
  all.b = {.data = codes_b.data(), .codes = &unsigned_state_codes(), .absmax = absmax_b.floats()};
  HostLauncher launcher(memory, order, 5);
  launcher.count_traffic(0);
  adamw8_on_host(all, one.elements, launcher);
  if (launcher.text() != "clean") return launcher.text();
  return first_of(
      {{"master", difference(m.host(), right_master, 1e-5, 1e-7)},
       {"parameter", difference(w.host(), right_parameter, type == Element::f32 ? 1e-5 : 1.01 * spacing(type), 1e-7)},
       {"absmax of a", difference(absmax_a.host(), right_a.absmax, 1e-5, 1e-12)},
       {"absmax of b", difference(absmax_b.host(), right_b.absmax, 1e-5, 1e-12)},
       {"codes of a", wrong_codes(codes_a, right_a.codes, codes)},
       {"codes of b", wrong_codes(codes_b, right_b.codes, codes)},
       {"accesses", type == Element::f32 || one.master ? "" : costly_accesses(launcher.reports)}});
}

std::vector<RuleCase> rule_cases() {
  using enum cpu::UpdateRule;
  return {{sgd, 0, false, true, false, false},    {sgd, 1, true, true, true, false},
          {sgd, 1, false, true, false, true},     {adamw, 2, false, true, false, false},
          {adamw, 2, true, false, false, false},  {lion, 1, false, true, false, false},
          {adagrad, 1, true, true, false, false}, {rmsprop, 1, false, true, false, false},
          {rmsprop, 2, false, true, false, false}};
}

std::string wrong_update(const RuleCase& one, Element type, bool wide_states, const std::vector<std::int64_t>& sizes,
                         cuda_on_host::Order order, std::uint64_t seed) {
  using enum cpu::UpdateRule;
  std::mt19937 engine(static_cast<unsigned>(seed));
  GlobalMemory memory;
  std::vector<std::array<Buffer, 5>> expected;
  std::vector<std::array<std::unique_ptr<DeviceBuffer>, 5>> found;
  std::vector<cuda::UpdateItem> items;
  std::int64_t chunks = 0;
  for (const std::int64_t size : sizes) {
    const Element state = wide_states ? Element::f32 : type;
    std::array<Buffer, 5> all{Buffer::random(type, size, engine), Buffer::random(type, size, engine),
                              Buffer::random(Element::f32, size, engine), Buffer::random(state, size, engine),
                              Buffer::random(state, size, engine)};
    // Second moments, and sums of squares, are not below zero.
    for (std::int64_t i = 0; i < size; ++i) {
      if (one.rule == adagrad || one.rule == rmsprop) all[3].set(i, std::abs(all[3].at(i)));
      if (one.rule == adamw) all[4].set(i, std::abs(all[4].at(i)));
    }
    std::array<std::unique_ptr<DeviceBuffer>, 5> there;
    const std::int64_t offset = size == 4097 || size == 7 ? 1 : 0;
    for (std::size_t i = 0; i < 5; ++i) {
      there[i] = std::make_unique<DeviceBuffer>(memory, all[i], "array " + std::to_string(i),
                                                i == 0 ? Contents::input : Contents::in_out, offset);
    }
    const auto params = [&](const std::array<void*, 5>& data) {
      cpu::UpdateParams params = kNumbers;
      params.rule = one.rule;
      params.type = type;
      params.gradient = data[0];
      params.parameter = one.parameter ? data[1] : nullptr;
      params.master = one.master ? static_cast<float*>(data[2]) : nullptr;
      params.a = {.data = one.states > 0 ? data[3] : nullptr, .type = state};
      params.b = {.data = one.states > 1 ? data[4] : nullptr, .type = state};
      params.l2 = 0.01f;
      params.nesterov = one.nesterov;
      params.first = one.first;
      return params;
    };
    items.push_back(
        {.params = params({there[0]->data(), there[1]->data(), there[2]->data(), there[3]->data(), there[4]->data()}),
         .elements = size,
         .first_chunk = chunks});
    chunks += (size + cuda::kUpdateChunk - 1) / cuda::kUpdateChunk;
    reference::optimizer_update(params({all[0].data(), all[1].data(), all[2].data(), all[3].data(), all[4].data()}), 0,
                                size);
    expected.push_back(std::move(all));
    found.push_back(std::move(there));
  }
  memory.add(items.data(), items.size() * sizeof(items[0]), "items", Contents::input);
  HostLauncher launcher(memory, order, 5);
  optimizer_update_on_host({items.data(), static_cast<int>(items.size()), chunks}, launcher);
  if (launcher.text() != "clean") return launcher.text();
  for (std::size_t item = 0; item < items.size(); ++item) {
    for (std::size_t i = 1; i < 5; ++i) {
      const Element of = expected[item][i].type();
      const double relative = of == Element::f32 ? 1e-5 : 1.01 * spacing(of);
      const std::string wrong = difference(found[item][i]->host(), expected[item][i], relative, 1e-6);
      if (wrong.empty()) continue;
      return "array " + std::to_string(i) + " of parameter " + std::to_string(item) + ": " + wrong;
    }
  }
  return "";
}

std::string wrong_sums(Element type, const std::vector<std::int64_t>& sizes, cuda_on_host::Order order,
                       std::uint64_t seed, std::vector<double>& sums) {
  std::mt19937 engine(static_cast<unsigned>(seed));
  GlobalMemory memory;
  std::vector<std::unique_ptr<DeviceBuffer>> gradients;
  std::vector<cuda::UpdateItem> items;
  std::vector<double> expected;
  std::int64_t chunks = 0;
  for (const std::int64_t size : sizes) {
    const Buffer x = Buffer::random(type, size, engine);
    expected.push_back(reference::sum_squares(x.data(), type, 0, size));
    gradients.push_back(std::make_unique<DeviceBuffer>(memory, x, "gradient", Contents::input, size % 2 == 1 ? 1 : 0));
    items.push_back(
        {.params = {.type = type, .gradient = gradients.back()->data()}, .elements = size, .first_chunk = chunks});
    chunks += (size + cuda::kUpdateChunk - 1) / cuda::kUpdateChunk;
  }
  DeviceArray<double> parts(static_cast<std::size_t>(chunks)), found(items.size());
  memory.add(items.data(), items.size() * sizeof(items[0]), "items", Contents::input);
  memory.add(parts.data(), parts.bytes(), "parts", Contents::output);
  memory.add(found.data(), found.bytes(), "sums", Contents::output);
  HostLauncher launcher(memory, order, 5);
  sum_squares_on_host({{items.data(), static_cast<int>(items.size()), chunks}, parts.data(), found.data()}, launcher);
  if (launcher.text() != "clean") return launcher.text();
  sums.assign(found.begin(), found.end());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!(std::abs(sums[i] - expected[i]) <= 1e-12 * expected[i])) return "sum " + std::to_string(i);
  }
  return "";
}

}  // namespace powerhouse::testing
