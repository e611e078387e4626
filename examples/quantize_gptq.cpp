// Quantize a model with GPTQ on a text, and see what each linear layer lost.
//
//     quantize_gptq SmolLM2-135M-Instruct.Q4_1.gguf text.txt SmolLM2-GPTQ 4 64
#include <powerhouse/powerhouse.h>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>

int main(int argc, char** argv) {
  if (argc < 4 || argc > 8) {
    std::cerr << "usage: quantize_gptq MODEL TEXT OUTPUT [BITS [GROUP_SIZE [SEQUENCES [FORMAT]]]]\n";
    return 2;
  }
  try {
    std::ifstream file(argv[2]);
    if (!file) throw powerhouse::Error(powerhouse::ErrorKind::not_found, "no such text", {.file = argv[2]});
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const powerhouse::GptqOptions options{.bits = argc > 4 ? std::atoi(argv[4]) : 4,
                                          .group_size = argc > 5 ? std::atoll(argv[5]) : 128,
                                          .checkpoint_format = argc > 7 ? argv[7] : "gptq"};
    const powerhouse::CalibrationOptions calibration{.sequences = argc > 6 ? std::atoll(argv[6]) : 128};
    std::cout << std::fixed << std::setprecision(4);
    const auto report =
        powerhouse::quantize_gptq(argv[1], argv[3], text, options, calibration,
                                  {.on_layer = [](std::int64_t done, std::int64_t total, const auto& linears) {
                                    std::cerr << "layer " << done << " of " << total << "\n";
                                    for (const powerhouse::LinearReport& own : linears) {
                                      std::cout << own.name << ": weights " << own.weight_error << ", outputs "
                                                << own.output_error << "  " << own.note << "\n";
                                    }
                                  }});
    std::cout << report.tokens << " tokens, " << report.linears.size() << " linear layers, " << report.seconds
              << " s\n";
  } catch (const powerhouse::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
