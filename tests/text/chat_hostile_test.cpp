// Templates that would run for hours or take all memory in a plain interpreter: each ends in an Error within a second
// and within the memory of its budget.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <string>

#include "powerhouse/chat.h"
#include "powerhouse/error.h"
#include "repeated.h"

namespace powerhouse {
namespace {

using testing::repeated;

long peak_kilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// The processor's time: other programs must not make the test fail.
double seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr double kSlower = 20;
#else
constexpr double kSlower = 1;
#endif

// Whether it ends at all in bounds; `refused` also that it ends in an Error.
void expect_bounded(const std::string& source, bool refused = true) {
  SCOPED_TRACE(source.substr(0, 200));
  const long before = peak_kilobytes();
  const double begin = seconds();
  bool failed = false;
  try {
    ChatTemplate(source).render("[]");
  } catch (const Error&) {
    failed = true;
  }
  EXPECT_LT(seconds() - begin, 1.0 * kSlower);
  EXPECT_LT(peak_kilobytes() - before, 256 * 1024 * static_cast<long>(kSlower));
  EXPECT_TRUE(failed || !refused);
}

TEST(HostileTemplates, EndInAnError) {
  const char* const sources[] = {
      "{% set n = namespace(s='x') %}{% for i in range(64) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s|length }}",
      "{% set n = namespace(s='x') %}{% for i in range(64) %}{% set n.s = '%s%s' % (n.s, n.s) %}{% endfor %}",
      "{% set n = namespace(s='x') %}{% for i in range(64) %}{% set n.s = [n.s,n.s]|join(n.s) %}{% endfor %}",
      "{% set n = namespace(s='xx') %}{% for i in range(64) %}{% set n.s = n.s.replace('x', n.s) %}{% endfor %}",
      "{% set n = namespace(s='xx') %}{% for i in range(64) %}{% set n.s = '{0}{0}'.format(n.s) %}{% endfor %}",
      "{% set n = namespace(s=[1]) %}{% for i in range(64) %}{% set n.s = [n.s|string,n.s|string] %}{% endfor %}",
      "{% set n = namespace(s='\"') %}{% for i in range(64) %}{% set n.s = n.s|tojson %}{% endfor %}",
      "{% set n = namespace(s='x') %}{% for i in range(64) %}{% set n.s %}{{ n.s }}{{ n.s }}{% endset %}{% endfor %}",
      // Namespaces that hold themselves within lists, or stand in a long chain.
      "{% set n = namespace(a=1) %}{% set n.a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[n]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
      "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]] %}{{ n.a }}",
      "{% set n = namespace(p=none) %}{% for i in range(90000) %}{% set n.p = namespace(p=n.p) %}{% endfor %}{{ n }}",
      "{{ range(10**9) }}",
      "{% for i in range(1000000000) %}x{% endfor %}",
      "{% for i in range(99999) %}{% set x = range(99999)|list %}{% endfor %}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{{ a*b }}{% endfor %}{% endfor %}",
      "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor "
      "%}",
      "{% macro f(n) %}{{ f(n+1) }}{% endmacro %}{{ f(0) }}",
      "{% macro f(n) %}{{ g(n) }}{% endmacro %}{% macro g(n) %}{{ f(n) }}{% endmacro %}{{ f(0) }}",
      "{% macro f(n) %}{% if n > 0 %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
      "{% for x in [1] recursive %}{{ loop([1,1]) }}{% endfor %}",
      "{{ 'x' * 2**31 }}",
      "{{ ('x' * 10**6) * 10**6 }}",
      "{{ [[]] * 10**9 }}",
      "{{ 10**9 * (1,2) }}",
      "{{ 1.5 ** 100000 }}",
      "{{ '%999999999d' % 1 }}",
      "{{ '{:999999999}'.format('a') }}",
      "{{ '%.999999999f' % 1.5 }}",
      "{{ '{:.999999999f}'.format(1.5) }}",
      "{{ '%*d' % (999999999, 1) }}",
      "{{ '{:{}}'.format('a', 999999999) }}",
      "{{ 'a'|center(999999999) }}",
      "{{ 'a'.ljust(999999999) }}",
      "{{ 'a'.zfill(999999999) }}",
      "{{ 'a\\tb'.expandtabs(999999999) }}",
      "{{ 'a'|indent(999999999, true) }}",
      "{{ {'a':1}|tojson(indent=999999999) }}",
      "{{ [1,2]|batch(999999999, 'x')|list }}",
      "{{ [1,2]|slice(999999999)|list }}",
      "{% set n = namespace(x=[]) %}{% for i in range(100000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
      "{% set n = namespace(x={}) %}{% for i in range(100000) %}{% set n.x = {'a': n.x} %}{% endfor %}{{ n.x|tojson }}",
      "{% set n = namespace() %}{% set n.n = [n] %}{{ n }}",
      "{% set n = namespace() %}{% set n.n = [n] %}{{ n.n|tojson }}",
      "{% for i in range(99999) %}{{ range(99999)|sort|length }}{% endfor %}",
      "{{ (['a'*100000]*1000)|sort|length }}",
      "{% for i in range(999) %}{{ range(99999)|unique|list|length }}{% endfor %}",
      "{% for i in range(9999) %}{{ dict(range(50000)|map('string')|batch(2))|length }}{% endfor %}",
      "{% set s = 'a'*1000000 %}{% for i in range(99999) %}{{ 'b' in s }}{% endfor %}",
      "{% set s = 'a '*1000000 %}{% for i in range(99) %}{{ s.split()|length }}{% endfor %}",
      "{% set s = 'é'*1000000 %}{% for i in range(999) %}{{ s[::-1]|length }}{% endfor %}",
      "{% set s = 'a'*1000000 %}{% for i in range(9999) %}{{ s.count('a') }}{% endfor %}",
      "{{ ([[1]]*10000)|sum(start=[]) | length }}",
      "{% for i in range(999) %}{{ ([{'a':1}]*10000)|groupby('a')|length }}{% endfor %}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{% generation %}{% endgeneration %}{% endfor %}{% "
      "endfor %}",
      "{% for i in range(99999) %}{{ strftime_now('%A'*1000) }}{% endfor %}",
      "{% macro f() %}{{ kwargs|length }}{% endmacro %}{% for i in range(9999) %}{{ "
      "f(**dict(range(2000)|map('string')|batch(2))) }}{% endfor %}",
      "{% macro f() %}{{ varargs|length }}{% endmacro %}{% for i in range(99999) %}{{ f(*range(99999)) }}{% endfor %}",
      "{{ namespace(**dict(range(90000)|map('string')|batch(2)))|string|length }}",
      "{% set n = namespace(a=[1]*1000) %}{% for i in range(99999) %}{{ n.a == n.a[:] }}{% endfor %}",
      "{% set s = 'a '*500000 %}{% for i in range(999) %}{{ s|wordcount }}{% endfor %}",
      "{% set s = 'a '*500000 %}{% for i in range(999) %}{{ s|title|length }}{% endfor %}",
      "{% set s = '<'*500000 %}{% for i in range(999) %}{{ s|e|length }}{% endfor %}",
      "{% set n = namespace(g=[1]) %}{% for i in range(99999) %}{% set n.g = n.g|map('string') %}{% endfor %}{{ "
      "n.g|list }}",
  };
  for (const char* source : sources) expect_bounded(source);
  expect_bounded("{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}" + repeated("{% call f() %}", 60) + "x" +
                 repeated("{% endcall %}", 60));
}

TEST(HostileTemplates, AreParsedInBounds) {
  const std::pair<const char*, const char*> nested[] = {
      {"{% if 1 %}", "{% endif %}"}, {"{{ (", ""}, {"{{ [{", ""}, {"{% for a in b %}", ""}, {"{% macro f() %}", ""},
      {"{%- generation -%}", ""}};
  for (const auto& [open, close] : nested) expect_bounded(repeated(open, 5000) + repeated(close, 5000));
  for (const char* one : {"(", "[{", "not ", "-", "1 + ", "1 if 1 else ", "a.", "f(", "{'a': "}) {
    expect_bounded("{{ " + repeated(one, 100000) + " }}");
  }
  for (const char* one : {" | string", " + 1", ".a", "()", "[0]", " if 1 else 1"}) {
    expect_bounded("{{ 1" + repeated(one, 100000) + " }}");
  }
  for (const char* one : {"{{", "{#", "{% raw %}", "{% set (", "{{ '", "{%-"}) expect_bounded(repeated(one, 200000));
  expect_bounded("{% if 0 %}" + repeated("{% elif 0 %}", 100000) + "{% endif %}", false);
  expect_bounded(repeated("{{ 1 }}", 200000), false);
  expect_bounded("{{ " + std::string(1000000, '9') + " }}");
  expect_bounded("{{ 1." + std::string(1000000, '9') + "e" + std::string(1000, '9') + " }}", false);
  expect_bounded("{{ '" + std::string(1000001, '\\') + " }}");
}

TEST(HostileTemplates, CannotGrowIntegers) {
  for (const char* source :
       {"{{ 10 ** (10 ** 10) }}", "{{ 9 ** (9 ** 9) }}", "{{ 2 ** 100000 }}", "{{ (2 ** 100000) | string | length }}",
        "{{ 2 ** (10 ** 9) % 7 }}",
        "{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=7 ** 1000) %}{% for i in range(100000) %}{% set n.x = n.x * 7 %}{% endfor %}"
        "{{ n.x % 10 }}",
        "{% set x = 10 ** 4000 %}{% for i in range(100000) %}{% set y = x * x // x %}{% endfor %}",
        "{% set x = 10 ** 4000 %}{% for i in range(100000) %}{{ x }}{% endfor %}"}) {
    expect_bounded(source);
  }
}

}  // namespace
}  // namespace powerhouse
