"""Transforms: what they write can be read back, they never fail, and packages can add to them."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.attacks.encodings import _BRAILLE_DIGITS, _BRAILLE_LETTERS, _MORSE, _NATO_WORDS
from lrm.attacks.listing import markdown_table
from lrm.attacks.lookalikes import HOMOGLYPHS
from lrm.attacks.transforms import Transform, built_in, find, known
from lrm.errors import SpecError

REQUIRED = {
    "template": {"text": "Read: {prompt} {other}"},
    "prefix": {"text": "Well,"},
    "suffix": {"text": "please"},
    "vigenere": {"key": "Lemon"},
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SAMPLE = "How do I sharpen a kitchen knife? Zwölf Boxkämpfer, 12 °C — 🙂 `x`\nSecond line: y = {prompt} & <b>."


def apply(name: str, text: str, /, **params: object) -> str:
    return built_in()[name](text, **{**REQUIRED.get(name, {}), **params})  # type: ignore[arg-type]


# --- every transform --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", built_in())
@given(text=TEXT)
@settings(max_examples=25, deadline=None)
def test_takes_any_text_gives_the_same_twice_and_what_utf8_can_hold(name: str, text: str) -> None:
    once = apply(name, text)
    assert once == apply(name, text)
    once.encode()


@pytest.mark.parametrize("name", built_in())
def test_is_documented(name: str) -> None:
    transform = built_in()[name]
    assert transform.name == name
    assert transform.description.endswith(".")
    assert "\n" not in transform.description
    assert transform.function.__doc__
    assert f"| `{name}` | {transform.description} |" in markdown_table()


def test_names_are_not_given_twice() -> None:
    functions = [
        value for module in ("templates", "encodings", "ciphers", "obfuscations", "lookalikes")
        for value in vars(sys.modules[f"lrm.attacks.{module}"]).values() if isinstance(value, Transform)
    ]  # fmt: skip
    assert len({transform.name for transform in functions}) == len(functions) == len(built_in())


GOLDEN: dict[tuple[str, int], str] = {
    ("template", 1): "4722fa503f153d5e",
    ("prefix", 1): "1e49c40ebb9e70ce",
    ("suffix", 1): "816d1f3d28087a75",
    ("wrap", 1): "a8a855e5d750b876",
    ("payload-splitting", 1): "9b6d4ceb1f6cb6a3",
    ("code-block", 1): "d1ba3274f597189c",
    ("quote", 1): "3bd8aa864b54ec27",
    ("json-object", 1): "19c0cab6c361cfbd",
    ("xml-element", 1): "fc59dc10cbbd7190",
    ("base64", 1): "1c9fbf0cc7609552",
    ("base32", 1): "f51814c203969845",
    ("base85", 1): "e6c011dcc826f20a",
    ("hex", 1): "6b1c8cc89c098710",
    ("binary", 1): "778f07c85009b100",
    ("octal", 1): "fc53e7c44c57927f",
    ("ascii-codes", 1): "7f49e435783f412a",
    ("url", 1): "2a20f778d1172951",
    ("html-entities", 1): "0d929bbeee1f2a17",
    ("unicode-escapes", 1): "41c198344b163dcd",
    ("morse", 1): "a0604eb3148bfef7",
    ("nato", 1): "c763bf6890bce7df",
    ("braille", 1): "616e2a1c2e098254",
    ("unicode-tags", 1): "85cf043ca0089800",
    ("variation-selectors", 1): "73c8cd2762943a60",
    ("rot13", 1): "a02979868d0ec71b",
    ("rot47", 1): "889f4ffed60d7c50",
    ("caesar", 1): "efc09332df14fb92",
    ("atbash", 1): "a027f9ebe40d1973",
    ("vigenere", 1): "bb2cdd26bed046ba",
    ("reverse", 1): "d184c3f60026c463",
    ("rail-fence", 1): "c1005167a29275d7",
    ("leetspeak", 1): "bc793ceeeaa51f63",
    ("character-spacing", 1): "ecbdc7e1c14a1ead",
    ("word-split", 1): "6584daa6266a9175",
    ("disemvowel", 1): "7c32f7343afebafa",
    ("pig-latin", 1): "3edd7c8b6630cba0",
    ("case", 1): "ae77d460fb02a3ab",
    ("typos", 1): "8057d0c66d7fb12e",
    ("scramble", 1): "5d5a50c58e63ecd5",
    ("shuffle-words", 1): "ce820f72cafd6c00",
    ("repeat", 1): "cc784a9bb7b23d6f",
    ("homoglyphs", 1): "b4b6bd4e8f544030",
    ("zero-width", 1): "8743bb8545912a5e",
    ("fullwidth", 1): "76e64ae9cb6b8375",
    ("math-letters", 1): "5bfa1b4349c27d10",
    ("circled", 1): "5936d7f44b2d34d1",
    ("upside-down", 1): "c132a125ff2a4c02",
    ("zalgo", 1): "93827c40ec761e23",
    ("unicode-form", 1): "764131e5626dfe57",
}
"""SHA-256, cut, of what each version makes of SAMPLE. A changed output is a new version: count it up, then add a line."""


@pytest.mark.parametrize("name", built_in())
def test_output_changes_only_with_the_version(name: str) -> None:
    output = apply(name, SAMPLE)
    assert GOLDEN[name, built_in()[name].version] == hashlib.sha256(output.encode()).hexdigest()[:16]


# --- reading back -----------------------------------------------------------------------------------------------------


def from_units(text: str) -> str:
    decoded: str = json.loads(f'"{text}"')
    return decoded


def from_selectors(text: str) -> str:
    codes = [ord(sign) for sign in text[1:]]
    return bytes(code - 0xFE00 if code < 0xFE10 else code - 0xE0100 + 16 for code in codes).decode()


def from_rails(text: str, rails: int = 3) -> str:
    period = 2 * (rails - 1)
    places = sorted(range(len(text)), key=lambda at: (min(at % period, period - at % period), at))
    signs = dict(zip(places, text, strict=True))
    return "".join(signs[at] for at in range(len(text)))


def untemplated(text: str) -> str:
    return text.removeprefix("Read: ").removesuffix(" {other}")


DECODERS: dict[str, tuple[dict[str, object], Callable[[str], str]]] = {
    "template": ({}, untemplated),
    "prefix": ({}, lambda text: text.removeprefix("Well, ")),
    "suffix": ({}, lambda text: text.removesuffix(" please")),
    "wrap": ({"before": "<<", "after": ">>"}, lambda text: text[2:-2]),
    "json-object": ({}, lambda text: json.loads(text)["message"]),
    "xml-element": ({}, lambda text: html.unescape(text.removeprefix("<message>\n").removesuffix("\n</message>"))),
    "code-block": ({}, lambda text: text.split("\n", 1)[1].rsplit("\n", 1)[0]),
    "quote": ({}, lambda text: "\n".join(line[2:] for line in text.split("\n"))),
    "base64": ({}, lambda text: base64.b64decode(text, validate=True).decode()),
    "base32": ({}, lambda text: base64.b32decode(text).decode()),
    "base85": ({}, lambda text: base64.b85decode(text).decode()),
    "hex": ({}, lambda text: bytes.fromhex(text).decode()),
    "binary": ({}, lambda text: bytes(int(part, 2) for part in text.split()).decode()),
    "octal": ({}, lambda text: bytes(int(part, 8) for part in text.split()).decode()),
    "ascii-codes": ({}, lambda text: bytes(int(part) for part in text.split()).decode()),
    "url": ({}, unquote),
    "unicode-escapes": ({}, from_units),
    "variation-selectors": ({}, from_selectors),
    "unicode-tags": ({}, lambda text: "".join(chr(ord(s) - 0xE0000) if 0xE0000 < ord(s) < 0xE0080 else s for s in text)),
    "rot13": ({}, lambda text: apply("rot13", text)),
    "rot47": ({}, lambda text: apply("rot47", text)),
    "atbash": ({}, lambda text: apply("atbash", text)),
    "caesar": ({"shift": 7}, lambda text: apply("caesar", text, shift=-7)),
    "vigenere": ({"key": "abz"}, lambda text: apply("vigenere", text, key="azb")),
    "reverse": ({}, lambda text: apply("reverse", text)),
    "rail-fence": ({}, from_rails),
    "repeat": ({}, lambda text: text[: len(text) // 2]),
    "zero-width": ({"character": "joiner"}, lambda text: text[::2]),
    "character-spacing": ({}, lambda text: text[::2]),
}  # fmt: skip


@pytest.mark.parametrize("name", DECODERS)
@given(text=TEXT.filter(lambda text: not any(0xE0000 < ord(sign) < 0xE0080 for sign in text)))
@settings(max_examples=50, deadline=None)
def test_can_be_read_back(name: str, text: str) -> None:
    params, decode = DECODERS[name]
    assert decode(apply(name, text, **params)) == text


PLAIN = st.text("abcdefghijklmnopqrstuvwxyz0123456789 ", min_size=1).map(lambda text: " ".join(text.split()))


@pytest.mark.parametrize(("name", "codes"), [("morse", _MORSE), ("nato", _NATO_WORDS)])
@given(text=PLAIN)
@settings(deadline=None)
def test_spelling_can_be_read_back(name: str, codes: dict[str, str], text: str) -> None:
    signs = {code: sign for sign, code in codes.items()}
    words = apply(name, text).split(" / ")
    assert " ".join("".join(signs.get(code, code) for code in word.split(" ")) for word in words) == text


def test_morse_codes_differ() -> None:
    assert len(set(_MORSE.values())) == len(_MORSE)


@given(text=PLAIN)
@settings(deadline=None)
def test_braille_can_be_read_back(text: str) -> None:
    letters = {cell: sign for sign, cell in _BRAILLE_LETTERS.items()}
    digits = {cell: sign for sign, cell in _BRAILLE_DIGITS.items()}
    read, number = [], False
    for cell in apply("braille", text):
        if cell in "⠼⠰":
            number = cell == "⠼"
            continue
        number = number and cell in digits
        read.append(digits[cell] if number else letters.get(cell, cell))
    assert "".join(read) == text


@pytest.mark.parametrize("name", ["fullwidth", "math-letters", "circled"])
def test_compatibility_letters_normalise_back(name: str) -> None:
    text = "The quick brown fox jumps over 13 lazy dogs, OK? Zero: 0"
    written = apply(name, text)
    assert unicodedata.normalize("NFKC", written) == text
    assert "quick" not in written


@given(text=st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20)))
@settings(deadline=None)
def test_homoglyphs_map_one_to_one(text: str) -> None:
    back = {ord(double): chr(sign) for sign, double in HOMOGLYPHS.items()}
    assert len(back) == len(HOMOGLYPHS)
    assert apply("homoglyphs", text).translate(back) == text


@given(text=TEXT)
@settings(deadline=None)
def test_zalgo_only_adds_marks(text: str) -> None:
    kept = "".join(sign for sign in text if not 0x0300 <= ord(sign) < 0x0370)
    assert "".join(sign for sign in apply("zalgo", kept) if not 0x0300 <= ord(sign) < 0x0370) == kept


@given(text=TEXT, pieces=st.integers(2, 26))
@settings(deadline=None)
def test_split_payload_joins_back(text: str, pieces: int) -> None:
    lines = apply("payload-splitting", text, pieces=pieces).split("\n")[:pieces]
    assert "".join(json.loads(line.split(" = ", 1)[1]) for line in lines) == text


@given(text=TEXT, seed=st.integers(0, 2**53 - 1))
@settings(deadline=None)
def test_shuffling_keeps_what_there_is(text: str, seed: int) -> None:
    assert sorted(apply("scramble", text, seed=seed)) == sorted(text)
    assert sorted(apply("shuffle-words", text, seed=seed).split()) == sorted(text.split())


@given(text=TEXT)
@settings(deadline=None)
def test_a_code_block_cannot_be_closed_by_its_text(text: str) -> None:
    fence, *inside, last = apply("code-block", text).split("\n")
    assert fence == last
    assert all(fence not in line for line in inside)


# --- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "text", "expected"),
    [
        ("base64", {}, "Grüße", "R3LDvMOfZQ=="),
        ("base64", {"alphabet": "url"}, "??>>~~", "Pz8-Pn5-"),
        ("hex", {"separator": " "}, "Az", "41 7a"),
        ("binary", {}, "A", "01000001"),
        ("ascii-codes", {"separator": ","}, "Hi", "72,105"),
        ("url", {}, "a b/ä", "a%20b%2F%C3%A4"),
        ("url", {"every_byte": True}, "ab", "%61%62"),
        ("html-entities", {}, "a<", "&#97;&#60;"),
        ("html-entities", {"every_character": False}, "a<b", "a&lt;b"),
        ("unicode-escapes", {}, "a🙂", "\\u0061\\ud83d\\ude42"),
        ("unicode-escapes", {"only_non_ascii": True}, "aé\\", "a\\u00e9\\u005c"),
        ("morse", {}, "SOS now", "... --- ... / -. --- .--"),
        ("nato", {}, "ok go", "Oscar Kilo / Golf Oscar"),
        ("braille", {}, "ab 12c", "⠁⠃ ⠼⠁⠃⠰⠉"),
        ("unicode-tags", {"carrier": "x"}, "A\n", "x\U000e0041\n"),
        ("rot13", {}, "Hello, World", "Uryyb, Jbeyq"),
        ("rot47", {}, "Hello!", "w6==@P"),
        ("caesar", {}, "xyz XYZ ä", "abc ABC ä"),
        ("atbash", {}, "Az ä", "Za ä"),
        ("vigenere", {"key": "LEMON"}, "attack at dawn", "lxfopv ef rnhr"),
        ("reverse", {}, "one two", "owt eno"),
        ("reverse", {"unit": "words"}, "one  two\nthree", "three\ntwo  one"),
        ("reverse", {"unit": "within_words"}, "one  two", "eno  owt"),
        ("rail-fence", {"rails": 3}, "WEAREDISCOVERED", "WECRERDSOEEAIVD"),
        ("leetspeak", {}, "Test it", "7357 17"),
        ("leetspeak", {"level": "full"}, "bags", "8465"),
        ("character-spacing", {"separator": "-"}, "abc", "a-b-c"),
        ("word-split", {"every": 2}, "knife is", "kn-if-e is"),
        ("disemvowel", {}, "I see a kitchen", "I s a ktchn"),
        ("pig-latin", {}, "Smile apple rhythm", "Ilesmay appleway ythmrhay"),
        ("case", {}, "ab, cd", "aB, cD"),
        ("case", {"style": "snake"}, "Make  a Cake", "make_a_cake"),
        ("case", {"style": "kebab"}, "Make a Cake", "make-a-cake"),
        ("case", {"style": "camel"}, "make a cake", "makeACake"),
        ("case", {"style": "camel"}, "", ""),
        ("case", {"style": "swap"}, "aB", "Ab"),
        ("typos", {"rate": 0}, "nothing changes", "nothing changes"),
        ("scramble", {"rate": 0}, "nothing changes", "nothing changes"),
        ("repeat", {"times": 3, "separator": ";"}, "a", "a;a;a"),
        ("upside-down", {}, "hello", "ollǝɥ"),
        ("zero-width", {}, "ab", "a\u200bb"),
        ("unicode-form", {}, "é①", "e\u03011"),
        ("template", {"text": "{a} {prompt} {{prompt}}"}, "x{prompt}", "{a} x{prompt} {x{prompt}}"),
        ("prefix", {"text": "Do:", "separator": "\n"}, "x", "Do:\nx"),
        ("code-block", {"language": "text"}, "a ``` b", "````text\na ``` b\n````"),
        ("quote", {}, "a\n\nb", "> a\n> \n> b"),
    ],
)  # fmt: skip
def test_examples(name: str, params: dict[str, object], text: str, expected: str) -> None:
    assert apply(name, text, **params) == expected


def test_seeds_and_rates_matter() -> None:
    text = "The quick brown foxes jump over several lazy sleeping dogs"
    for name in ("typos", "scramble", "shuffle-words", "zalgo"):
        assert apply(name, text) != text
        assert apply(name, text, seed=1) != apply(name, text, seed=2)
    assert apply("case", text, style="random", seed=1) != apply("case", text, style="random", seed=2)
    assert 0 < sum(a != b for a, b in zip(apply("homoglyphs", text, share=0.5), text, strict=True)) < len(text) / 2


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "key", "part"),
    [
        ("caesar", {"shfit": 3}, "shfit", "did you mean `shift`"),
        ("caesar", {"shift": "3"}, "shift", "valid integer"),
        ("caesar", {"shift": True}, "shift", "valid integer"),
        ("caesar", {"shift": 26}, "shift", "less than or equal to 25"),
        ("rot13", {"shift": 3}, "shift", "takes no parameters"),
        ("template", {}, "text", "needs the parameter `text`"),
        ("template", {"text": "{category}"}, "text", "`{prompt}` must stand"),
        ("vigenere", {"key": "a b"}, "key", "pattern"),
        ("case", {"style": "uper"}, "style", "'upper', 'lower'"),
        ("typos", {"rate": 1.5}, "rate", "less than or equal to 1"),
    ],
)
def test_wrong_parameters_are_refused(name: str, params: dict[str, object], key: str, part: str) -> None:
    with pytest.raises(SpecError, match="transform") as caught:
        built_in()[name].resolve(params)  # type: ignore[arg-type]
    assert caught.value.key == key
    assert part in str(caught.value)


def test_defaults_are_resolved() -> None:
    assert find("caesar").resolve({}) == {"shift": 3}
    assert find("scramble").resolve({"rate": 1}) == find("scramble").resolve({})


# --- packages ---------------------------------------------------------------------------------------------------------

PLUG_IN = '''
from lrm.attacks.transforms import transform

@transform("shout", "Shout it.", source="nobody", version=3)
def shout(prompt: str, /, *, marks: int = 1) -> str:
    """Return it louder."""
    return prompt.upper() + "!" * marks

text = "not a transform"
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that installs a distribution with a module and entry points, for this test only."""

    def install(distribution: str, entry_points: dict[str, str], source: str = PLUG_IN) -> Path:
        site = tmp_path / distribution
        module = distribution.replace("-", "_")
        info = site / f"{module}-1.2.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {module}{value}" for name, value in entry_points.items()]
        (info / "entry_points.txt").write_text("[lrm.transforms]\n" + "\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site

    return install


def test_a_package_adds_a_transform(installed: Callable[..., Path]) -> None:
    installed("loud-package", {"shout": ":shout"})
    shout = find("shout")
    assert shout("hey", marks=2) == "HEY!!"
    assert (shout.version, shout.package) == (3, "loud-package 1.2")
    assert list(known()) == [*built_in(), "shout"]
    with pytest.raises(SpecError, match="did you mean `shout`"):
        find("shuot")


@pytest.mark.parametrize(
    ("name", "value", "source", "message"),
    [
        ("shout", ":shout", "import nothing_of_this_name", "cannot be loaded: ModuleNotFoundError"),
        ("shout", ":shout", "raise RuntimeError('boom')", "cannot be loaded: RuntimeError: boom"),
        ("shout", ":missing", PLUG_IN, "cannot be loaded: AttributeError"),
        ("shout", ":text", PLUG_IN, "is a str, not a Transform"),
        ("whisper", ":shout", PLUG_IN, "calls its transform `shout`, its entry point `whisper`"),
    ],
)
def test_a_broken_package_is_named(
    installed: Callable[..., Path], name: str, value: str, source: str, message: str
) -> None:
    installed("broken-package", {name: value}, source)
    for look in (lambda: find(name), known):
        with pytest.raises(SpecError) as caught:
            look()
        assert message in str(caught.value)
        assert "broken-package 1.2" in str(caught.value)
    assert find("rot13")("a") == "n"


def test_a_package_cannot_take_the_name_of_a_built_in_transform(installed: Callable[..., Path]) -> None:
    installed("rival-package", {"rot13": ":shout"})
    assert find("rot13").package is None
    with pytest.raises(SpecError, match=r"rival-package 1.2 names a transform `rot13`, which is built in"):
        known()


def test_two_packages_with_one_name_are_both_named(installed: Callable[..., Path]) -> None:
    installed("loud-package", {"shout": ":shout"})
    installed("louder-package", {"shout": ":shout"})
    with pytest.raises(SpecError, match=r"more than one package: louder-package 1.2 and loud-package 1.2"):
        find("shout")


def test_packages_are_looked_for_only_when_needed(installed: Callable[..., Path]) -> None:
    site = installed("loud-package", {"shout": ":shout"})
    code = (
        "from lrm.attacks.transforms import find, _plug_ins; find('rot13'); print(_plug_ins.cache_info().misses);"
        "find('shout'); print(_plug_ins.cache_info().misses, 'loud_package' in sys.modules)"
    )
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert printed == ["0", "1", "True"]
