#include "powerhouse/awq.h"

#include "calibration/awq_layer.h"
#include "calibration/gptq_solver.h"
#include "calibration/layer_by_layer.h"
#include "formats/awq.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

bool is_dense(const AwqOptions& options) { return options.version == "dense"; }

void check(const AwqOptions& options) {
  const auto refuse = [](const char* field, const std::string& expected, const std::string& found) {
    throw Error(ErrorKind::range, "AWQ does not know this", {.field = field, .expected = expected, .found = found});
  };
  if (options.group_size != -1 && options.group_size < 1) {
    refuse("group_size", "-1, or 1 and more", std::to_string(options.group_size));
  }
  if (options.version != "gemm" && options.version != "gemv" && !is_dense(options)) {
    refuse("version", "gemm, gemv or dense", options.version);
  }
  if (options.n_grid < 1) refuse("n_grid", "1 and more", std::to_string(options.n_grid));
  if (!(options.max_shrink >= 0 && options.max_shrink < 1)) {
    refuse("max_shrink", "0 to below 1", std::to_string(options.max_shrink));
  }
  if (options.search_tokens < 1) refuse("search_tokens", "1 and more", std::to_string(options.search_tokens));
}

AwqVersion version_of(const AwqOptions& options) {
  return options.version == "gemv" ? AwqVersion::gemv : AwqVersion::gemm;
}

Json json_of(const AwqOptions& options) {
  JsonObject out;
  out["method"] = "awq";
  out["group_size"] = options.group_size;
  out["version"] = options.version;
  out["n_grid"] = options.n_grid;
  out["duo_scaling"] = options.duo_scaling;
  out["apply_clip"] = options.apply_clip;
  out["max_shrink"] = options.max_shrink;
  out["search_tokens"] = options.search_tokens;
  return Json(std::move(out));
}

void check_packing(const LinearTarget& target, const AwqOptions& options) {
  if (is_dense(options)) return;
  const bool by_inputs = options.version == "gemv";
  const std::int64_t packed = by_inputs ? target.inputs() : target.outputs();
  if (packed % 8 != 0) {
    throw Error(ErrorKind::unsupported, "AWQ's packing holds multiples of 8",
                {.field = target.name(),
                 .expected = by_inputs ? "inputs that 8 divides" : "outputs that 8 divides",
                 .found = std::to_string(packed)});
  }
}

}  // namespace

QuantizationReport quantize_awq(const std::string& model, const std::string& output, std::string_view calibration_text,
                                const AwqOptions& options, const CalibrationOptions& calibration,
                                const QuantizationCallbacks& callbacks) {
  check(options);
  const at::ScalarType type = is_dense(options) ? at::kFloat : at::kHalf;
  LayerMethod method{.options = json_of(options), .type = type};
  method.memory = [&](const Model& own) { return awq_bytes(own, options); };
  method.check = [&](const LinearTarget& target) {
    check_group_size(target.inputs(), options.group_size, target.name());
    check_packing(target, options);
  };
  method.quantize = [&](Model& own, LayerwiseRun& run, std::int64_t layer) {
    return quantize_layer_awq(own, run, layer, options, type);
  };
  if (!is_dense(options)) {
    method.pack = [&](const GroupedCodes& codes, const std::string& module) {
      return pack_awq(codes, module, version_of(options));
    };
    method.config = awq_config({.group_size = options.group_size, .version = version_of(options)});
  }
  return quantize_layer_by_layer(model, output, calibration_text, method, calibration, callbacks);
}

}  // namespace powerhouse
