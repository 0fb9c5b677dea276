"""What is changed in Gradio's scripts does what it did, with less work: functions before and after, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from demos.ui.scripts import changed

pytestmark = pytest.mark.browser

FOUND = (
    b"function Z(e,t){if(e.id===t)return e;"
    b"if(e.children)for(let n of e.children){let e=Z(n,t);if(e)return e}return null}"
)
ATTACHED = (
    b"find_attached_events(e,t){let n=t.filter(t=>t.targets.find(([t])=>t===e.id)).map(t=>{let n=t.targets.find(([t])=>"
    b"t===e.id);return n?n[1]:null}).filter(Boolean);return e.props.shared_props.attached_events=n,e}"
)
TOLD = (
    b"async update_loading_stati_state(){await Promise.all(Object.entries(this.loading_stati.current).map(([e,t])=>"
    b"this.update_state_cb(Number(e),{loading_status:t},!1)))}"
)


def pair(name: str, function: bytes) -> list[str]:
    """The function as it was and as it is, which are two."""
    texts = [function.decode(), changed(name, function).decode()]
    assert texts[0] != texts[1]
    return texts


def test_a_component_is_found_wherever_it_has_gone(open_page: Callable[..., Any]) -> None:
    found = open_page("about:blank").evaluate(
        """(texts) => texts.map((text) => {
            const find = new Function(`${text}; return Z`)();
            const leaf = (id) => ({ id });
            const node = (id, ...children) => ({ id, children });
            const root = node(0, node(1, leaf(2), node(3, leaf(4))), node(5), leaf(6));
            const ids = [0, 1, 2, 3, 4, 5, 6, 7, null, undefined, -1];
            const all = (tree) => ids.map((id) => { const n = find(tree, id); return n && [n.id, n.mark]; });
            const seen = [all(root), all(root)];
            root.children.reverse();
            seen.push(all(root));
            root.children[2].children = [Object.assign(leaf(4), { mark: "new" }), leaf(7)];
            seen.push(all(root), all(root.children[2]), all(node(9, leaf(6))), all(root));
            return seen;
        })""",
        pair("core", FOUND),
    )
    assert found[0] == found[1]
    assert found[1][0][:7] == [[i, None] for i in range(7)] and found[1][0][7:] == [None] * 4
    assert found[1][3][2:5] == [None, None, [4, "new"]]


def test_every_component_gets_its_own_events(open_page: Callable[..., Any]) -> None:
    attached = open_page("about:blank").evaluate(
        """(texts) => texts.map((text) => {
            const tree = new Function(`return new (class { ${text} })()`)();
            const events = [
                { targets: [[1, "input"], [2, "change"], [1, "blur"]] }, { targets: [[2, ""]] }, { targets: [] },
                { targets: [[null, "load"], [1, "click"]] },
            ];
            const of = (id, list) => {
                const node = { id, props: { shared_props: {} } };
                return [tree.find_attached_events(node, list) === node, node.props.shared_props.attached_events];
            };
            return [events, events, events.slice(1)].map((list) => [1, 2, 3].map((id) => of(id, list)));
        })""",
        pair("core", ATTACHED),
    )
    assert attached[0] == attached[1]
    assert attached[1][0] == [[True, ["input", "click"]], [True, ["change"]], [True, []]]
    assert attached[1][2] == [[True, ["click"]], [True, []], [True, []]]


def test_that_an_event_is_over_is_told_once(open_page: Callable[..., Any]) -> None:
    told = open_page("about:blank").evaluate(
        """async (texts) => {
            const told = [];
            for (const text of texts) {
                const page = new Function(`return new (class { ${text} })()`)(), heard = [];
                page.update_state_cb = async (id, { loading_status }) => heard.push([id, loading_status.status]);
                const steps = [["pending"], ["pending"], ["complete"], ["complete"], ["complete", "pending"],
                               ["complete", "error"], ["pending", "complete"], ["complete", "complete"]];
                for (const step of steps) {
                    const current = Object.fromEntries(step.map((status, id) => [id, { status }]));
                    page.loading_stati = { current };
                    await page.update_loading_stati_state();
                    heard.push("|");
                }
                told.push(heard);
            }
            return told;
        }""",
        pair("Blocks", TOLD),
    )
    steps = [
        ["pending"], ["pending"], ["complete"], [], [None, "pending"], [None, "error"], ["pending", "complete"],
        ["complete"],
    ]  # fmt: skip
    assert told[1] == [
        part for step in steps for part in [*([i, status] for i, status in enumerate(step) if status), "|"]
    ]
    assert [part for part in told[0] if part != "|"] != [part for part in told[1] if part != "|"]
