#!/usr/bin/env python3
"""Writes random templates, made of every construct that chat templates use, and what jinja2 makes of each.

The environment is transformers' own (sandbox, trim_blocks, lstrip_blocks, loop controls, {% generation %}, tojson and
the other globals). Run by hand, with any seed:

    python tests/oracles/jinja_random.py 1 5000 cases.json
    POWERHOUSE_TEST_JINJA_CASES=cases.json chat_template_test --gtest_filter='*OtherCases*'

Templates that jinja2 takes more than three seconds for, or whose text holds an address, are left out.

Ran with: jinja2 3.1.6, transformers 5.23.0, markupsafe 3.0.4, CPython 3.11.7.
"""

import copy
import json
import pathlib
import random
import re
import signal
import sys
import warnings

import jinja_cases
from transformers.utils.chat_template_utils import _cached_compile_jinja_template as compile_template

NAMES = """xs names empty d people tree s u n f t no messages missing a b m ns.q ns.list loop.index loop.index0 loop.first
loop.last loop.length loop.revindex loop.previtem loop.nextitem loop.depth bos_token eos_token tools documents
add_generation_prompt messages[0] messages[-1].content people[0].city d.a.c big caller varargs kwargs""".split()
LITERALS = """1 0 -1 2.5 'a' 'Hello' "it's" '' none None true True false [1,2] [] {'a':1} {} (1,'x') (1,) () '%s-%d'
'a,b,,c' '\\tx\\n' 3 1e3 1e16 1e-5 0.1 123456789 'é世👋' range(4) range(1,9,3) '{}:{}' 'x\\ny\\r\\nz' -7 10 '<b>&"'
dict(a=1,b=2) namespace(q=1) '{"k":[1,2]}' 'true' '12' '-3.5' ' 7 ' 100000 9223372036854775807 2**64 0x1F 1_000
'ǅ' 'ß' 'İi' 'a\\u00a0b' [[1,2],[3]] [{'k':2},{'k':1}] ['b','A','c'] 1.0 5e-324 1.7976931348623157e308""".split(None)
FILTERS = """upper lower trim trim('x') length string tojson list first last sort reverse unique int float abs round
join(', ') join join('-',attribute='name') default('D') d('D',true) default(1,boolean=false) replace('l','L')
replace('l','L',1) map('string') map(attribute='name') map(attribute='zz',default=0) map('upper') select reject('none')
select('defined') selectattr('name') selectattr('age','gt',26) rejectattr('age','eq',30) items dictsort
dictsort(reverse=true) dictsort(by='value') dictsort(false,'value') sum sum(attribute='age') sum(start=5) min max title capitalize indent(2)
indent(2,first=true) indent(width=3,blank=true) indent('>>') batch(2) batch(2,'z') slice(2) slice(3,'f') e safe escape
truncate(5) truncate(7,true) truncate(6,false,'..') truncate(4,true,'',0) center(9) wordcount urlencode tojson(indent=2)
tojson(separators=(',',':')) tojson(sort_keys=true) tojson(ensure_ascii=true) groupby('age') groupby('zz',default=1) round(1)
round(2,'floor') round(method='ceil') round(-1) int(base=16) int(5) int(default=-1) float(1.5) format(1,2) format('x') attr('upper')
sort(reverse=true) sort(attribute='name') sort(case_sensitive=true) count forceescape map('first') map('int') map('length')
select('string') reject('odd') select('in',[1,'a']) map('tojson') map('replace','a','b') map('default','z') map(attribute=0) unique(attribute='name') max(attribute='age') min(case_sensitive=true) striptags
wordwrap(5) wordwrap(4,false) filesizeformat pprint xmlattr nosuchfilter random|length""".split()
TESTS = """defined undefined none string mapping iterable sequence number integer float boolean true false odd even
divisibleby(2) in([1,'a']) eq(1) equalto('a') ne(1) gt(1) ge(1) lt(2) le(0) lower upper callable sameas(none) escaped
lessthan(3) greaterthan(1) filter('upper') test('odd') nosuchtest""".split()
METHODS = """upper() lower() strip() strip('H') strip(none) lstrip() rstrip() lstrip('He') rstrip('d') split() split(',') split('l',1)
split(none,1) split(sep=',') split(maxsplit=1) rsplit(',',1) startswith('H') startswith(('a','H')) startswith('e',1) endswith('d') endswith('l',0,3)
replace('l','') replace('l','L',1) join(['a','b']) join(xs) items() keys() values() items()|list keys()|list get('a') get('zz',3) get('zz')
index(1) index('l') count('l') count(1) find('o') find('zz') rfind('l') rindex('l') title() format(1,'b') format(a=1) isdigit() isalpha() isalnum()
isspace() islower() isupper() istitle() isnumeric() isdecimal() isidentifier() isascii() isprintable() append(1) pop() pop('a') update({}) clear()
extend([1]) insert(0,1) sort() reverse() partition('o') rpartition('l') splitlines() splitlines(true) capitalize() casefold() swapcase() zfill(5)
zfill(-1) center(8,'*') ljust(7) rjust(9,'.') expandtabs(4) copy() removeprefix('He') removesuffix('d') format_map({}) encode() __class__
__init__ __len__() _x mro() name role content a 0 age city.name real imag numerator bit_length() is_integer() as_integer_ratio() hex()
fromkeys([1,2]) setdefault('q',1) popitem() translate({}) isdisjoint([1]) start stop step""".split()
FORMATS = """'%d'|format(3) '%5.2f'|format(2.345) '%-5s|'|format('ab') '%05d'|format(-42) '%x'|format(255) '%#o'|format(8) '%e'|format(12345.678)
'%g'|format(1e20) '%+d'|format(3) '%%'|format '%s'|format(xs) '%r'|format('a') '%c'|format(65) '%(a)s'|format(a=1) '%s'%5 '%s_%s'%(1,2) '%.3s'%'abcdef' '%*d'%(5,3)
'{:>8}'.format('a') '{:^7.2f}'.format(3.14159) '{0}{1}{0}'.format('a','b') '{:,}'.format(1234567) '{:x}'.format(255) '{:08.3f}'.format(-2.5) '{!r}'.format('a') '{:+d}'.format(5)
'{:%}'.format(0.25) '{a.b}'.format(a=1) '{a[0]}'.format(a=[7]) '{:_}'.format(1000000) '{:e}'.format(0.00012) '{:g}'.format(1e10) '{:b}'.format(5) '{:#x}'.format(255) '{:d}'.format('a') '{{}}'.format() '{}'.format()
'{:<5}|'.format(true) '{:5}'.format(none) '{:=+6}'.format(3) '{:*^9}'.format('mid') '{:.2}'.format('abc') '{:.3}'.format(2.0) '{:n}'.format(5) '{:c}'.format(65) '{0.real}'.format(3)""".split(" ")
FORMATS = [piece for line in " ".join(FORMATS).split("\n") for piece in line.split(" ") if piece]
ARITHMETIC = ["+", "-", "*", "/", "//", "%", "**", "~", "~", "+"]
COMPARISON = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
# What fits together: the receivers of each type, and what yields that type from them. Two thirds of all expressions are
# made of these, so that most templates render.
TEXT_SOURCES = "s u 'Hello' 'a,b,,c' bos_token messages[1].content names[0] 'é世👋' '' 'x\\ny' '<b>&\"' people[1].name 'ǅßİi' '\\tpad\\n'".split(" ")
TEXT_STEPS = """|upper |lower |trim |trim('H') |capitalize |title |replace('l','L') |replace('l','L',1) |indent(2) |indent(1,true) |indent(width=2,first=true,blank=true) |e |safe |string
|truncate(5) |truncate(7,true) |truncate(6,false,'..') |truncate(4,true,'',0) |center(9) |urlencode |tojson |default('D') |first |last |join('.') |reverse |forceescape |attr('zz') |list|join |format(1)
.upper() .lower() .strip() .strip('Hd') .lstrip() .rstrip('d') .title() .capitalize() .replace('l','') .replace('l','LL',1) .zfill(8) .center(8,'*') .ljust(7) .rjust(9,'.') .expandtabs(4)
.removeprefix('He') .removesuffix('d') .format(1,'b') .split()[0] .split(',')[-1] .join(['p','q']) .partition('o')[2] .rpartition('l')[0] [0] [-1] [1:] [::-1] [:2] [1:-1] [::2] [-3:]""".split()
LIST_SOURCES = "xs names people messages tree empty [1,2,3] ['b','A','a'] [[1,2],[3]] range(5)|list d.keys()|list (1,2,2) people|map(attribute='age')|list 'a,b,c'.split(',') s|list [{'k':2},{'k':1}] tools|default([],true)".split(" ")
LIST_STEPS = """|list |reverse|list |sort(attribute='name') |unique|list |map('string')|list |map('tojson')|list |select|list |reject('none')|list |select('defined')|list |batch(2)|list |batch(2,'z')|list |slice(2)|list |slice(2,'f')|list
[1:] [::-1] [:2] [-2:] [1:99] [::2] |selectattr('name')|list |selectattr('name','defined')|list |rejectattr('age','defined')|list |map('length')|list |sort|list |sort(reverse=true)|list |map('upper')|list |selectattr('role','in',['user','tool'])|list
|map(attribute='name')|list |map(attribute='zz',default=0)|list |groupby('age')|list |map('first')|list +[1] *2 |selectattr('age','gt',26)|list |unique(case_sensitive=true)|list |default([])""".split()
NUMBER_SOURCES = "n f 1 0 -1 2.5 1e16 0.1 1e-5 xs[0] xs|length s|length loop.index|default(4) 10 -7 1e3 true big 2**40 xs|sum '12'|int '3.7'|float 100/7 7//2 -7//2 -7%3 2**-1 9007199254740993 1.0 1e22 123456789.123".split(" ")
NUMBER_STEPS = """|abs |round |round(2) |round(1,'floor') |round(method='ceil') |int |float |string |tojson +1 -0.5 *3 /4 //2 %3 **2 *-1 |round(-1) *1.1 +f -n /3.0 |int+1 *true""".split()
DICT_SOURCES = "d people[0] messages[2] {'a':1,'b':[1,2]} dict(x=1,y='z') tree[0] {'z':1,'A':2,'b':0} {1:'a',none:2,true:3} messages[2].tool_calls[0]".split(" ")
DICT_STEPS = """|items|list |dictsort |dictsort(reverse=true) |dictsort(by='value') |dictsort(true) |length |list |tojson |tojson(indent=2) |tojson(sort_keys=true) |tojson(separators=(',',':')) |tojson(indent=1,ensure_ascii=true)
.items()|list .keys()|list .values()|list .get('a') .get('zz',3) .get('name') ['a'] .a .zz|default('u') |string .copy()|tojson |first |last |join(',') |map('string')|list""".split()
BOOL_STEPS = """is(string) ==1 !='a' >0 is(defined) is(mapping) is(iterable) is(sequence) is(number) in(xs) in('Hello') is(none) is(integer) is(float) is(boolean) is(odd) is(even) is(lower) is(upper) is(escaped) is(true)""".split()

