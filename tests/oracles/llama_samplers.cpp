// llama.cpp's samplers on rows of logits: the oracle program of tests/oracles/sampling_llama.py, which says how it is
// built. Not part of the build.
//
//   llama_samplers [VOCABULARY.gguf]   reads commands, one a line:
//
//   row N logit ...        the row, of N logits ("-inf" too)
//   seeded N SEED          the row, made by the formula of sampling_rows.py
//   seen N id ...          tokens that the samplers have seen, first to last
//   chain name:a:b ...     samplers and their arguments, as sampling_llama.py writes them
//   run STEPS              prints the candidates that are left, "id logit probability", sorted by id; behind a first
//                          line "count chosen". With STEPS above 1 what was chosen is accepted, and the row is run
//                          again.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "llama.h"

namespace {

std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::vector<float> seeded_row(std::uint64_t count, std::uint64_t seed) {
  std::vector<float> row;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t bits = mixed(seed << 32 | i);
    const std::uint64_t bell = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    const std::uint64_t rare = mixed(bits);
    const double high = rare % 499 == 0 ? static_cast<double>(4 * 8192 + (rare >> 40 & 0xffff)) / 8192 : 0;
    row.push_back(static_cast<float>((static_cast<double>(bell) - 131070) / 16384 + high));
  }
  return row;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}

llama_sampler* sampler_of(const std::vector<std::string>& parts, const llama_vocab* vocab, int size) {
  const auto real = [&](std::size_t i) { return std::stof(parts.at(i)); };
  const auto whole = [&](std::size_t i) { return std::stoi(parts.at(i)); };
  const std::string& name = parts[0];
  if (name == "penalties") return llama_sampler_init_penalties(size, whole(1), real(2), real(3), real(4));
  if (name == "dry") {
    if (vocab == nullptr) return llama_sampler_init_dry(nullptr, real(1), real(2), whole(3), whole(4), nullptr, 0);
    const char* breakers[] = {"\n", ":", "\"", "*"};
    return llama_sampler_init_dry(vocab, real(1), real(2), whole(3), whole(4), breakers, 4);
  }
  if (name == "top_n_sigma") return llama_sampler_init_top_n_sigma(real(1));
  if (name == "top_k") return llama_sampler_init_top_k(whole(1));
  if (name == "typ_p") return llama_sampler_init_typical(real(1), 0);
  if (name == "top_p") return llama_sampler_init_top_p(real(1), 0);
  if (name == "min_p") return llama_sampler_init_min_p(real(1), 0);
  if (name == "xtc") return llama_sampler_init_xtc(real(1), real(2), 0, 1);
  if (name == "temperature") return llama_sampler_init_temp_ext(real(1), real(2), real(3));
  if (name == "plain_temperature") return llama_sampler_init_temp(real(1));
  if (name == "mirostat1") return llama_sampler_init_mirostat(size, 5, real(1), real(2), 100);
  if (name == "mirostat2") return llama_sampler_init_mirostat_v2(5, real(1), real(2));
  if (name == "bias") {
    std::vector<llama_logit_bias> biases;
    for (std::size_t i = 1; i + 1 < parts.size(); i += 2) biases.push_back({whole(i), real(i + 1)});
    return llama_sampler_init_logit_bias(size, static_cast<int>(biases.size()), biases.data());
  }
  std::cerr << "no sampler " << name << '\n';
  std::exit(2);
}

void print(const llama_token_data_array& found) {
  std::vector<llama_token_data> left(found.data, found.data + found.size);
  const llama_token chosen = found.selected >= 0 ? found.data[found.selected].id : -1;
  std::sort(left.begin(), left.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  double best = -INFINITY;
  double total = 0;
  for (const auto& one : left) best = std::max(best, static_cast<double>(one.logit));
  for (const auto& one : left) total += std::exp(one.logit - best);
  std::printf("%zu %d\n", left.size(), chosen);
  for (const auto& one : left) std::printf("%d %.9g %.9g\n", one.id, one.logit, std::exp(one.logit - best) / total);
}

}  // namespace

int main(int argc, char** argv) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const llama_vocab* vocab = nullptr;
  if (argc > 1) {
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    llama_model* model = llama_model_load_from_file(argv[1], params);
    if (model == nullptr) return 1;
    vocab = llama_model_get_vocab(model);
  }
  std::vector<float> row;
  std::vector<llama_token> seen;
  std::vector<std::string> chain;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string command;
    std::size_t count = 0;
    in >> command;
    if (command == "chain") {
      chain = split(line.substr(6), ' ');
      continue;
    }
    in >> count;
    if (command == "row") {
      row.clear();
      for (std::string value; row.size() < count && in >> value;) row.push_back(std::stof(value));
    } else if (command == "seeded") {
      std::uint64_t seed = 0;
      in >> seed;
      row = seeded_row(count, seed);
    } else if (command == "seen") {
      seen.assign(count, 0);
      for (llama_token& id : seen) in >> id;
    } else if (command == "run") {
      std::vector<llama_sampler*> samplers;
      for (const std::string& one : chain) {
        samplers.push_back(sampler_of(split(one, ':'), vocab, static_cast<int>(row.size())));
        for (const llama_token id : seen) llama_sampler_accept(samplers.back(), id);
      }
      for (std::size_t step = 0; step < count; ++step) {
        std::vector<llama_token_data> data;
        for (std::size_t i = 0; i < row.size(); ++i) data.push_back({static_cast<llama_token>(i), row[i], 0});
        llama_token_data_array candidates{data.data(), data.size(), -1, false};
        for (llama_sampler* sampler : samplers) llama_sampler_apply(sampler, &candidates);
        print(candidates);
        if (candidates.selected < 0) continue;
        for (llama_sampler* sampler : samplers) llama_sampler_accept(sampler, candidates.data[candidates.selected].id);
      }
      for (llama_sampler* sampler : samplers) llama_sampler_free(sampler);
    }
  }
}
