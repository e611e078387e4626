#include "model/session_file.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "formats/safetensors.h"
#include "kernels/cpu/kernels.h"
#include "model/model_fingerprint.h"
#include "powerhouse/error.h"

namespace powerhouse {
namespace {

constexpr std::string_view kFormat = "powerhouse.sequence";
constexpr std::string_view kVersion = "1";

// A sum of 64-bit words against damage, at the speed of memory: not against forgery. Pieces may be cut anywhere.
class Checksum {
 public:
  void add(const void* data, std::size_t size) {
    const auto* from = static_cast<const char*>(data);
    for (; size > 0 && held_ > 0; --size) hold(*from++);
    for (; size >= sizeof(std::uint64_t); size -= sizeof(std::uint64_t), from += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, from, sizeof word);
      mix(word);
    }
    for (; size > 0; --size) hold(*from++);
  }
  std::string text() {
    mix(word_ + held_);
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(sum_));
    return digits;
  }

 private:
  void mix(std::uint64_t word) {
    sum_ = (sum_ ^ word) * 0x9E3779B97F4A7C15u;
    sum_ ^= sum_ >> 32;
  }
  void hold(char byte) {
    word_ |= std::uint64_t{static_cast<unsigned char>(byte)} << (8 * held_);
    if (++held_ < sizeof word_) return;
    mix(word_);
    word_ = held_ = 0;
  }

  std::uint64_t sum_ = 0, word_ = 0, held_ = 0;
};

// The runs of bytes in which the first `length` tokens of a layer lie in its pages.
template <typename Visit>
void visit_pages(const KvCache& cache, std::int64_t layer, std::int64_t sequence, std::int64_t length, bool value,
                 Visit visit) {
  const KvCache::Pages pages = cache.pages(layer, sequence);
  const std::size_t token = cache.token_bytes(layer, value);
  const std::int64_t offset = cpu::cache_bytes(cache.formats().of(value), cache.page_offset(layer));
  for (std::int64_t first = 0; first < length; first += cache.page_tokens()) {
    const std::int64_t count = std::min(cache.page_tokens(), length - first);
    const auto page = static_cast<std::size_t>(first / cache.page_tokens());
    visit(static_cast<const char*>((value ? pages.values : pages.keys)[page]) + offset,
          static_cast<std::size_t>(count) * token);
  }
}

// What a tensor of the file must be.
struct Part {
  std::string name;
  BlockFormat format;
  std::vector<std::int64_t> shape;
  std::size_t bytes;
  std::int64_t layer = -1;
  bool value = false;
};

std::vector<Part> parts_of(const KvCache& cache, std::int64_t length) {
  std::vector<Part> parts;
  const auto tokens = static_cast<std::size_t>(length);
  parts.push_back({"tokens", BlockFormat::i64, {length}, tokens * sizeof(std::int64_t)});
  for (std::size_t i = 0; i < cache.layers().size(); ++i) {
    const auto layer = static_cast<std::int64_t>(i);
    const auto [heads, dim] = cache.layers()[i];
    for (const bool value : {false, true}) {
      const std::size_t token = cache.token_bytes(layer, value);
      const BlockFormat format = cache.formats().of(value);
      const bool plain = block_info(format).block_elements == 1;  // safetensors has no blocks: those are bytes to it
      parts.push_back({"layers." + std::to_string(i) + (value ? ".value" : ".key"), plain ? format : BlockFormat::u8,
                       plain ? std::vector<std::int64_t>{length, heads, dim}
                             : std::vector<std::int64_t>{length, static_cast<std::int64_t>(token)},
                       tokens * token, layer, value});
    }
  }
  return parts;
}

// "Q8_0", or of keys and values "Q8_0 Q4_0".
std::string type_of(const KvCache& cache) {
  const auto [keys, values] = cache.formats();
  const std::string name = block_info(keys).name;
  return keys == values ? name : name + " " + block_info(values).name;
}