SLICES = ["0", "-1", "1:", "::-1", ":2", "'a'", "'name'", "n", "1:3", "::2", "-2:", "5", "s", ":-1", "none:none:-2", "::0", "true", "0.5", "1:99", "-99:2", "'upper'", "0:1, 1"]
ITERABLES = ["xs", "messages", "people", "d.items()", "names", "range(3)", "tree", "empty", "[(1,2),(3,4)]", "'héy'", "xs|map('string')", "d", "d|dictsort", "people|groupby('age')", "xs|batch(2)", "messages[1:]", "none", "5", "missing", "xs|sort|reverse", "d.keys()", "messages|selectattr('role','in',['user','tool'])"] + ["xs", "messages", "people", "names", "tree"] * 3
TARGETS = ["a", "m", "b", "a, b", "x", "(a, b)", "a, (b, x)"]
TEXTS = ["", " ", "\n", "  \n", "x", "a b", "\n\n  ", "\t", "  ", "y\n", " {# c #} ", "{#- c -#}", "\n  {# c #}\n", "{% raw %}{{ x }}{% endraw %}", "{%- raw -%} {% if %} {%- endraw -%}", "}}", "{ { ", "é\n", "\r\n", "{{ '{{' }}", "\n    ", "# x\n", "## line\n", "{#+ c +#}\n", "  {%+ raw %} z {% endraw +%}\n"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, items):
        return self.random.choice(items)

    def atom(self, depth):
        kind = self.random.random()
        if kind < 0.42:
            return self.pick(NAMES)
        if kind < 0.76:
            return self.pick(LITERALS)
        if kind < 0.80:
            return "(" + self.pick(FORMATS) + ")"
        if kind < 0.88:
            return "[" + ", ".join(self.expression(depth - 1) for _ in range(self.random.randint(0, 3))) + "]"
        if kind < 0.93:
            keys = ["'a'", "'b'", "1", "n", "s", "1.0", "true", "none", "(1,2)"]
            return "{" + ", ".join(self.pick(keys) + ": " + self.expression(depth - 1) for _ in range(self.random.randint(0, 3))) + "}"
        return "(" + self.expression(depth - 1) + ")"

    def operand(self, depth):
        atom = self.atom(depth - 1)
        return atom if self.chance(0.7) and not atom.startswith("-") else "(" + self.expression(depth - 1) + ")"

    def typed(self):
        sources, steps = self.pick([(TEXT_SOURCES, TEXT_STEPS), (TEXT_SOURCES, TEXT_STEPS), (LIST_SOURCES, LIST_STEPS),
                                    (NUMBER_SOURCES, NUMBER_STEPS), (DICT_SOURCES, DICT_STEPS)])
        out = "(" + self.pick(sources) + ")"
        for _ in range(self.random.randint(0, 3)):
            out = "(" + out + self.pick(steps) + ")"
            if steps is DICT_STEPS:
                break
        kind = self.random.random()
        if kind < 0.1:
            return out + " " + self.pick(BOOL_STEPS).replace("(", " ").replace(")", "")
        if kind < 0.2:
            return out + " ~ " + self.pick(TEXT_SOURCES + NUMBER_SOURCES)
        if kind < 0.25:
            return out + " if " + self.pick(["s", "no", "n > 5", "missing", "xs"]) + self.pick([" else 'e'", ""])
        return out

    def expression(self, depth):
        if self.chance(0.66):
            return self.typed()
        if depth <= 0:
            return self.pick(NAMES + LITERALS)
        kind = self.random.random()
        if kind < 0.18:
            return self.atom(depth)
        if kind < 0.36:
            return self.operand(depth) + " | " + self.pick(FILTERS)
        if kind < 0.50:
            return self.operand(depth) + "." + self.pick(METHODS)
        if kind < 0.61:
            return self.expression(depth - 1) + " " + self.pick(ARITHMETIC) + " " + self.expression(depth - 1)
        if kind < 0.71:
            return self.expression(depth - 1) + " " + self.pick(COMPARISON) + " " + self.expression(depth - 1)
        if kind < 0.78:
            return self.expression(depth - 1) + " " + self.pick(["and", "or"]) + " " + self.expression(depth - 1)
        if kind < 0.82:
            return self.pick(["not ", "-", "+"]) + self.operand(depth)
        if kind < 0.90:
            return self.operand(depth) + self.pick([" is ", " is not "]) + self.pick(TESTS)
        if kind < 0.95:
            return self.operand(depth) + "[" + self.pick(SLICES) + "]"
        return self.expression(depth - 1) + " if " + self.expression(depth - 1) + (" else " + self.expression(depth - 1) if self.chance(0.8) else "")

    def sign(self):
        return self.pick(["", "", "", "", "-", "-", "+"])

    def tag(self, text):
        return "{%" + self.sign() + self.pick([" ", "", "\n"]) + text + " " + self.sign() + "%}"

    def output(self, text):
        return "{{" + self.pick(["", "", "-", "+"]) + " " + text + " " + self.pick(["", "", "-"]) + "}}"

    def text(self):
        return self.pick(TEXTS)

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def body(self, depth):
        return self.block(depth - 1)

    def condition(self, depth):
        out = self.tag("if " + self.expression(2)) + self.body(depth)
        if self.chance(0.3):
            out += self.tag("elif " + self.expression(1)) + self.body(depth)
        if self.chance(0.5):
            out += self.tag("else") + self.body(depth)
        return out + self.tag("endif")

    def loop(self, depth):
        body = self.body(depth)
        if self.chance(0.2):
            body += self.pick([self.tag("break"), self.tag("continue"), self.tag("if loop.first") + self.tag("continue") + self.tag("endif"), self.tag("if loop.index == 2") + self.tag("break") + self.tag("endif")]) + self.text()
        if self.chance(0.2):
            body += self.output(self.pick(["loop.cycle('o','e')", "loop.changed(a)", "loop.cycle()", "loop.previtem is defined", "loop.nextitem", "loop.revindex0", "loop.depth0", "loop"]))
        recursive = self.chance(0.15)
        if recursive:
            body += self.output(self.pick(["loop(x.kids) if x.kids is defined and x.kids", "loop([])", "loop(a.kids)"]))
        head = "for " + self.pick(TARGETS) + " in " + (self.pick(ITERABLES) if self.chance(0.85) else self.expression(1))
        head += (" if " + self.expression(1) if self.chance(0.2) else "") + (" recursive" if recursive else "")
        return self.tag(head) + body + (self.tag("else") + self.body(depth) if self.chance(0.2) else "") + self.tag("endfor")

    def macro(self, depth):
        name = self.pick(["f1", "g1"])
        parameters = self.pick(["(a)", "(a, b=1)", "()", "(a='z', m=n)", "(a, b=a)", "(x=xs, y=caller)"])
        extra = self.pick(["", "", self.output("caller()"), self.output("varargs"), self.output("kwargs"), self.output("caller(1)"), self.output("caller is defined")])
        call = self.output(name + self.pick(["(1)", "()", "(s, b=2)", "(a=3)", "(1,2,3)", "(*xs)", "(**{'a': 1})", "(1, zz=2)", ".name", ""]))
        return self.tag("macro " + name + parameters) + self.body(depth) + extra + self.tag("endmacro") + call

    def statement(self, depth):
        kind = self.random.random()
        text = self.text()
        if depth <= 0 or kind < 0.38:
            return text + self.output(self.expression(2)) + self.text()
        if kind < 0.50:
            return text + self.condition(depth) + self.text()
        if kind < 0.66:
            return text + self.loop(depth)
        if kind < 0.76:
            return self.tag("set " + self.pick(["a", "b", "m", "ns.q", "ns.list", "n", "s", "a, b", "x", "ns.new", "d.x", "_p"]) + " = " + self.expression(2)) + text
        if kind < 0.80:
            return self.tag("set " + self.pick(["a", "b", "s", "ns.q"]) + self.pick(["", " | upper", " | trim", " | length", " | replace('a', 'b')"])) + self.body(depth) + self.tag("endset")
        if kind < 0.86:
            return self.macro(depth)
        if kind < 0.90:
            return self.tag("call" + self.pick(["", "", "(a)", "(a, b=2)"]) + " " + self.pick(["f1()", "g1()", "f1(1)", "g1(a=s)"])) + self.body(depth) + self.tag("endcall")
        if kind < 0.93:
            return self.tag("filter " + self.pick(["upper", "trim", "replace('a','b')", "length", "indent", "upper|lower"])) + self.body(depth) + self.tag("endfilter")
        if kind < 0.96:
            return self.tag("with a = " + self.expression(1) + ", b = " + self.pick([self.expression(1), "a"])) + self.body(depth) + self.tag("endwith")
        if kind < 0.997:
            return self.tag("generation") + self.body(depth) + self.tag("endgeneration")
        return self.tag(self.pick(["include 'x'", "import 'x' as y", "extends 'x'", "from 'x' import y", "do xs.append(1)", "block q", "autoescape true", "nosuch"]))

    def template(self):
        head = "{% set ns = namespace(q=1, list=[]) %}" if self.chance(0.6) else ""
        return head + self.block(self.pick([0, 0, 1, 1, 2, 3]))


