// ToolCallFormat::Impl: the marks around calls, their names and their arguments.
#pragma once

#include <array>
#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "powerhouse/tool_calls.h"
#include "support/json.h"
#include "text/value_notation.h"

namespace powerhouse {

// What stands for something else in a mark.
inline constexpr char kIdHole = '\x01', kCounterHole = '\x02', kNameHole = '\x03', kKeyHole = '\x04';

enum class CallKind {
  object,  // a JSON object with the name and the arguments
  named,   // the name, then the arguments as JSON
  tagged,  // the name, then each argument between marks
};

// Types of JSON, as tagged arguments may have marks of their own for.
enum class ValueType { string, integer, number, boolean, array, object, null };
inline constexpr std::size_t kValueTypes = 7;
using ValueTypes = std::bitset<kValueTypes>;

struct ValueMarks {
  std::string key_close;    // from the key to the value
  std::string value_close;  // behind the value
  bool known = false;       // else the template writes such values in a way that is not understood
  ValueNotation notation{};

  bool same_marks(const ValueMarks& other) const {
    return key_close == other.key_close && value_close == other.value_close;
  }
};

struct CallMember {
  enum class What { name, arguments, id, counter, constant };
  std::string key{};
  What what = What::constant;
  Json constant{};
};

struct ToolCallFormat::Impl {
  CallKind kind = CallKind::object;
  std::string section_open, section_close;  // around all calls
  std::string call_open, call_close;        // around each
  std::string separator;                    // between two
  bool several = false;                     // the template writes more than one
  std::string turn_end;                     // what may follow the message

  std::vector<CallMember> members;  // of an object, in order
  bool name_is_key = false;         // the object has the arguments under the tool's name

  std::string after_name;  // named: to the arguments; tagged: to the first argument's key_open
  std::string key_open, pair_separator;
  bool sorted_keys = false;  // whatever their order is in the message
  std::array<ValueMarks, kValueTypes> values{};
  int first_counter = 0;

  /// By what calls are known: the marks in front of the first one's name, without blanks around them.
  std::string trigger() const;
  const ValueMarks& marks(ValueType type) const { return values[static_cast<std::size_t>(type)]; }
};

inline constexpr std::string_view kBlanks = " \n\r\t";
inline bool is_blank(char c) { return kBlanks.find(c) != std::string_view::npos; }
std::string_view trimmed(std::string_view text);
/// What names are made of where no quotes end them.
bool is_word(char c);

/// As schemas name it.
std::string_view type_name(ValueType type);
ValueType type_of(const Json& value);
inline ValueTypes only(ValueType type) { return ValueTypes().set(static_cast<std::size_t>(type)); }
inline bool has(ValueTypes types, ValueType type) { return types.test(static_cast<std::size_t>(type)); }
/// The types that values of a schema may have, by what it says of types, values and unions; all where it does not say.
/// References are to places of `root`.
ValueTypes value_types(const Json& schema, const Json& root);

/// The end of the JSON object or array that begins at `at`; npos where it does not end. Only brackets and strings are
/// looked at.
std::size_t json_end(std::string_view text, std::size_t at);

/// The function of a tool: the tool itself, or what its "function" holds.
const Json& function_of(const Json& tool);

}  // namespace powerhouse
