#include "formats/pickle.h"

#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <variant>

#include "formats/pickle_names.h"
#include "powerhouse/error.h"
#include "support/checked.h"

namespace powerhouse {
namespace {

using namespace pickle_names;

// A few times what the largest models would need in one file. What a byte of a pickle makes takes more memory than that
// byte, and what it has once made it can name again and again: each list below is bounded by itself.
constexpr std::size_t kMostValues = std::size_t{1} << 20, kMostTensors = std::size_t{1} << 16;
constexpr std::size_t kMostDimensions = 16, kLongestKey = 64;

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
// Apart from the other values, which are small without them.
template <typename T>
struct Index {
  std::size_t of;
};
using Value =
    std::variant<None, bool, std::int64_t, std::string, Global, Tuple, Dict, Index<Storage>, Index<PickledTensor>>;

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
  [[noreturn]] void refuse(const char* what, std::string found) const {
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

  void bound(std::size_t size, std::size_t most) const {
    if (size >= most) fail("a pickle of too many values");
  }
  void push_ref(Ref value) {
    bound(stack_.size(), kMostValues);
    stack_.push_back(value);
  }
  void push(Value value) {
    bound(values_.size(), kMostValues);
    values_.push_back(std::move(value));
    push_ref(values_.size() - 1);
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
  std::string named_in_text() {
    const std::string module = line();
    return module + "." + line();
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
    push_ref(found->second);
  }
  void put(std::uint32_t place) {
    bound(memo_.size(), kMostValues);
    memo_[place] = top();
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
  void check_metadata(Ref value) const;
  std::vector<std::int64_t> sizes(Ref value, const char* what) const;
  std::vector<std::pair<std::string, PickledTensor>> tensors(Ref value) const;

  std::span<const std::byte> in_;
  const std::string& path_;
  std::uint64_t at_ = 0;
  std::vector<Value> values_;
  std::vector<Storage> storages_;
  std::vector<PickledTensor> tensors_;
  std::vector<Ref> stack_;
  std::vector<std::size_t> marks_;
  // Ordered, as all that is looked up by what a file says: nobody can make its keys collide.
  std::map<std::uint32_t, Ref> memo_;
};

// False at the end. Opcodes are those of protocols 2 to 5 (pickletools.py).
bool Machine::step(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80: byte(); break;                                                             // PROTO
    case 0x95: take(8); break;                                                            // FRAME
    case '(': bound(marks_.size(), kMostValues), marks_.push_back(stack_.size()); break;  // MARK
    case '.': return false;                                                               // STOP
    case '0': pop(); break;                                                               // POP
    case '1': pop_to_mark(); break;                                                       // POP_MARK
    case 'N': push(None{}); break;                                                        // NONE
    case 0x88: push(true); break;                                                         // NEWTRUE
    case 0x89: push(false); break;                                                        // NEWFALSE
    case 'J': push(static_cast<std::int64_t>(number<std::int32_t>())); break;             // BININT
    case 'K': push(static_cast<std::int64_t>(byte())); break;                             // BININT1
    case 'M': push(static_cast<std::int64_t>(number<std::uint16_t>())); break;            // BININT2
    case 0x8a: push_long(byte()); break;                                                  // LONG1
    case 'G': take(8), push(None{}); break;                 // BINFLOAT: no tensor needs one
    case 'X': push(text(number<std::uint32_t>())); break;   // BINUNICODE
    case 0x8c: push(text(byte())); break;                   // SHORT_BINUNICODE
    case 0x8d: push(text(number<std::uint64_t>())); break;  // BINUNICODE8
    case '}': push(Dict{}); break;                          // EMPTY_DICT
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
    case 'u': set_items(pop_to_mark()); break;                        // SETITEMS
    case 'a': append({pop()}); break;                                 // APPEND
    case 'e': append(pop_to_mark()); break;                           // APPENDS
    case 'q': put(byte()); break;                                     // BINPUT
    case 'r': put(number<std::uint32_t>()); break;                    // LONG_BINPUT
    case 0x94: put(static_cast<std::uint32_t>(memo_.size())); break;  // MEMOIZE
    case 'h': get(byte()); break;                                     // BINGET
    case 'j': get(number<std::uint32_t>()); break;                    // LONG_BINGET
    case 'c': push_global(named_in_text()); break;                    // GLOBAL
    case 0x93: {                                                      // STACK_GLOBAL
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
    case 'i': refuse("the pickle makes an object", named_in_text());  // INST
    default:
      refuse("the pickle holds an instruction",
             std::string(opcode_name(opcode)) + ", opcode " + std::to_string(opcode));
  }
  return true;
}

// ("storage", type, key, location, elements)
void Machine::persistent() {
  const auto& id = as<Tuple>(pop(), "persistent id");
  if (id.items.size() != 5 || as<std::string>(id.items[0], "kind") != "storage") fail("an unknown persistent id");
  const std::string& type = as<Global>(id.items[1], "storage type").name;
  const auto count = as<std::int64_t>(id.items[4], "size of a storage");
  const auto& key = as<std::string>(id.items[2], "key of a storage");
  if (key.size() > kLongestKey) fail("an impossible key of a storage", key);
  Storage storage{.key = key, .format = storage_format(type)};
  if (!storage.format && !is_untyped_storage(type)) fail("no storage", type);
  const std::int64_t factors[] = {count, storage.format ? block_info(*storage.format).block_bytes : 1};
  const auto bytes = checked_element_count(factors);
  if (!bytes) fail("an impossible size of a storage", std::to_string(count));
  storage.bytes = *bytes;
  bound(storages_.size(), kMostTensors);
  storages_.push_back(std::move(storage));
  push(Index<Storage>{storages_.size() - 1});
}

void Machine::reduce() {
  const auto& arguments = as<Tuple>(pop(), "arguments");
  const std::string& name = as<Global>(pop(), "function").name;
  if (name == kOrderedDict) {
    if (!arguments.items.empty()) refuse("the pickle fills a dict in another way", name);
    return push(Dict{});
  }
  if (name == kSize && arguments.items.size() == 1) return push_ref(arguments.items[0]);
  if (name == kParameter && !arguments.items.empty()) {
    as<Index<PickledTensor>>(arguments.items[0], "tensor");
    return push_ref(arguments.items[0]);
  }
  if (name == kRebuildV2) return rebuild(arguments, false);
  if (name == kRebuildV3) return rebuild(arguments, true);
  refuse("the pickle calls something", name);
}

std::vector<std::int64_t> Machine::sizes(Ref value, const char* what) const {
  const auto& tuple = as<Tuple>(value, what);
  if (tuple.items.size() > kMostDimensions) fail("a tensor of too many dimensions");
  std::vector<std::int64_t> out;
  for (const Ref item : tuple.items) {
    out.push_back(as<std::int64_t>(item, what));
    if (out.back() < 0) fail("a negative size", what);
  }
  return out;
}

// Bits that say that the numbers are to be read with the other sign, or conjugated.
void Machine::check_metadata(Ref value) const {
  const Dict* dict = std::get_if<Dict>(&values_[value]);
  if (dict == nullptr || dict->entries.empty()) return;
  refuse("a tensor with metadata", as<std::string>(dict->entries.front().first, "name of metadata"));
}

// (storage, offset, size, stride, requires_grad, hooks[, metadata]); in version 3 the dtype stands before metadata.
void Machine::rebuild(const Tuple& arguments, bool with_dtype) {
  const std::size_t least = with_dtype ? 7 : 6;
  if (arguments.items.size() < least) fail("a tensor of too few parts");
  if (arguments.items.size() > least) check_metadata(arguments.items[least]);
  const Storage& storage = storages_[as<Index<Storage>>(arguments.items[0], "storage").of];
  PickledTensor tensor{.storage = storage.key, .storage_bytes = storage.bytes};
  auto format = storage.format;
  if (with_dtype) format = dtype_format(as<Global>(arguments.items[6], "dtype").name);
  if (!format) fail("a tensor without a type");
  tensor.format = *format;
  tensor.offset = as<std::int64_t>(arguments.items[1], "offset");
  tensor.shape = sizes(arguments.items[2], "size");
  tensor.strides = sizes(arguments.items[3], "stride");
  if (tensor.offset < 0 || tensor.shape.size() != tensor.strides.size()) fail("a tensor's parts contradict each other");
  bound(tensors_.size(), kMostTensors);
  tensors_.push_back(std::move(tensor));
  push(Index<PickledTensor>{tensors_.size() - 1});
}

std::vector<std::pair<std::string, PickledTensor>> Machine::tensors(Ref value) const {
  const auto& dict = as<Dict>(value, "dict of tensors");
  bound(dict.entries.size(), kMostTensors);
  std::vector<std::pair<std::string, PickledTensor>> out;
  std::set<std::string_view> names;
  for (const auto& [key, item] : dict.entries) {
    const auto& name = as<std::string>(key, "name of a tensor");
    if (!names.insert(name).second) fail("a name stands twice", name);
    const auto* tensor = std::get_if<Index<PickledTensor>>(&values_[item]);
    if (tensor == nullptr) {
      throw Error(ErrorKind::format, "not a tensor: a file of weights is a dict of tensors, without anything around it",
                  {.file = path_, .field = name});
    }
    out.emplace_back(name, tensors_[tensor->of]);
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, PickledTensor>> read_pickled_tensors(std::span<const std::byte> pickle,
                                                                        const std::string& path) {
  return Machine(pickle, path).run();
}

}  // namespace powerhouse
