#include "powerhouse/gptq.h"

#include "calibration/gptq_layer.h"
#include "calibration/layer_by_layer.h"
#include "formats/gptq.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

bool is_dense(const GptqOptions& options) { return options.checkpoint_format == "dense"; }

[[noreturn]] void refuse(const char* field, const std::string& expected, const std::string& found) {
  throw Error(ErrorKind::range, "GPTQ does not know this", {.field = field, .expected = expected, .found = found});
}

void check(const GptqOptions& options) {
  if (options.bits != 2 && options.bits != 3 && options.bits != 4 && options.bits != 8) {
    refuse("bits", "2, 3, 4 or 8", std::to_string(options.bits));
  }
  if (options.group_size != -1 && options.group_size < 1) {
    refuse("group_size", "-1, or 1 and more", std::to_string(options.group_size));
  }
  if (!(options.damp_percent > 0 && options.damp_percent < 1)) {
    refuse("damp_percent", "above 0 and below 1", std::to_string(options.damp_percent));
  }
  if (options.block_size < 1) refuse("block_size", "1 and more", std::to_string(options.block_size));
  if (options.checkpoint_format != "gptq" && options.checkpoint_format != "gptq_v2" && !is_dense(options)) {
    refuse("checkpoint_format", "gptq, gptq_v2 or dense", options.checkpoint_format);
  }
}

GptqFormat format_of(const GptqOptions& options) {
  return options.checkpoint_format == "gptq" ? GptqFormat::v1 : GptqFormat::v2;
}

GridSearch grid_search(const std::string& name) {
  if (name == "hessian") return GridSearch::weighted;
  if (name == "mse") return GridSearch::mse;
  if (name == "none") return GridSearch::none;
  refuse("scale_search", "hessian, mse or none", name);
}

GptqRule rule_of(const GptqOptions& options) {
  // The first format has no place for a zero of 0.
  return {.grid = {.bits = options.bits,
                   .symmetric = options.sym,
                   .search = grid_search(options.scale_search),
                   .least_zero = options.checkpoint_format == "gptq" ? 1 : 0},
          .group_size = options.group_size,
          .desc_act = options.desc_act,
          .static_groups = options.static_groups,
          .damp_percent = options.damp_percent,
          .block_size = options.block_size};
}

Json json_of(const GptqOptions& options) {
  JsonObject out;
  out["method"] = "gptq";
  out["bits"] = options.bits;
  out["group_size"] = options.group_size;
  out["sym"] = options.sym;
  out["desc_act"] = options.desc_act;
  out["static_groups"] = options.static_groups;
  out["damp_percent"] = options.damp_percent;
  out["scale_search"] = options.scale_search;
  out["block_size"] = options.block_size;
  out["true_sequential"] = options.true_sequential;
  out["checkpoint_format"] = options.checkpoint_format;
  return Json(std::move(out));
}

// The packing's words of 32 bits.
void check_packing(const LinearTarget& target, const GptqOptions& options) {
  const std::int64_t outputs = target.outputs();
  if (is_dense(options) || (target.inputs() % 32 == 0 && outputs % 32 == 0)) return;
  throw Error(ErrorKind::unsupported, "GPTQ's packing holds multiples of 32",
              {.field = target.name(),
               .expected = "inputs and outputs that 32 divides",
               .found = std::to_string(target.inputs()) + " and " + std::to_string(outputs)});
}

}  // namespace

QuantizationReport quantize_gptq(const std::string& model, const std::string& output, std::string_view calibration_text,
                                 const GptqOptions& options, const CalibrationOptions& calibration,
                                 const QuantizationCallbacks& callbacks) {
  check(options);
  const GptqRule rule = rule_of(options);
  LayerMethod method{.options = json_of(options)};
  method.memory = hessian_bytes;
  method.check = [&](const LinearTarget& target) {
    check_group_size(target.inputs(), options.group_size, target.name());
    check_packing(target, options);
  };
  method.quantize = [&](Model& own, LayerwiseRun& run, std::int64_t layer) {
    return quantize_layer(own, run, layer, rule, options.true_sequential);
  };
  if (!is_dense(options)) {
    method.pack = [&](const GroupedCodes& codes, const std::string& module) {
      return pack_gptq(codes, module, format_of(options));
    };
    method.config = gptq_config({.bits = options.bits,
                                 .group_size = options.group_size,
                                 .sym = options.sym,
                                 .desc_act = options.desc_act,
                                 .static_groups = options.static_groups,
                                 .true_sequential = options.true_sequential,
                                 .damp_percent = options.damp_percent,
                                 .checkpoint_format = format_of(options)});
  }
  return quantize_layer_by_layer(model, output, calibration_text, method, calibration, callbacks);
}

}  // namespace powerhouse