// What else than the model decides a cache's bits.
std::string arithmetic_of(const CausalLM& model) {
  std::string text(to_string(model.numerics()));
  const bool here = model.device().kind == DeviceKind::cpu;
  return text.append(" ").append(to_string(model.dtype())).append(" ").append(here ? cpu::kernels().name : "cuda");
}

// Of what the metadata say and of all bytes.
Checksum begin_checksum(std::string_view model, std::string_view arithmetic, std::string_view kv_type,
                        std::int64_t length, std::int64_t rope_length) {
  std::string text(model);
  text.append(" ").append(arithmetic).append(" ").append(kv_type).append(" ");
  text += std::to_string(length) + ' ' + std::to_string(rope_length) + '\n';
  Checksum checksum;
  checksum.add(text.data(), text.size());
  return checksum;
}

[[noreturn]] void fail(const std::string& path, std::string_view field, std::string_view message,
                       std::string expected = {}, std::string found = {}, ErrorKind kind = ErrorKind::format) {
  throw Error(kind, message,
              {.file = path, .field = std::string(field), .expected = std::move(expected), .found = std::move(found)});
}

const std::string& metadata_of(const SafetensorsFile& file, std::string_view key) {
  for (const auto& [name, value] : file.metadata) {
    if (name == key) return value;
  }
  fail(file.path, key, "not a saved sequence: its metadata lack a key");
}

std::int64_t number_of(const SafetensorsFile& file, std::string_view key) {
  const std::string& text = metadata_of(file, key);
  std::int64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc() || end != text.data() + text.size() || number < 0) {
    fail(file.path, key, "not a number", "an integer of 0 or more", text);
  }
  return number;
}

// What the file says it is, before its bytes are looked at.
void check_origin(const SafetensorsFile& file, const std::string& fingerprint, const CausalLM& model,
                  const KvCache& cache) {
  if (const std::string& format = metadata_of(file, "format"); format != kFormat) {
    fail(file.path, "format", "not a saved sequence", std::string(kFormat), format);
  }
  if (const std::string& version = metadata_of(file, "version"); version != kVersion) {
    fail(file.path, "version", "a version that this library does not read", std::string(kVersion), version,
         ErrorKind::unsupported);
  }
  if (const std::string& found = metadata_of(file, "model"); found != fingerprint) {
    fail(file.path, "model", "the sequence was saved with another model", fingerprint.substr(0, 16),
         found.substr(0, 16), ErrorKind::usage);
  }
  const std::string arithmetic = arithmetic_of(model);
  if (const std::string& found = metadata_of(file, "arithmetic");
      model.numerics() == Numerics::exact && found != arithmetic) {
    fail(file.path, "arithmetic", "exact numerics take no keys and values that were computed otherwise", arithmetic,
         found, ErrorKind::usage);
  }
  const std::string expected = type_of(cache);
  if (const std::string& found = metadata_of(file, "kv_type"); found != expected) {
    fail(file.path, "kv_type", "the sequence was saved with another type of cache", expected, found, ErrorKind::usage);
  }
}

// The file's tensors in the order of `parts`; all of them and no other.
std::vector<const TensorView*> find_parts(const SafetensorsFile& file, const std::vector<Part>& parts) {
  std::vector<const TensorView*> views;
  for (const Part& part : parts) {
    const auto view = std::find_if(file.tensors.begin(), file.tensors.end(),
                                   [&](const TensorView& tensor) { return tensor.name == part.name; });
    if (view == file.tensors.end()) fail(file.path, part.name, "a tensor of the sequence is missing");
    if (view->format != part.format || view->shape != part.shape) {
      fail(file.path, part.name, "the tensor has another type or shape than the model's cache");
    }
    views.push_back(&*view);
  }
  if (file.tensors.size() != parts.size()) fail(file.path, "", "tensors that belong to no sequence");
  return views;
}

}  // namespace