class TooLong(Exception):
    pass


def alarm(*_):
    raise TooLong()


def main():
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, alarm)
    generator = Generator(int(sys.argv[1]))
    variables = {**jinja_cases.VARIABLES, "big": 2**53 + 1}
    cases = []
    for index in range(int(sys.argv[2])):
        case = {"name": f"random_{index}", "template": generator.template()}
        try:
            signal.setitimer(signal.ITIMER_REAL, 3)
            case["expected"] = compile_template(case["template"]).render(
                messages=copy.deepcopy(jinja_cases.MESSAGES), tools=None, documents=None, add_generation_prompt=False,
                **copy.deepcopy(variables),
            )
            case["expected"].encode()
            if re.search(r"(?i) [ab]t 0x", case["expected"]) or len(case["expected"]) > 200000:
                continue
        except (TooLong, MemoryError):
            continue
        except Exception as error:  # whatever jinja2 or Python raises
            case["raises"] = f"{type(error).__name__}: {error}"[:200]
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        cases.append(case)
    out = {"messages": jinja_cases.MESSAGES, "variables": variables, "cases": cases}
    pathlib.Path(sys.argv[3]).write_text(json.dumps(out), encoding="utf-8")
    print(f"{len(cases)} cases, {sum('raises' in case for case in cases)} of them refused")


if __name__ == "__main__":
    main()
