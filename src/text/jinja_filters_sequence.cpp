// Filters over sequences and mappings.
#include <algorithm>

#include "text/jinja_builtins.h"
#include "text/jinja_filter_support.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_operators.h"
#include "text/jinja_strings.h"

namespace powerhouse::jinja {
namespace {

Value length(BuiltinCall& call) {
  const auto count = length_of(call.self);
  if (!count) fail("object of type '" + std::string(type_name(call.self)) + "' has no len()");
  return Value::integer(static_cast<std::int64_t>(*count));
}

Value list(BuiltinCall& call) { return make_list(&call.budget, collect(call.budget, call.self)); }

Value first(BuiltinCall& call) {
  Value element;
  if (iterate(call.budget, call.self)(element)) return element;
  return make_undefined("No first item, sequence was empty.");
}

bool reversible(const Value& value) { return length_of(value).has_value(); }

Value last(BuiltinCall& call) {
  if (!reversible(call.self)) fail_type("last takes a sequence", call.self);
  if (call.self.is_sequence() && !call.self.items().empty()) return call.self.items().back();
  Values items = collect(call.budget, call.self);
  if (items.empty()) return make_undefined("No last item, sequence was empty.");
  return std::move(items.back());
}

Value reverse(BuiltinCall& call) {
  if (call.self.is_string()) {
    return slice(call.budget, call.self, Value(), Value(), Value::integer(-1));
  }
  Values items = collect(call.budget, call.self);
  std::reverse(items.begin(), items.end());
  Value reversed = make_list(&call.budget, std::move(items));
  if (!reversible(call.self)) return reversed;
  // Python's reversed() is an iterator.
  return make_iterator(&call.budget, reversed.depth(), iterate(call.budget, reversed));
}

Value join(BuiltinCall& call) {
  const Value separator = call.has(0) ? to_text(call.budget, call[0]) : call.make("");
  const bool by_attribute = call.given(1);
  const AttributePath path(call.budget, call[1]);
  TextBuilder out(call.budget);
  const auto next = iterate(call.budget, call.self);
  bool begun = false;
  for (Value item; next(item); begun = true) {
    if (begun) out.append(separator.str());
    append_string(call.budget, out, by_attribute ? path(call.interpreter, item) : item);
  }
  return call.make(out.take());
}

Value items(BuiltinCall& call) {
  return generate_later(call, [&budget = call.budget, self = call.self] {
    Values out;
    if (self.is_undefined()) return out;
    if (self.kind() != Kind::dict) fail("Can only get item pairs from a mapping.");
    for (const auto& [key, value] : self.mapping().entries) out.push_back(make_tuple(&budget, {key, value}));
    return out;
  });
}

// Elements with the keys they are sorted by.
struct Keyed {
  Value key, item;
};

// Stable either way: equal elements keep their order when reversed too, as in Python.
void sort_keyed(Budget& budget, std::vector<Keyed>& items, bool descending) {
  std::stable_sort(items.begin(), items.end(), [&budget, descending](const Keyed& a, const Keyed& b) {
    return descending ? compare(budget, CompareOperator::less, b.key, a.key)
                      : compare(budget, CompareOperator::less, a.key, b.key);
  });
}

Value keyed_items(Budget& budget, std::vector<Keyed> items) {
  Values out;
  out.reserve(items.size());
  for (Keyed& entry : items) out.push_back(std::move(entry.item));
  return make_list(&budget, std::move(out));
}

Value dict_sort(BuiltinCall& call) {
  if (call.self.kind() != Kind::dict) fail_type("dictsort takes a mapping", call.self);
  const bool case_sensitive = call.flag(0, false);
  const std::string by = call.has(1) ? to_text(call.budget, call[1]).str() : "key";
  if (by != "key" && by != "value") fail(R"(You can only sort by either "key" or "value")");
  std::vector<Keyed> entries;
  for (const auto& [key, value] : call.self.mapping().entries) {
    call.budget.step();
    entries.push_back(
        {fold_case(call.budget, by == "key" ? key : value, case_sensitive), make_tuple(&call.budget, {key, value})});
  }
  sort_keyed(call.budget, entries, call.flag(2, false));
  return keyed_items(call.budget, std::move(entries));
}

Value sort(BuiltinCall& call) {
  const bool case_sensitive = call.flag(1, false);
  // "age,name" sorts by several attributes.
  std::vector<AttributePath> paths;
  if (call.has(2) && call[2].is_string()) {
    std::string_view rest = call[2].str();
    for (;;) {
      const std::size_t comma = rest.find(',');
      paths.emplace_back(call.budget, call.make(std::string(rest.substr(0, comma))));
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    paths.emplace_back(call.budget, call[2]);
  }
  std::vector<Keyed> entries;
  for (Value& item : collect(call.budget, call.self)) {
    Values keys;
    for (const AttributePath& path : paths) {
      keys.push_back(fold_case(call.budget, path(call.interpreter, item), case_sensitive));
    }
    entries.push_back({make_list(&call.budget, std::move(keys)), std::move(item)});
  }
  sort_keyed(call.budget, entries, call.flag(0, false));
  return keyed_items(call.budget, std::move(entries));
}

Value unique(BuiltinCall& call) {
  return generate_later(call, [&interpreter = call.interpreter, &budget = call.budget, self = call.self,
                               case_sensitive = call.flag(0, false), path = AttributePath(call.budget, call[1])] {
    Mapping seen;
    Values out;
    const auto next = iterate(budget, self);
    for (Value item; next(item);) {
      const Value key = fold_case(budget, path(interpreter, item), case_sensitive);
      if (seen.find(budget, key) != nullptr) continue;
      budget.expect_room(64 * (seen.entries.size() + 1));
      seen.set(budget, key, Value::none());
      out.push_back(std::move(item));
    }
    return out;
  });
}

template <CompareOperator better>
Value extreme(BuiltinCall& call) {
  const bool case_sensitive = call.flag(0, false);
  const AttributePath path(call.budget, call[1]);
  const auto next = iterate(call.budget, call.self);
  Keyed best;
  for (Value item; next(item);) {
    Value key = fold_case(call.budget, path(call.interpreter, item), case_sensitive);
    if (best.key.is_missing() || compare(call.budget, better, key, best.key)) best = {std::move(key), std::move(item)};
  }
  return best.item.is_missing() ? make_undefined("No aggregated item, sequence was empty.") : best.item;
}

Value sum(BuiltinCall& call) {
  const bool by_attribute = call.given(0);
  const AttributePath path(call.budget, call[0]);
  Value total = call.has(1) ? call[1] : Value::integer(0);
  if (total.is_string()) fail("sum() can't sum strings [use ''.join(seq) instead]");
  const auto next = iterate(call.budget, call.self);
  for (Value item; next(item);) {
    total = binary(call.budget, BinaryOperator::add, total, by_attribute ? path(call.interpreter, item) : item);
  }
  return total;
}

Value group_by(BuiltinCall& call) {
  const AttributePath path(call.budget, call[0]);
  const Value& otherwise = call[1];
  const bool case_sensitive = call.flag(2, false);
  std::vector<Keyed> entries;
  for (Value& item : collect(call.budget, call.self)) {
    entries.push_back({fold_case(call.budget, path(call.interpreter, item, otherwise), case_sensitive), item});
  }
  sort_keyed(call.budget, entries, false);
  Values groups;
  for (std::size_t i = 0; i < entries.size();) {
    Values members;
    const std::size_t begin = i;
    for (; i < entries.size() && equal(call.budget, entries[i].key, entries[begin].key); ++i) {
      members.push_back(entries[i].item);
    }
    // The group is named by its first member's own spelling.
    Value name = path(call.interpreter, entries[begin].item, otherwise);
    groups.push_back(make_tuple(&call.budget, {std::move(name), make_list(&call.budget, std::move(members))}, true));
    if (i == begin) ++i;  // NaN equals nothing, itself included
  }
  return make_list(&call.budget, std::move(groups));
}

Value batch(BuiltinCall& call) {
  return generate_later(
      call, [&budget = call.budget, self = call.self, size = expect_integer(call[0], "the size"), fill = call[1]] {
        Values out, row;
        const auto next = iterate(budget, self);
        for (Value item; next(item);) {
          if (static_cast<std::int64_t>(row.size()) == size) out.push_back(make_list(&budget, std::exchange(row, {})));
          row.push_back(std::move(item));
        }
        if (row.empty()) return out;
        if (!fill.is_missing() && !fill.is_none() && static_cast<std::int64_t>(row.size()) < size) {
          budget.expect_room(static_cast<std::size_t>(size), sizeof(Value));
          row.resize(static_cast<std::size_t>(size), fill);
        }
        out.push_back(make_list(&budget, std::move(row)));
        return out;
      });
}

Value slices(BuiltinCall& call) {
  return generate_later(
      call, [&budget = call.budget, self = call.self, count = expect_integer(call[0], "the number"), fill = call[1]] {
        const Values all = collect(budget, self);
        if (count == 0) fail("division by zero");
        Values out;
        const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
        const std::size_t each = wanted == 0 ? 0 : all.size() / wanted, extra = wanted == 0 ? 0 : all.size() % wanted;
        auto at = all.begin();
        for (std::size_t i = 0; i < wanted; ++i) {
          budget.step();
          const auto end = at + static_cast<std::ptrdiff_t>(each + (i < extra ? 1 : 0));
          Values row(at, end);
          if (!fill.is_missing() && !fill.is_none() && i >= extra) row.push_back(fill);
          out.push_back(make_list(&budget, std::move(row)));
          at = end;
        }
        return out;
      });
}

Value attribute(BuiltinCall& call) {
  const Value found = call.interpreter.find_attribute(call.self, call.text(0).bytes);
  return found.is_missing() ? make_undefined("there is no attribute '" + call.text(0).bytes + "'") : found;
}

constexpr Builtin kSequenceFilters[] = {
    {"attr", "name", attribute},
    {"batch", "linecount fill_with?", batch},
    {"count", "/", length},
    {"dictsort", "case_sensitive? by? reverse?", dict_sort},
    {"first", "", first},
    {"groupby", "attribute default? case_sensitive?", group_by},
    {"items", "", items},
    {"join", "d? attribute?", join},
    {"last", "", last},
    {"length", "/", length},
    {"list", "", list},
    {"max", "case_sensitive? attribute?", extreme<CompareOperator::greater>},
    {"min", "case_sensitive? attribute?", extreme<CompareOperator::less>},
    {"reverse", "", reverse},
    {"slice", "slices fill_with?", slices},
    {"sort", "reverse? case_sensitive? attribute?", sort},
    {"sum", "attribute? start?", sum},
    {"unique", "case_sensitive? attribute?", unique},
    {"random", "* **"},
};

}  // namespace

std::span<const Builtin> sequence_filters() { return kSequenceFilters; }

}  // namespace powerhouse::jinja