void save_sequence(const std::string& path, const CausalLM& model, const KvCache& cache, std::int64_t sequence,
                   const SequenceRecord& record) {
  const std::int64_t length = cache.length(sequence);
  const std::string fingerprint = model_fingerprint(*model.impl().model);
  const std::string kv_type = type_of(cache);
  const auto visit = [&](const Part& part, const auto& sink) {
    if (part.layer < 0) {
      sink(record.tokens.data(), part.bytes);
    } else if (cache.device().is_cpu()) {
      visit_pages(cache, part.layer, sequence, length, part.value, sink);
    } else {
      std::vector<char> here;
      visit_pages(cache, part.layer, sequence, length, part.value, [&](const char* page, std::size_t size) {
        here.resize(size);
        cache.read(page, here.data(), size);
        sink(here.data(), size);
      });
    }
  };
  const std::string arithmetic = arithmetic_of(model);
  Checksum checksum = begin_checksum(fingerprint, arithmetic, kv_type, length, record.rope_length);
  std::vector<TensorSource> sources;
  for (const Part& part : parts_of(cache, length)) {
    visit(part, [&](const void* data, std::size_t size) { checksum.add(data, size); });
    sources.push_back(
        {part.name, part.format, part.shape, part.bytes, [&visit, part](const auto& sink) { visit(part, sink); }});
  }
  const std::pair<std::string, std::string> metadata[] = {
      {"format", std::string(kFormat)},
      {"version", std::string(kVersion)},
      {"model", fingerprint},
      {"arithmetic", arithmetic},
      {"kv_type", kv_type},
      {"length", std::to_string(length)},
      {"rope_length", std::to_string(record.rope_length)},
      {"checksum", checksum.text()},
  };
  write_safetensors(path, sources, metadata);
}

std::int64_t restore_sequence(const std::string& path, const CausalLM& model, KvCache& cache,
                              SequenceRecords& records) {
  const SafetensorsFile file = read_safetensors(path);
  const std::string fingerprint = model_fingerprint(*model.impl().model);
  check_origin(file, fingerprint, model, cache);
  const std::int64_t length = number_of(file, "length");
  SequenceRecord record{.rope_length = number_of(file, "rope_length")};
  // A length beyond the file's own bytes would not fit its shapes; a bound keeps their products from overflowing.
  if (length > (std::int64_t{1} << 40)) fail(path, "length", "out of range");
  const std::vector<Part> parts = parts_of(cache, length);
  const std::vector<const TensorView*> views = find_parts(file, parts);
  Checksum checksum =
      begin_checksum(fingerprint, metadata_of(file, "arithmetic"), type_of(cache), length, record.rope_length);
  for (const TensorView* view : views) checksum.add(view->data, view->bytes);
  const std::string& expected = metadata_of(file, "checksum");
  if (const std::string found = checksum.text(); found != expected) {
    fail(path, "checksum", "the file is damaged", expected, found);
  }

  record.tokens.resize(static_cast<std::size_t>(length));
  if (length > 0) std::memcpy(record.tokens.data(), views[0]->data, views[0]->bytes);
  try {
    check_ids(model.config(), record.tokens);
    check_length(model.config(), length, 0);
  } catch (const Error& error) {
    throw error.in_file(path);
  }
  if (!records.plausible(record)) fail(path, "rope_length", "no length that the sequence can have been computed with");

  const std::int64_t sequence = cache.create();
  try {
    cache.reserve(sequence, length);
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const std::byte* from = views[i]->data;
      visit_pages(cache, parts[i].layer, sequence, length, parts[i].value, [&](const char* page, std::size_t size) {
        cache.write(from, page, size);  // pages of our own, just reserved
        from += size;
      });
    }
    cache.commit(sequence, length);
    records.put(sequence, std::move(record));
  } catch (...) {
    cache.remove(sequence);
    throw;
  }
  return sequence;
}

}  // namespace powerhouse
