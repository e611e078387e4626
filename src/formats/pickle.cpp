#include "formats/pickle.h"

#include <cstring>
#include <optional>
#include <unordered_map>
#include <variant>

#include "powerhouse/error.h"
#include "support/checked.h"

namespace powerhouse {
namespace {

// Ten times what the largest models have tensors for; each value takes more memory than the opcode that makes it.
constexpr std::size_t kMostValues = std::size_t{1} << 22;

// Values refer to each other by their place in one list: whatever a file nests or shares, nothing here recurses.
using Ref = std::size_t;

struct None {};
struct Global {
  std::string name;  // "torch._utils._rebuild_tensor_v2"
};
struct Tuple {
  std::vector<Ref> items;  // a list too
};
struct Dict {
  std::vector<std::pair<Ref, Ref>> entries;
};
struct Storage {
  std::string key;
  std::optional<BlockFormat> format;  // none: bytes without a type
  std::int64_t bytes = 0;
};
using Value = std::variant<None, bool, std::int64_t, std::string, Global, Tuple, Dict, Storage, PickledTensor>;

struct NamedFormat {
  std::string_view name;
  BlockFormat format;
};
constexpr NamedFormat kStorages[] = {
    {"torch.DoubleStorage", BlockFormat::f64}, {"torch.FloatStorage", BlockFormat::f32},
    {"torch.HalfStorage", BlockFormat::f16},   {"torch.BFloat16Storage", BlockFormat::bf16},
    {"torch.LongStorage", BlockFormat::i64},   {"torch.IntStorage", BlockFormat::i32},
    {"torch.ShortStorage", BlockFormat::i16},  {"torch.CharStorage", BlockFormat::i8},
    {"torch.ByteStorage", BlockFormat::u8},    {"torch.BoolStorage", BlockFormat::boolean},
};
constexpr NamedFormat kDtypes[] = {
    {"torch.float64", BlockFormat::f64},
    {"torch.float32", BlockFormat::f32},
    {"torch.float16", BlockFormat::f16},
    {"torch.bfloat16", BlockFormat::bf16},
    {"torch.float8_e4m3fn", BlockFormat::f8_e4m3},
    {"torch.float8_e5m2", BlockFormat::f8_e5m2},
    {"torch.int64", BlockFormat::i64},
    {"torch.int32", BlockFormat::i32},
    {"torch.int16", BlockFormat::i16},
    {"torch.int8", BlockFormat::i8},
    {"torch.uint64", BlockFormat::u64},
    {"torch.uint32", BlockFormat::u32},
    {"torch.uint16", BlockFormat::u16},
    {"torch.uint8", BlockFormat::u8},
    {"torch.bool", BlockFormat::boolean},
};
constexpr std::string_view kOrderedDict = "collections.OrderedDict", kSize = "torch.Size";
constexpr std::string_view kRebuildV2 = "torch._utils._rebuild_tensor_v2",
                           kRebuildV3 = "torch._utils._rebuild_tensor_v3";
constexpr std::string_view kParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kUntyped[] = {"torch.storage.UntypedStorage", "torch.UntypedStorage"};

std::optional<BlockFormat> format_named(std::span<const NamedFormat> list, std::string_view name) {
  for (const NamedFormat& known : list) {
    if (known.name == name) return known.format;
  }
  return std::nullopt;
}

bool is_known(std::string_view name) {
  return name == kOrderedDict || name == kSize || name == kRebuildV2 || name == kRebuildV3 || name == kParameter ||
         name == kUntyped[0] || name == kUntyped[1] || format_named(kStorages, name) || format_named(kDtypes, name);
}

class Machine {
 public:
  Machine(std::span<const std::byte> pickle, const std::string& path) : in_(pickle), path_(path) {}

  std::vector<std::pair<std::string, PickledTensor>> run() {
    while (step(byte())) {
    }
    return tensors(pop());
  }

 private:
  [[noreturn]] void fail(std::string_view message, std::string found = {}) const {
    throw Error(ErrorKind::format, message, {.file = path_, .field = "data.pkl", .found = std::move(found)});
  }
  [[noreturn]] void refuse(std::string_view what, std::string found) const {
    throw Error(ErrorKind::unsupported, std::string(what) + ": a file of weights has no need of it, and it is not done",
                {.file = path_, .field = "data.pkl", .found = std::move(found)});
  }

