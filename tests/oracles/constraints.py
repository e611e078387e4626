#!/usr/bin/env python3
"""What may and may not be written under a constraint, by those who define it.

  constraints.py fixture [--gbnf-validator PROGRAM]   writes tests/fixtures/constraints/acceptance.json
  constraints.py check --tool constraint_tool --tokenizer FILE [--count 50] [--seed 1]
      draws texts under the schemas, patterns and lists below; jsonschema and re judge every one
  constraints.py suite --tool constraint_tool --tokenizer FOLDER --suite FOLDER [--count 8]
      draws texts under every schema of the JSON Schema Test Suite (json/tests in the sdist of jsonschema): all that is
      drawn must be valid, and a schema that is refused must be so with the place
  constraints.py masks --tool constraint_tool --tokenizer FOLDER
      compares the ids allowed behind prefixes with xgrammar's, on the same GBNF; FOLDER holds a tokenizer.json

Schemas: jsonschema 4.26.0 with rfc3339-validator 0.1.4 and rfc3986-validator 0.1.1; patterns: re of Python 3.11;
grammars: llama.cpp's test-gbnf-validator; masks: xgrammar 0.2.8. Special tokens, which are text for xgrammar and not here, are left out.
"""
import argparse
import glob
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import jsonschema

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")


def obj(properties, required=None, **more):
    schema = {"type": "object", "properties": properties, **more}
    if required is None:
        required = list(properties)
    if required:
        schema["required"] = required
    return schema


