#include "text/jinja_parser.h"

#include <algorithm>
#include <array>

#include "text/jinja_symbols.h"

namespace powerhouse::jinja {
namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block parse() { return parse_block({}, nullptr); }

 private:
  using EndTags = std::initializer_list<std::string_view>;

  // Statements up to one of `ends`, which becomes the current token. `opener` is the tag that waits for it.
  Block parse_block(EndTags ends, const Token* opener) {
    const Nesting nesting(*this);
    Block body;
    for (;;) {
      const Token& token = current();
      switch (token.kind) {
        case TokenKind::text: {
          auto text = std::make_unique<TextStatement>(StatementKind::text, token.line);
          text->text = token.text;
          body.push_back(std::move(text));
          advance();
          break;
        }
        case TokenKind::print_begin: {
          auto print = std::make_unique<PrintStatement>(StatementKind::print, advance().line);
          print->value = parse_tuple(TupleEnd::tag, true);
          expect(TokenKind::print_end);
          body.push_back(std::move(print));
          break;
        }
        case TokenKind::block_begin:
          advance();
          if (std::any_of(ends.begin(), ends.end(), [this](auto end) { return current().is_name(end); })) return body;
          parse_statement(body);
          expect(TokenKind::block_end);
          break;
        default:
          if (opener != nullptr) fail("'" + opener->text + "' is never closed", *opener);
          return body;
      }
    }
  }

  // The body of a tag whose own words are read: "%}" to its end tag, which is consumed.
  Block parse_body(const Token& opener, std::string_view end) {
    begin_body();
    Block body = parse_block({end}, &opener);
    advance();
    return body;
  }
  void begin_body() {
    skip_symbol(":");
    expect(TokenKind::block_end);
  }

  void parse_statement(Block& body) {
    const Token& tag = current();
    if (tag.kind != TokenKind::name) fail("expected the name of a tag");
    struct Entry {
      std::string_view name;
      StatementPtr (Parser::*parse)();
    };
    static constexpr std::array<Entry, 11> kTags{{{"if", &Parser::parse_if},
                                                  {"for", &Parser::parse_for},
                                                  {"set", &Parser::parse_set},
                                                  {"macro", &Parser::parse_macro},
                                                  {"call", &Parser::parse_call_block},
                                                  {"filter", &Parser::parse_filter_block},
                                                  {"with", &Parser::parse_with},
                                                  {"generation", &Parser::parse_generation},
                                                  {"break", &Parser::parse_break},
                                                  {"continue", &Parser::parse_break},
                                                  {"print", nullptr}}};
    const auto* entry = std::find_if(kTags.begin(), kTags.end(), [&](const Entry& e) { return e.name == tag.text; });
    if (entry == kTags.end()) {
      constexpr std::string_view kUnbuilt[] = {"block", "extends", "include", "import", "from", "autoescape"};
      if (std::find(std::begin(kUnbuilt), std::end(kUnbuilt), tag.text) != std::end(kUnbuilt)) {
        fail_unsupported("the tag '" + tag.text + "'", tag);
      }
      fail("unknown tag '" + tag.text + "'");
    }
    if (entry->parse != nullptr) {
      body.push_back((this->*entry->parse)());
    } else {
      parse_print(body);
    }
  }

  // {% print a, b %}
  void parse_print(Block& body) {
    advance();
    for (bool first = true; current().kind != TokenKind::block_end; first = false) {
      if (!first) expect_symbol(",");
      auto print = std::make_unique<PrintStatement>(StatementKind::print, current().line);
      print->value = parse_expression();
      body.push_back(std::move(print));
    }
  }

  StatementPtr parse_if() {
    const Token& tag = advance();
    auto node = std::make_unique<ConditionStatement>(StatementKind::condition, tag.line);
    for (;;) {
      ExprPtr condition = parse_tuple(TupleEnd::tag, false);
      begin_body();
      Block body = parse_block({"elif", "else", "endif"}, &tag);
      node->branches.emplace_back(std::move(condition), std::move(body));
      const Token& end = advance();
      if (end.text == "elif") continue;
      if (end.text == "else") node->otherwise = parse_body(tag, "endif");
      return node;
    }
  }

  StatementPtr parse_for() {
    const Token& tag = advance();
    auto node = std::make_unique<LoopStatement>(StatementKind::loop, tag.line);
    node->target = parse_target(false, "in");
    node->test_target = copy_names(node->target);
    expect_name("in");
    node->iterable = parse_tuple(TupleEnd::recursive, false);
    if (skip_name("if")) node->test = parse_expression();
    node->recursive = skip_name("recursive");
    begin_body();
    ++loops_;
    node->body = parse_block({"endfor", "else"}, &tag);
    --loops_;
    if (advance().text == "else") {
      // The body of a recursive loop is a function, and its `else` belongs to it.
      const std::uint32_t loops = node->recursive ? std::exchange(loops_, 0) : loops_;
      node->otherwise = parse_body(tag, "endfor");
      loops_ = loops;
    }
    return node;
  }

  StatementPtr parse_set() {
    const Token& tag = advance();
    Target target = parse_target(true, {});
    if (skip_symbol("=")) {
      auto node = std::make_unique<SetStatement>(StatementKind::set, tag.line);
      node->target = std::move(target);
      node->value = parse_tuple(TupleEnd::tag, true);
      return node;
    }
    auto node = std::make_unique<SetBlockStatement>(StatementKind::set_block, tag.line);
    node->target = std::move(target);
    node->filter = parse_filter_chain(nullptr, false);
    node->body = parse_body(tag, "endset");
    return node;
  }