  std::span<const std::byte> take(std::uint64_t size) {
    if (size > in_.size() - at_) fail("the pickle ends too early");
    at_ += size;
    return in_.subspan(at_ - size, size);
  }
  template <typename T>
  T number() {
    T value{};
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::uint8_t byte() { return number<std::uint8_t>(); }
  std::string text(std::uint64_t size) {
    const auto bytes = take(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string line() {
    std::string out;
    for (std::uint8_t c = byte(); c != '\n'; c = byte()) out += static_cast<char>(c);
    return out;
  }

  void push(Value value) {
    if (values_.size() == kMostValues) fail("a pickle of too many values");
    values_.push_back(std::move(value));
    stack_.push_back(values_.size() - 1);
  }
  Ref pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("the pickle takes a value where there is none");
    const Ref top = stack_.back();
    stack_.pop_back();
    return top;
  }
  std::vector<Ref> pop_to_mark() {
    if (marks_.empty()) fail("the pickle has no mark here");
    std::vector<Ref> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  Ref top() {
    const Ref last = pop();
    stack_.push_back(last);
    return last;
  }
  template <typename T>
  const T& as(Ref value, const char* what) const {
    const T* held = std::get_if<T>(&values_[value]);
    if (held == nullptr) fail("the pickle holds something else here", std::string("no ") + what);
    return *held;
  }

  void push_tuple(std::size_t size) {
    Tuple tuple{std::vector<Ref>(size)};
    for (std::size_t i = size; i-- > 0;) tuple.items[i] = pop();
    push(std::move(tuple));
  }
  void push_global(const std::string& name) {
    if (!is_known(name)) refuse("the pickle asks for something else than tensors", name);
    push(Global{name});
  }
  void set_items(const std::vector<Ref>& items) {
    if (items.size() % 2 != 0) fail("a key without a value");
    Dict* dict = std::get_if<Dict>(&values_[top()]);
    if (dict == nullptr) fail("items of something that is no dict");
    for (std::size_t i = 0; i < items.size(); i += 2) dict->entries.emplace_back(items[i], items[i + 1]);
  }
  void append(const std::vector<Ref>& items) {
    Tuple* list = std::get_if<Tuple>(&values_[top()]);
    if (list == nullptr) fail("items of something that is no list");
    list->items.insert(list->items.end(), items.begin(), items.end());
  }
  void get(std::uint32_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) fail("the pickle refers to what it has not kept");
    stack_.push_back(found->second);
  }
  void push_long(std::size_t size) {
    if (size > 8) fail("a number too large");
    std::uint64_t value = 0;
    const auto bytes = take(size);
    for (std::size_t i = 0; i < size; ++i) value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
    if (size > 0 && size < 8 && (std::to_integer<unsigned>(bytes[size - 1]) & 0x80) != 0) value |= ~0ull << (8 * size);
    push(static_cast<std::int64_t>(value));
  }

  bool step(std::uint8_t opcode);
  void persistent();
  void reduce();
  void rebuild(const Tuple& arguments, bool with_dtype);
  std::vector<std::int64_t> sizes(Ref value, const char* what) const;
  std::vector<std::pair<std::string, PickledTensor>> tensors(Ref value) const;

  std::span<const std::byte> in_;
  const std::string& path_;
  std::uint64_t at_ = 0;
  std::vector<Value> values_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint32_t, Ref> memo_;
};

// False at the end. Opcodes are those of protocols 2 to 5 (pickletools.py).
bool Machine::step(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80: byte(); break;                                                   // PROTO
    case 0x95: take(8); break;                                                  // FRAME
    case '(': marks_.push_back(stack_.size()); break;                           // MARK
    case '.': return false;                                                     // STOP
    case '0': pop(); break;                                                     // POP
    case '1': pop_to_mark(); break;                                             // POP_MARK
    case 'N': push(None{}); break;                                              // NONE
    case 0x88: push(true); break;                                               // NEWTRUE
    case 0x89: push(false); break;                                              // NEWFALSE
    case 'J': push(static_cast<std::int64_t>(number<std::int32_t>())); break;   // BININT
    case 'K': push(static_cast<std::int64_t>(byte())); break;                   // BININT1
    case 'M': push(static_cast<std::int64_t>(number<std::uint16_t>())); break;  // BININT2
    case 0x8a: push_long(byte()); break;                                        // LONG1
    case 'G': take(8), push(None{}); break;                                     // BINFLOAT: no tensor needs one
    case 'X': push(text(number<std::uint32_t>())); break;                       // BINUNICODE
    case 0x8c: push(text(byte())); break;                                       // SHORT_BINUNICODE
    case 0x8d: push(text(number<std::uint64_t>())); break;                      // BINUNICODE8
    case '}': push(Dict{}); break;                                              // EMPTY_DICT
    case ']':
    case ')': push(Tuple{}); break;               // EMPTY_LIST, EMPTY_TUPLE
    case 't': push(Tuple{pop_to_mark()}); break;  // TUPLE
    case 0x85:
    case 0x86:
    case 0x87: push_tuple(opcode - 0x84); break;  // TUPLE1, TUPLE2, TUPLE3
    case 's': {                                   // SETITEM
      const Ref value = pop();
      const Ref key = pop();
      set_items({key, value});
      break;
    }
    case 'u': set_items(pop_to_mark()); break;                                  // SETITEMS
    case 'a': append({pop()}); break;                                           // APPEND
    case 'e': append(pop_to_mark()); break;                                     // APPENDS
    case 'q': memo_[byte()] = top(); break;                                     // BINPUT
    case 'r': memo_[number<std::uint32_t>()] = top(); break;                    // LONG_BINPUT
    case 0x94: memo_[static_cast<std::uint32_t>(memo_.size())] = top(); break;  // MEMOIZE
    case 'h': get(byte()); break;                                               // BINGET
    case 'j': get(number<std::uint32_t>()); break;                              // LONG_BINGET
    case 'c': {                                                                 // GLOBAL
      const std::string module = line();
      push_global(module + "." + line());
      break;
    }
    case 0x93: {  // STACK_GLOBAL
      const std::string name = as<std::string>(pop(), "name");
      push_global(as<std::string>(pop(), "module") + "." + name);
      break;
    }
    case 'Q': persistent(); break;  // BINPERSID
    case 'R': reduce(); break;      // REDUCE
    case 'b':                       // BUILD: a state dict's versions of modules, which say nothing of weights
      pop();
      if (!std::holds_alternative<Dict>(values_[top()])) refuse("the pickle sets an object's state", "BUILD");
      break;
    default: refuse("the pickle holds an instruction that weights don't need", "opcode " + std::to_string(opcode));
  }
  return true;
}

// ("storage", type, key, location, elements)
void Machine::persistent() {
  const Tuple& id = as<Tuple>(pop(), "persistent id");
  if (id.items.size() != 5 || as<std::string>(id.items[0], "kind") != "storage") fail("an unknown persistent id");
  const std::string& type = as<Global>(id.items[1], "storage type").name;
  const std::int64_t count = as<std::int64_t>(id.items[4], "size of a storage");
  Storage storage{.key = as<std::string>(id.items[2], "key of a storage"), .format = format_named(kStorages, type)};
  if (!storage.format && type != kUntyped[0] && type != kUntyped[1]) fail("no storage", type);
  const std::int64_t width = storage.format ? block_info(*storage.format).block_bytes : 1;
  const std::int64_t factors[] = {count, width};
  const auto bytes = checked_element_count(factors);
  if (!bytes) fail("an impossible size of a storage", std::to_string(count));
  storage.bytes = *bytes;
  push(std::move(storage));
}

void Machine::reduce() {
  const Tuple arguments = as<Tuple>(pop(), "arguments");
  const std::string name = as<Global>(pop(), "function").name;
  if (name == kOrderedDict) {
    if (!arguments.items.empty()) refuse("the pickle fills a dict in another way", name);
    return push(Dict{});
  }
  if (name == kSize && arguments.items.size() == 1) return stack_.push_back(arguments.items[0]);
  if (name == kParameter && !arguments.items.empty()) {
    as<PickledTensor>(arguments.items[0], "tensor");
    return stack_.push_back(arguments.items[0]);
  }
  if (name == kRebuildV2) return rebuild(arguments, false);
  if (name == kRebuildV3) return rebuild(arguments, true);
  refuse("the pickle calls something", name);
}

std::vector<std::int64_t> Machine::sizes(Ref value, const char* what) const {
  std::vector<std::int64_t> out;
  for (const Ref item : as<Tuple>(value, what).items) {
    out.push_back(as<std::int64_t>(item, what));
    if (out.back() < 0) fail("a negative size", what);
  }
  return out;
}

// (storage, offset, size, stride, requires_grad, hooks[, dtype or metadata[, metadata]])
void Machine::rebuild(const Tuple& arguments, bool with_dtype) {
  if (arguments.items.size() < (with_dtype ? 7u : 6u)) fail("a tensor of too few parts");
  const Storage& storage = as<Storage>(arguments.items[0], "storage");
  PickledTensor tensor{.storage = storage.key, .storage_bytes = storage.bytes};
  auto format = storage.format;
  if (with_dtype) format = format_named(kDtypes, as<Global>(arguments.items[6], "dtype").name);
  if (!format) fail("a tensor without a type");
  tensor.format = *format;
  tensor.offset = as<std::int64_t>(arguments.items[1], "offset");
  tensor.shape = sizes(arguments.items[2], "size");
  tensor.strides = sizes(arguments.items[3], "stride");
  if (tensor.offset < 0 || tensor.shape.size() != tensor.strides.size()) fail("a tensor's parts contradict each other");
  push(std::move(tensor));
}

std::vector<std::pair<std::string, PickledTensor>> Machine::tensors(Ref value) const {
  std::vector<std::pair<std::string, PickledTensor>> out;
  for (const auto& [key, item] : as<Dict>(value, "dict of tensors").entries) {
    const std::string& name = as<std::string>(key, "name of a tensor");
    const PickledTensor* tensor = std::get_if<PickledTensor>(&values_[item]);
    if (tensor == nullptr) {
      throw Error(ErrorKind::format, "not a tensor: a file of weights is a dict of tensors, without anything around it",
                  {.file = path_, .field = name});
    }
    out.emplace_back(name, *tensor);
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, PickledTensor>> read_pickled_tensors(std::span<const std::byte> pickle,
                                                                        const std::string& path) {
  return Machine(pickle, path).run();
}

}  // namespace powerhouse