# Each with instances that are to be writable (in the schema's order) and instances that are not valid.
SCHEMAS = [
    (obj({"name": {"type": "string", "minLength": 1, "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 150}}),
     [{"name": "Ada", "age": 36}, {"name": "é😀", "age": 0}, {"name": "x\"\\y", "age": 150}],
     [{"name": "", "age": 3}, {"name": "Ada", "age": 151}, {"name": "Ada", "age": -1}, {"name": "Ada"}, {"name": "123456789", "age": 1}, 3]),
    (obj({"a": {"type": "boolean"}, "b": {"type": "null"}, "c": {"type": "number"}}, ["b"]),
     [{"b": None}, {"a": True, "b": None, "c": -2.5}, {"b": None, "c": 1e5}, {"a": False, "b": None}],
     [{}, {"a": 1, "b": None}, {"b": 0}, {"b": None, "c": "1"}]),
    ({"enum": ["red", "green", 3, None, {"x": [1, 2]}, "ü\n"]},
     ["red", "green", 3, None, {"x": [1, 2]}, "ü\n"], ["blue", 4, False, "", {"x": [1]}]),
    ({"type": "string", "enum": ["a", 1, "b"], "minLength": 1}, ["a", "b"], [1, "c"]),
    ({"type": "string", "pattern": r"^\d{3}-\d{4}$"}, ["555-1234", "000-0000"], ["5551234", "a55-1234", "555-12345", 5]),
    ({"type": "string", "pattern": r"\d"}, ["a1", "7", "é 5 x"], ["", "abc"]),
    ({"type": "string", "pattern": r"^[\w.+-]+@\w+\.(com|org)$", "maxLength": 14}, ["a@b.com", "x.y+z@ab.org"], ["a@b.net", "a@bcdefghijk.com", "@b.com"]),
    ({"type": "string", "pattern": "^(ab|\"|\\\\)*$", "minLength": 2, "maxLength": 5}, ["ab", "ab\"\\", "\"\"\"\"\""], ["a", "", "ababab", "\""]),
    ({"$ref": "#/$defs/tree", "$defs": {"tree": obj({"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, ["value"])}},
     [{"value": 1}, {"value": -7, "children": []}, {"value": 1, "children": [{"value": 2, "children": [{"value": 3}]}, {"value": 4}]}],
     [{}, {"value": "1"}, {"value": 1, "children": [{}]}, {"value": 1.5}]),
    ({"type": "array", "items": {"type": "integer", "multipleOf": 3, "exclusiveMinimum": -10, "exclusiveMaximum": 100}, "minItems": 1, "maxItems": 3},
     [[0], [-9, 99, 3]], [[], [1], [-12], [102], [0, 0, 0, 0]]),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "boolean"}},
     [["a", 1], ["a", 1, True], ["", 0, True, False]], [["a", "b"], [1, 1], ["a", 1, 2]]),
    ({"anyOf": [{"type": "string", "maxLength": 3}, {"type": "integer", "minimum": 5}, obj({"k": {"const": "v"}})]},
     ["abc", 5, {"k": "v"}, "", 1234567], ["abcd", 4, {"k": "w"}, None, []]),
    ({"oneOf": [obj({"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}}),
                obj({"kind": {"const": "square"}, "side": {"type": "number", "minimum": 0.5, "maximum": 20}})]},
     [{"kind": "circle", "radius": 0.25}, {"kind": "square", "side": 0.5}, {"kind": "square", "side": 20}],
     [{"kind": "circle", "side": 1}, {"kind": "circle", "radius": 0}, {"kind": "square", "side": 20.01}, {"kind": "dot"}]),
    ({"allOf": [obj({"a": {"type": "integer"}}, []), obj({"b": {"type": "string"}}), {"properties": {"a": {"maximum": 9}}}, {"required": ["a"]}]},
     [{"a": 9, "b": ""}, {"a": -3, "b": "x"}], [{"a": 10, "b": ""}, {"b": ""}, {"a": 1}]),
    (obj({"d": {"type": "string", "format": "date"}, "t": {"type": "string", "format": "time"}, "dt": {"type": "string", "format": "date-time"}}),
     [{"d": "2024-02-29", "t": "23:59:59Z", "dt": "1999-12-31T00:00:00+01:00"}, {"d": "0001-01-01", "t": "00:00:00.5-11:30", "dt": "2000-02-29T12:00:00Z"}],
     [{"d": "2023-02-29", "t": "23:59:59Z", "dt": "1999-12-31T00:00:00Z"}, {"d": "2024-13-01", "t": "00:00:00Z", "dt": "1999-12-31T00:00:00Z"},
      {"d": "1900-02-29", "t": "00:00:00Z", "dt": "1999-12-31T00:00:00Z"}, {"d": "2024-04-31", "t": "00:00:00Z", "dt": "1999-12-31T00:00:00Z"},
      {"d": "2024-01-01", "t": "24:00:00Z", "dt": "1999-12-31T00:00:00Z"}, {"d": "2024-01-01", "t": "00:00:00Z", "dt": "1999-12-31"}]),
    (obj({"id": {"type": "string", "format": "uuid"}, "mail": {"type": "string", "format": "email"}, "ip": {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}, "url": {"type": "string", "format": "uri"}}),
     [{"id": "123e4567-e89b-12d3-a456-426614174000", "mail": "a.b@c.org", "ip": "255.0.10.1", "url": "https://a.b/c?d=e#f"},
      {"id": "123E4567-E89B-12D3-A456-426614174000", "mail": "x@y.zz", "ip": "::1", "url": "ftp://h"},
      {"id": "00000000-0000-0000-0000-000000000000", "mail": "x@y.zz", "ip": "2001:db8::8a2e:370:7334", "url": "http://localhost:8080/"}],
     [{"id": "123e4567e89b12d3a456426614174000", "mail": "a@b.c", "ip": "1.1.1.1", "url": "http://a"}, {"id": "123e4567-e89b-12d3-a456-426614174000", "mail": "ab", "ip": "1.1.1.1", "url": "http://a"},
      {"id": "123e4567-e89b-12d3-a456-426614174000", "mail": "a@b.cc", "ip": "256.1.1.1", "url": "http://a"}, {"id": "123e4567-e89b-12d3-a456-426614174000", "mail": "a@b.cc", "ip": "1::2::3", "url": "http://a"}]),
    ({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}, "minProperties": 1},
     [{"x": 1}, {"a": 0, "b": 2, "c": 3}], [{}, {"x": "1"}, {"x": -1}]),
    (obj({"id": {"type": "integer"}}, ["id"], patternProperties={"^x_[a-z]+$": {"type": "boolean"}}, additionalProperties={"type": "string", "maxLength": 2}),
     [{"id": 1}, {"id": 1, "x_a": True}, {"id": 1, "other": "ab", "x_zz": False}], [{"id": 1, "x_a": "a"}, {"id": 1, "other": True}, {"id": "1"}, {"id": 1, "other": "abc"}]),
    ({"type": ["array", "null"], "items": {"type": ["string", "number"], "nullable": True}, "maxItems": 4},
     [None, [], ["a", 1, 2.5]], [[True], {}, [[]], [1, 2, 3, 4, 5]]),
    (obj({"m": {"type": "array", "items": {"type": "array", "items": {"type": "number", "minimum": -1, "maximum": 1}, "minItems": 2, "maxItems": 2}, "minItems": 2, "maxItems": 2},
          "meta": obj({"tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 10}}, "level": {"enum": [1, 2, 3]}}, ["level"])}),
     [{"m": [[0, 1], [-1, 0.125]], "meta": {"tags": ["a", "bc"], "level": 2}}, {"m": [[0, 1], [-0.5, 0]], "meta": {"level": 3}}],
     [{"m": [[0, 1]], "meta": {"level": 1}}, {"m": [[0, 2], [0, 0]], "meta": {"level": 1}}, {"m": [[0, 1], [0, 0]], "meta": {"tags": ["A"], "level": 1}}, {"m": [[0, 1], [0, 0]], "meta": {"level": 4}}]),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"p": {"type": "string", "minLength": 2}}, "type": "object",
      "properties": {"list": {"type": "array", "items": [{"$ref": "#/definitions/p"}, {"type": "null"}], "additionalItems": False}, "free": True, "none": False}},
     [{}, {"list": ["ab", None]}, {"list": ["ab", None], "free": {"any": [1, "x"]}}, {"free": None}], [{"list": ["a", None]}, {"list": ["ab", None, 1]}, {"none": 1}, []]),
    ({}, [None, True, 12, -0.5, "x", [], {}, [1, {"a": [None]}], {"k": {"k": "v"}}], []),
    (obj({"n": {"type": "number", "exclusiveMinimum": -1.5, "maximum": 2}}), [{"n": -1.25}, {"n": 0}, {"n": 2}, {"n": 1.999}], [{"n": -1.5}, {"n": 2.5}, {"n": -2}]),
    ({"type": "object", "propertyNames": {"pattern": "^[a-c]{1,2}$"}, "additionalProperties": {"type": "null"}, "maxProperties": 2},
     [{}, {"a": None}, {"ab": None, "c": None}], [{"d": None}, {"abc": None}, {"a": 1}, {"a": None, "b": None, "c": None}]),
    # What no keyword speaks of: in the schema itself, by reference, beside branches, in a branch whose parent speaks of more.
    ({"type": "object", "unevaluatedProperties": False}, [{}], [{"a": 1}]),
    ({"type": "array", "unevaluatedItems": False}, [[]], [[1], [[]]]),
    ({"$ref": "#/$defs/b", "properties": {"x": {"type": "null"}}, "unevaluatedProperties": False, "$defs": {"b": obj({"id": {"type": "integer"}})}},
     [{"x": None, "id": 1}, {"id": 2}], [{"id": 1, "y": 1}, {"x": None}, {"x": 1, "id": 1}]),
    ({"type": "object", "properties": {"b": {"type": "string"}}, "allOf": [{"properties": {"a": {"type": "integer"}}, "unevaluatedProperties": False}]},
     [{}, {"a": 1}], [{"b": "x"}, {"a": 1, "b": "x"}, {"c": 1}]),
    ({"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"], "unevaluatedProperties": False,
      "anyOf": [obj({"a": {"type": "boolean"}}), obj({"b": {"type": "null"}}, ["b"])]},
     [{"k": 1, "a": True}, {"k": 2, "b": None}], [{"k": 1}, {"k": 1, "a": True, "c": 1}, {"a": True}, {"k": 1, "a": None}]),
    ({"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"], "unevaluatedProperties": False,
      "oneOf": [obj({"kind": {"const": "a"}, "x": {"type": "integer"}}), obj({"kind": {"const": "b"}, "y": {"type": "string"}})]},
     [{"id": 1, "kind": "a", "x": 2}, {"id": 1, "kind": "b", "y": ""}], [{"id": 1}, {"id": 1, "kind": "a", "x": 2, "y": ""}, {"id": 1, "kind": "b", "x": 2}]),
    ({"type": "object", "unevaluatedProperties": False, "patternProperties": {"^x": {"type": "integer"}, "^.y": {"minimum": 1}, "^..?z": {"type": "null"}}},
     [{}, {"x": 1}, {"xy": 3, "az": None}], [{"a": 1}, {"xy": 0}, {"x": "1"}, {"az": 1}, {"z": None}]),
    ({"type": "object", "properties": {"a": {"type": "integer"}}, "unevaluatedProperties": {"type": "string"}},
     [{}, {"a": 1, "b": ""}, {"c": "x"}], [{"a": ""}, {"b": 1}, {"a": 1, "b": None}]),
    ({"type": "array", "allOf": [{"prefixItems": [{"type": "integer"}]}, {"prefixItems": [True, {"type": "null"}]}], "minItems": 1, "unevaluatedItems": {"type": "string"}},
     [[1], [1, None], [1, None, "a", "b"]], [[], ["a"], [1, "a"], [1, None, 2]]),
    ({"type": "array", "prefixItems": [{"type": "integer"}], "allOf": [{"prefixItems": [{}, {"type": "null"}], "unevaluatedItems": False}], "minItems": 0},
     [[], [1], [1, None]], [[1, None, None], ["a"], [1, 2]]),
    ({"enum": [{"a": 1}, {"b": 1}, [], [1], 3], "properties": {"b": {}}, "unevaluatedProperties": False, "unevaluatedItems": False}, [{"b": 1}, [], 3], [{"a": 1}, [1], {}]),
    ({"type": "object", "additionalProperties": {"type": "integer"}, "unevaluatedProperties": False}, [{"a": 1}], [{"a": ""}]),
    ({"type": "object", "propertyNames": {"type": "integer"}}, [{}], [{"a": 1}, {"1": 1}]),
    ({"type": "object", "propertyNames": False, "properties": {"a": {}}}, [{}], [{"a": 1}, {"b": 1}]),
    ({"type": "object", "propertyNames": {"anyOf": [{"type": "integer"}, {"maxLength": 1}]}, "additionalProperties": {"type": "null"}}, [{}, {"a": None, "b": None}], [{"ab": None}, {"a": 1}]),
    ({"type": "array", "items": {"enum": ["a", "b", 1, None]}, "uniqueItems": True, "minItems": 1, "maxItems": 3},
     [["a"], [1, "a"], ["b", None, "a"]], [[], ["a", "a"], ["a", "b", 1, None], ["c"]]),
    ({"type": "array", "items": {"anyOf": [{"type": "boolean"}, {"const": 0}, {"const": 0.0}]}, "uniqueItems": True},
     [[], [True, False], [0, False]], [[True, True], [0, 0.0], [1]]),
]

PATTERNS = [r"[a-z]+", r"(?:foo|ba[rz]){2,3}", r"\d{1,3}(,\d{3})*", r"\w+ \W\s\S\D", r"[^\W\d_]{2}", r"a.c|[\x41-\u0043é]?", r"(a*)*b", r"(?P<y>x|y)(?:z{0,2})?",
            r"^a|b$", r"x\Z", r"\.\*\[\]\{\}\\", r"a{2}{", r"{a}", r"[]a]+", r"[^]a]", r"[a\-z]+", r"[+--]", r"\t\n?", "é[^é]é", r"(|a)(b|)", r"a{,2}b", r"[\d\-x]+", r"(?#note)a+?b*?",
            r"a{,}", r"\012\0123|\08", r"x[\01\012-\015]"]
NEAR = {r"a{,}": ["aaaa", "a{,}"], r"\012\0123|\08": ["\n\n3", "\0" + "8", "\0" + "12", "\n"], r"x[\01\012-\015]": ["x\n", "x\1", "x\r", "x1", "x\0"]}  # texts to try
CHOICES = [["yes", "no", "maybe so", "nö"], ["a", "ab", "abc", "😀"]]

GRAMMARS = [
    'root ::= "a" [b-d]{2,3} ("x" | "yz")? "\\n"*',
    'root ::= expr\nexpr ::= term ("+" term)*  # sums\nterm ::= [0-9]+ | "(" expr ")"\n',
    'root ::= [^a-c\\n"]+ "." | "\\x41\\u00e9\\U0001F600"',
    'root ::= item{2} | "none"\nitem ::= "- " [^\\n]+ "\\n"\n',
    'root ::= (\n  # a comment\n  "a" |\n  "b" )+ end\nend ::= . ."!"?',
    'root ::= "x" root "y" | ""',
    'root ::= [[] [^\\]]* "]" | [a-] [\\-z]',
]


def is_valid(schema, instance):
    cls = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    if "nullable" in json.dumps(schema):  # OpenAPI's, which jsonschema does not know
        schema = json.loads(json.dumps(schema).replace('["string", "number"], "nullable": true', '["string", "number", "null"]'))
    return cls(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).is_valid(instance)


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def schema_cases():
    for schema, good, bad in SCHEMAS:
        for instance in good:
            assert is_valid(schema, instance), (schema, instance)
        for instance in bad:
            assert not is_valid(schema, instance), (schema, instance)
        rejected = [compact(x) for x in bad] + ["", "{", compact(good[0]) + " ", compact(good[0])[:-1] if len(compact(good[0])) > 1 and good[0] is not None and not isinstance(good[0], (int, float)) else "tru"]
        yield {"kind": "schema", "text": schema, "accepted": [compact(x) for x in good], "rejected": rejected}


def texts_like(pattern, rng):
    """Texts near a pattern: pieces of it, of its matches' letters, and noise."""
    letters = "abcxyz019 ,._-+*[]{}\\\n\té\u0663A😀foobar" + pattern
    out = {""}
    while len(out) < 400:
        out.add("".join(rng.choice(letters) for _ in range(rng.randint(0, 7))))
    out |= {"foobar", "barbaz", "foobarbaz", "1,234", "12,345,678", "1234", "word !\tx.", "ab", "aab", "xz", "x", ".*[]{}\\", "aa{", "{a}", "]a", "é世é", "b", "aaab", "\t\n", "\u0663"}
    out |= set(NEAR.get(pattern, ()))
    return sorted(out)


def pattern_cases():
    rng = random.Random(4)
    for pattern in PATTERNS:
        accepted, rejected = [], []
        for text in texts_like(pattern, rng):
            (accepted if re.fullmatch(pattern, text) else rejected).append(text)
        yield {"kind": "regex", "text": pattern, "accepted": accepted, "rejected": rng.sample(rejected, min(len(rejected), 60))}
    for choices in CHOICES:
        yield {"kind": "choices", "text": choices, "accepted": choices, "rejected": ["", "y", "yess", "abcd", "n", choices[0] + " "]}


def gbnf_cases(validator):
    rng = random.Random(5)
    samples = ["abbx\n", "abcdyz", "abb", "1+2", "(1+(2+3))+4", "((1)", "hello.", "Aé😀", "- a\n- b\n", "none", "abxy!", "ab!?", "xxyy", "", "[abc]", "a-", "-z", "bz", "aaé世", "xy", "xxy"]
    for grammar in GRAMMARS:
        letters = "abcdxyz019+().!-[] \n\"é"
        texts = sorted(set(samples) | {"".join(rng.choice(letters) for _ in range(rng.randint(0, 6))) for _ in range(60)})
        accepted, rejected = [], []
        with tempfile.TemporaryDirectory() as folder:
            rules = os.path.join(folder, "g.gbnf")
            with open(rules, "w") as file:
                file.write(grammar)
            for text in texts:
                path = os.path.join(folder, "text")
                with open(path, "w", newline="") as file:
                    file.write(text)
                said = subprocess.run([validator, rules, path], capture_output=True).stdout.decode(errors="replace")
                assert "Input string is" in said, said
                (accepted if "Input string is valid" in said else rejected).append(text)
        yield {"kind": "gbnf", "text": grammar, "accepted": accepted, "rejected": rejected}


def write_fixture(validator):
    cases = list(schema_cases()) + list(pattern_cases()) + list(gbnf_cases(validator))
    folder = os.path.join(ROOT, "fixtures", "constraints")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "acceptance.json"), "w") as file:
        json.dump(cases, file, ensure_ascii=True, indent=0)
        file.write("\n")
    print(len(cases), "cases,", sum(len(c["accepted"]) for c in cases), "accepted,", sum(len(c["rejected"]) for c in cases), "rejected")


def run_tool(tool, mode, tokenizer, cases, *more):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(cases, file)
        file.flush()
        out = subprocess.run([tool, mode, tokenizer, file.name, *more], capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(out.stderr)
    return [json.loads(line) for line in out.stdout.split("\n")[:-1]]  # not splitlines: texts hold its other line ends


def check(tool, tokenizer, count, seed):
    cases = [{"kind": "schema", "text": schema, "compact": flexible == 0} for schema, _, _ in SCHEMAS for flexible in (0, 1)]
    cases += [{"kind": "regex", "text": pattern} for pattern in PATTERNS] + [{"kind": "choices", "text": c} for c in CHOICES]
    wrong = unfinished = 0
    lengths, distinct = 0, set()
    lines = run_tool(tool, "sample", tokenizer, cases, str(count), str(seed))
    for line in lines:
        case, text = cases[line["case"]], line["text"]
        if text is None:
            unfinished += 1
            continue
        lengths += len(text)
        distinct.add((line["case"], text))
        if case["kind"] == "schema":
            try:
                right = is_valid(case["text"], json.loads(text))
            except ValueError:
                right = False
        elif case["kind"] == "regex":
            right = re.fullmatch(case["text"], text) is not None
        else:
            right = text in case["text"]
        if not right:
            wrong += 1
            print("WRONG", json.dumps(case["text"]), "\n  ", repr(text))
    schemas = sum(1 for line in lines if cases[line["case"]]["kind"] == "schema")
    print(f"{len(lines)} texts ({schemas} of {len(SCHEMAS)} schemas), {len(distinct)} distinct, {lengths} characters: {wrong} wrong, {unfinished} not finished")
    sys.exit(1 if wrong or unfinished else 0)


def suite(tool, tokenizer, folder, count, seed):
    right = wrong = refused = 0
    for draft, cls in (("draft2020-12", jsonschema.Draft202012Validator), ("draft7", jsonschema.Draft7Validator)):
        files = sorted(glob.glob(f"{folder}/{draft}/*.json") + glob.glob(f"{folder}/{draft}/optional/format/*.json"))
        for group in (group for name in files for group in json.load(open(name))):
            schema = group["schema"]
            try:
                lines = run_tool(tool, "sample", tokenizer, [{"kind": "schema", "text": schema}], str(count), str(seed))
            except SystemExit as error:
                refused += 1
                if "#" not in str(error):
                    wrong += 1
                    print("NO PLACE", group["description"], json.dumps(schema), error)
                continue
            validator = cls(schema, format_checker=cls.FORMAT_CHECKER)
            for line in lines:
                try:
                    valid = line["text"] is not None and validator.is_valid(json.loads(line["text"]))
                except ValueError:
                    valid = False
                right += valid
                wrong += not valid
                if not valid:
                    print("WRONG", group["description"], json.dumps(schema), "\n  ", repr(line["text"]))
    print(f"{right} texts are valid, {wrong} are not; {refused} schemas are refused")
    sys.exit(1 if wrong or not right else 0)


MASKS = [
    ('root ::= "{" pair ("," pair)* "}"\npair ::= "\\"" [a-z]+ "\\":" value\nvalue ::= [0-9]+ | "\\"" [^"\\n]* "\\"" | "[" value ("," value)* "]"\n',
     ["", "{", '{"', '{"ab', '{"ab":', '{"ab":12', '{"ab":"x', '{"ab":[1,', '{"ab":[[1]']),
    ('root ::= [^a-m]{2,9} "\\n" | "hello" " world"?\n', ["", "h", "hello", "xy", "zzz 1234"]),
    ('root ::= ("a" | "b")+ "é世" [^\\n]*\n', ["", "ab", "abé", "abé世", "abé世 and"]),
]


def masks(tool, folder):
    import numpy
    import transformers
    import xgrammar

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer)
    compiler = xgrammar.GrammarCompiler(info)
    cases = [{"kind": "gbnf", "text": grammar, "prefixes": prefixes} for grammar, prefixes in MASKS]
    ends = set(info.stop_token_ids) | {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    wrong = allowed = 0
    lines = run_tool(tool, "masks", folder, cases)
    for line in lines:
        matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(cases[line["case"]]["text"]))
        for token in tokenizer.encode(line["prefix"], add_special_tokens=False):
            assert matcher.accept_token(token)
        bits = xgrammar.allocate_token_bitmask(1, info.vocab_size)
        matcher.fill_next_token_bitmask(bits)
        words = bits.numpy().view(numpy.uint32)[0]
        theirs = {i for i in range(info.vocab_size) if words[i // 32] >> (i % 32) & 1} - ends
        ours = set(line["ids"]) - ends
        allowed += len(ours)
        if ours != theirs:
            wrong += 1
            print("DIFFER", repr(line["prefix"]), "ours alone", [tokenizer.convert_ids_to_tokens(i) for i in sorted(ours - theirs)[:9]],
                  "theirs alone", [tokenizer.convert_ids_to_tokens(i) for i in sorted(theirs - ours)[:9]])
    print(f"{len(lines)} masks, {allowed} allowed tokens: {wrong} differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["fixture", "check", "suite", "masks"])
    parser.add_argument("--gbnf-validator")
    parser.add_argument("--tool")
    parser.add_argument("--tokenizer")
    parser.add_argument("--suite")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.mode == "fixture":
        write_fixture(arguments.gbnf_validator)
    elif arguments.mode == "check":
        check(arguments.tool, arguments.tokenizer, arguments.count, arguments.seed)
    elif arguments.mode == "suite":
        suite(arguments.tool, arguments.tokenizer, arguments.suite, arguments.count, arguments.seed)
    else:
        masks(arguments.tool, arguments.tokenizer)