  StatementPtr parse_macro() {
    const Token& tag = advance();
    auto node = std::make_unique<MacroStatement>(StatementKind::macro, tag.line);
    node->target = parse_name_target();
    node->macro.name = node->target.name;
    parse_signature(node->macro);
    parse_macro_body(tag, node->macro, "endmacro");
    return node;
  }

  StatementPtr parse_call_block() {
    const Token& tag = advance();
    auto node = std::make_unique<CallBlockStatement>(StatementKind::call_block, tag.line);
    if (current().is_symbol("(")) parse_signature(node->macro);
    node->call = parse_expression();
    if (node->call->kind != ExprKind::call) fail("expected a call", tag);
    parse_macro_body(tag, node->macro, "endcall");
    return node;
  }

  StatementPtr parse_generation() {
    const Token& tag = advance();
    auto node = std::make_unique<CallBlockStatement>(StatementKind::call_block, tag.line);
    parse_macro_body(tag, node->macro, "endgeneration");
    return node;
  }

  // A macro is a function of its own: a loop around it is not its loop.
  void parse_macro_body(const Token& tag, MacroNode& macro, std::string_view end) {
    const std::uint32_t loops = std::exchange(loops_, 0);
    macro.body = parse_body(tag, end);
    loops_ = loops;
  }

  void parse_signature(MacroNode& macro) {
    expect_symbol("(");
    while (!current().is_symbol(")")) {
      if (!macro.parameters.empty()) expect_symbol(",");
      Target parameter = parse_name_target();
      const auto same = [&](const Target& other) { return other.name == parameter.name; };
      if (std::any_of(macro.parameters.begin(), macro.parameters.end(), same)) {
        fail("a repeated parameter '" + parameter.name + "'");
      }
      if (skip_symbol("=")) {
        macro.defaults.push_back(parse_expression());
      } else if (!macro.defaults.empty()) {
        fail("a parameter without a default follows one that has it");
      }
      macro.parameters.push_back(std::move(parameter));
    }
    expect_symbol(")");
  }

  StatementPtr parse_filter_block() {
    const Token& tag = advance();
    auto node = std::make_unique<FilterBlockStatement>(StatementKind::filter_block, tag.line);
    node->filter = parse_filter_chain(nullptr, true);
    node->body = parse_body(tag, "endfilter");
    return node;
  }

  StatementPtr parse_with() {
    const Token& tag = advance();
    auto node = std::make_unique<WithStatement>(StatementKind::with, tag.line);
    while (current().kind != TokenKind::block_end) {
      if (!node->variables.empty()) expect_symbol(",");
      Target target = parse_target(false, {});
      expect_symbol("=");
      node->variables.emplace_back(std::move(target), parse_expression());
    }
    node->body = parse_body(tag, "endwith");
    return node;
  }

  StatementPtr parse_break() {
    const Token& tag = advance();
    if (loops_ == 0) fail("'" + tag.text + "' outside a loop", tag);
    const auto kind = tag.text == "break" ? StatementKind::break_loop : StatementKind::continue_loop;
    return std::make_unique<Statement>(kind, tag.line);
  }

  Target parse_name_target() {
    const Token& token = expect(TokenKind::name);
    check_name(token);
    return {.line = token.line, .name = token.text};
  }
  void check_name(const Token& token) {
    constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
    if (std::find(std::begin(kConstants), std::end(kConstants), token.text) != std::end(kConstants)) {
      fail("a constant cannot be assigned to", token);
    }
  }

  // Names, tuples of them and, in `set`, attributes of namespaces; `end` is the word after it, or empty.
  Target parse_target(bool attributes, std::string_view end) {
    Target tuple{.line = current().line};
    bool is_tuple = false;
    for (;;) {
      if (!tuple.items.empty()) expect_symbol(",");
      if (current().is_symbol(")") || current().kind == TokenKind::block_end ||
          (!end.empty() && current().is_name(end))) {
        break;
      }
      tuple.items.push_back(parse_one_target(attributes));
      if (!current().is_symbol(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && tuple.items.size() == 1) return std::move(tuple.items.front());
    if (tuple.items.empty()) fail("expected a name to assign to");
    return tuple;
  }
  Target parse_one_target(bool attributes) {
    const Nesting nesting(*this);
    if (skip_symbol("(")) {
      Target inner = parse_target(false, {});
      expect_symbol(")");
      return inner;
    }
    if (current().kind != TokenKind::name) fail("only names can be assigned to");
    Target target{.line = current().line, .name = current().text};
    check_name(advance());
    if (attributes && skip_symbol(".")) target.attribute = expect(TokenKind::name).text;
    return target;
  }
  static Target copy_names(const Target& target) {
    Target out{.line = target.line, .name = target.name};
    for (const Target& item : target.items) out.items.push_back(copy_names(item));
    return out;
  }

  std::uint32_t loops_ = 0;
};

}  // namespace

std::unique_ptr<const Template> parse_template(std::string_view source) {
  auto out = std::make_unique<Template>();
  out->body = Parser(source).parse();
  resolve_symbols(*out);
  return out;
}

}  // namespace powerhouse::jinja
